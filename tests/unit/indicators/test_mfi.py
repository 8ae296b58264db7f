from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import mfi
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN, VOLUME


@pytest.mark.parametrize("period", [2, 14, 100])
@pytest.mark.parametrize("flat_share", [0.0, 0.3])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int, flat_share: float) -> None:
    bars = walk(7, 400, flat_share=flat_share)
    expected = talib.MFI(bars[HIGH], bars[LOW], bars[CLOSE], bars[VOLUME], period)
    ours = compute(mfi, bars, period)
    # Without windows in which no money flowed, where TA-Lib gives 0 (or what is left in its sums).
    typical = np.round(bars[HIGH] + bars[LOW] + bars[CLOSE], 6)
    flowed = np.concatenate(([False], (np.diff(typical) != 0) & (bars[VOLUME, 1:] > 0)))
    empty = np.convolve(flowed, np.ones(period))[:400] == 0
    empty[:period] = False
    assert empty.sum() < 20
    assert (ours[:, empty] == 50.0).all()
    assert_same(ours[:, ~empty], expected[~empty])


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(mfi, walk(2, 60), 14)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(mfi, walk(3, 100), 14)


def test_does_not_depend_on_where_the_series_begins(walk: Any, compute: Any) -> None:
    bars = walk(3, 200)
    whole = compute(mfi, bars, 14)[0]
    for skipped in range(1, 15):
        late = compute(mfi, np.ascontiguousarray(bars[:, skipped:]), 14)[0]
        assert late[14:].tobytes() == whole[skipped + 14 :].tobytes()


@pytest.mark.parametrize("volume", [0.0, 100.0])
def test_a_flat_series_is_neutral(flat: Any, compute: Any, volume: float) -> None:
    assert (compute(mfi, flat(40, volume=volume), 14)[0, 14:] == 50.0).all()


def test_a_price_that_moves_without_volume_is_neutral(walk: Any, compute: Any) -> None:
    bars = walk(3, 100)
    bars[VOLUME] = 0.0
    assert (compute(mfi, bars, 14)[0, 14:] == 50.0).all()


def test_is_neutral_again_after_a_move(flat: Any, compute: Any) -> None:
    bars = flat(60)
    bars[OPEN : CLOSE + 1, 20:] = 5.5
    values = compute(mfi, bars, 14)[0]
    assert (values[14:20] == 50.0).all()
    assert (values[20:34] == 100.0).all()
    assert (values[34:] == 50.0).all()


@pytest.mark.parametrize(("step", "expected"), [(1, 100.0), (-1, 0.0)])
def test_a_series_that_goes_one_way_is_at_the_end(
    flat: Any, compute: Any, step: int, expected: float
) -> None:
    bars = flat(40, volume=700.0)
    bars[OPEN : CLOSE + 1] = 50.1 + step * np.arange(40)
    assert (compute(mfi, bars, 14)[0, 14:] == expected).all()


def test_rounding_is_no_change_of_price(flat: Any, compute: Any) -> None:
    bars = flat(40)
    # The same three prices in another order have another sum in the last bit.
    bars[HIGH], bars[LOW], bars[CLOSE] = 0.3, 0.1, 0.2
    bars[LOW, ::2], bars[CLOSE, ::2] = 0.2, 0.1
    assert 0.3 + 0.1 + 0.2 != 0.3 + 0.2 + 0.1
    assert (compute(mfi, bars, 14)[0, 14:] == 50.0).all()


def test_name() -> None:
    assert mfi.names(14) == ("mfi_14",)
