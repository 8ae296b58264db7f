from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from vnpulse.indicators import volume_z
from vnpulse.indicators.columns import VOLUME


@pytest.mark.parametrize("period", [2, 20, 100])
def test_equals_the_definition(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(7, 400)
    # No two neighbours are equal, which have no deviation.
    bars[VOLUME] += np.arange(400)
    windows = sliding_window_view(bars[VOLUME], period)
    expected = (bars[VOLUME, period - 1 :] - windows.mean(axis=1)) / windows.std(axis=1)
    assert_same([compute(volume_z, bars, period)[0, period - 1 :]], expected)


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(volume_z, walk(2, 60), 20)


@pytest.mark.parametrize("bars", [20, 21, 22, 100])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, bars: int) -> None:
    assert_cuts_do_not_matter(volume_z, walk(3, bars), 20)


@pytest.mark.parametrize("volume", [0.0, 123_457.0])
def test_equal_volumes_are_neutral(flat: Any, compute: Any, volume: float) -> None:
    assert (compute(volume_z, flat(60, volume=volume), 20)[0, 19:] == 0.0).all()


def test_one_volume_among_equal_ones_is_as_far_as_possible(flat: Any, compute: Any) -> None:
    bars = flat(60, volume=0.0)
    bars[VOLUME, 40] = 1_777_882_039.0
    values = compute(volume_z, bars, 20)[0]
    np.testing.assert_allclose(values[40], np.sqrt(19.0), rtol=1e-12)
    np.testing.assert_allclose(values[41:59], -1 / np.sqrt(19.0), rtol=1e-9)


def test_name() -> None:
    assert volume_z.names(20) == ("volume_z_20",)
