from __future__ import annotations

from typing import Any

import numpy as np

from vnpulse.indicators import activity
from vnpulse.indicators.columns import CLOSE


def test_counts_the_bars_that_moved(walk: Any, compute: Any) -> None:
    bars = walk(1, 200)
    moved = np.diff(bars[CLOSE]) != 0
    expected = [moved[t - 20 : t].mean() for t in range(20, 200)]
    np.testing.assert_allclose(compute(activity, bars, 20)[0, 20:], expected, rtol=1e-12)


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(activity, walk(2, 60), 20)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(activity, walk(3, 100), 20)


def test_a_flat_series_is_not_active(flat: Any, compute: Any) -> None:
    assert (compute(activity, flat(30), 20)[0, 20:] == 0.0).all()


def test_name() -> None:
    assert activity.names(20) == ("activity_20",)
