from __future__ import annotations

from typing import Any

import numpy as np

from vnpulse.indicators import activity


def test_counts_the_bars_that_moved(walk: Any, windowed: Any) -> None:
    _, _, close = walk(9, 300, 0.7)
    moved = np.concatenate(([np.nan], close[1:] != close[:-1]))
    expected = [moved[i - 19 : i + 1].mean() if i >= 20 else np.nan for i in range(len(close))]
    values = windowed(activity.value, close, 64, 20)[:, 0]
    np.testing.assert_allclose(values, expected, rtol=1e-15)
    assert np.flatnonzero(~np.isnan(values))[0] == activity.warm_up(20) - 1


def test_name() -> None:
    assert activity.names(20) == ("activity_20",)
