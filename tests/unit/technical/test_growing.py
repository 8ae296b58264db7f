"""Arrays that grow by the page."""

from __future__ import annotations

import numpy as np

from vnpulse.technical.growing import HUGE_PAGE, GrowingArray

ROW = HUGE_PAGE // 8 // 4


def test_what_was_written_stays_and_what_is_new_is_zero() -> None:
    growing = GrowingArray((ROW,), np.int64)
    small = growing.grow(3)
    small[:] = np.arange(3)[:, None]
    del small
    large = growing.grow(100)
    assert large.shape == (100, ROW)
    assert large.flags.c_contiguous
    assert large.flags.writeable
    assert (large[:3] == np.arange(3)[:, None]).all()
    assert not large[3:].any()


def test_an_array_that_is_still_in_use_keeps_its_memory() -> None:
    growing = GrowingArray((ROW,), np.int64)
    held = growing.grow(1)
    held[:] = 7
    grown = growing.grow(50)
    grown[0, 0] = 8
    assert held[0, 0] == 7
    assert (grown[0, 1:] == 7).all()
    assert not grown[1:].any()


def test_rows_may_be_empty() -> None:
    assert GrowingArray((3, 0), np.float64).grow(4).shape == (4, 3, 0)
