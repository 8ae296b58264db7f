from __future__ import annotations

from typing import Any

import numpy as np
import talib

from vnpulse.indicators import obv
from vnpulse.indicators.columns import CLOSE, VOLUME


def test_equals_talib(walk: Any, compute: Any) -> None:
    bars = walk(7, 400)
    # Sums of whole numbers: to the last bit.
    np.testing.assert_array_equal(compute(obv, bars)[0], talib.OBV(bars[CLOSE], bars[VOLUME]))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(obv, walk(2, 60))


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(obv, walk(3, 100))


def test_volume_counts_by_the_change_of_the_close(flat: Any, compute: Any) -> None:
    bars = flat(5)
    bars[CLOSE] = [10.0, 11.0, 11.0, 9.0, 9.5]
    bars[VOLUME] = [100.0, 20.0, 3000.0, 500.0, 0.0]
    assert compute(obv, bars)[0].tolist() == [100.0, 120.0, 120.0, -380.0, -380.0]


def test_a_flat_series_changes_nothing(flat: Any, compute: Any) -> None:
    assert (compute(obv, flat(30, volume=100.0))[0] == 100.0).all()
    assert (compute(obv, flat(30, volume=0.0))[0] == 0.0).all()


def test_name() -> None:
    assert obv.names() == ("obv",)
