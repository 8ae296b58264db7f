from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from vnpulse.indicators import realised_volatility
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("period", [2, 20, 100])
def test_equals_the_definition(walk: Any, compute: Any, period: int) -> None:
    bars = walk(7, 400)
    returns = np.diff(np.log(bars[CLOSE]))
    expected = np.sqrt((sliding_window_view(returns, period) ** 2).mean(axis=1))
    np.testing.assert_allclose(compute(realised_volatility, bars, period)[0, period:], expected, rtol=1e-9)


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(realised_volatility, walk(2, 60), 20)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(realised_volatility, walk(3, 100), 20)


def test_does_not_depend_on_where_the_series_begins(walk: Any, compute: Any) -> None:
    bars = walk(3, 200)
    whole = compute(realised_volatility, bars, 20)[0]
    for skipped in range(1, 21):
        late = compute(realised_volatility, np.ascontiguousarray(bars[:, skipped:]), 20)[0]
        assert late[20:].tobytes() == whole[skipped + 20 :].tobytes()


def test_a_flat_series_has_none_also_after_a_move(flat: Any, compute: Any) -> None:
    bars = flat(60)
    bars[CLOSE, 25:] = 5.5
    values = compute(realised_volatility, bars, 20)[0]
    assert (values[20:25] == 0.0).all()
    np.testing.assert_allclose(values[25:45], np.log(1.1) / np.sqrt(20.0), rtol=1e-12)
    assert (values[45:] == 0.0).all()


def test_name() -> None:
    assert realised_volatility.names(20) == ("rv_20",)


def test_a_close_of_0_is_no_return(walk: Any, compute: Any) -> None:
    bars = walk(9, 60)
    bars[CLOSE, 30] = 0.0
    assert np.isfinite(compute(realised_volatility, bars, 20)[0, 20:]).all()
