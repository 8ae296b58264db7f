"""What counts as a time in a file of bars: read as epoch milliseconds, and written for people."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pa_compute
from numpy.typing import NDArray

from vnpulse.messages import VIETNAM, ZONE_MS

NO_TIME = np.int64(-(2**62))
"""Stands for what is no time."""


def is_text(found: pa.DataType) -> bool:
    """Return whether a column of that type holds text."""
    types = pa.types
    if types.is_dictionary(found):
        found = found.value_type
    return bool(types.is_string(found) or types.is_large_string(found) or types.is_string_view(found))


def times_ms(column: pa.Array) -> NDArray[np.int64]:
    """Return epoch milliseconds, NO_TIME for what is none; a time without a zone is Vietnamese."""
    found = column.type
    if pa.types.is_integer(found):
        return _filled(column.cast(pa.int64()))
    if is_text(found):
        # Most times are those of many symbols, so that there are far fewer texts than rows.
        encoded = column if pa.types.is_dictionary(found) else column.dictionary_encode()
        known = np.append(_text_time_ms(encoded.dictionary.cast(pa.string())), NO_TIME)
        where: NDArray[np.int64] = encoded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
        return known[where]
    zone = found.tz if pa.types.is_timestamp(found) else None
    moments = _filled(column.cast(pa.timestamp("ms", zone), safe=False).cast(pa.int64()))
    return moments if zone else _from_vietnam(moments)


def _text_time_ms(texts: pa.Array) -> NDArray[np.int64]:
    for zone in (None, "UTC"):
        try:
            moments = _filled(texts.cast(pa.timestamp("ms", zone)).cast(pa.int64()))
        except pa.ArrowInvalid:
            continue
        return moments if zone else _from_vietnam(moments)
    # Some with a zone and some without, or finer than milliseconds, or not times: one by one.
    return np.array([_one_time_ms(text) for text in texts.to_pylist()], np.int64)


def _one_time_ms(text: str | None) -> np.int64:
    try:
        moment = dt.datetime.fromisoformat(text or "")
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM)
        return np.int64(zoned.timestamp() * 1000)
    except (ValueError, OverflowError):
        # Digits that are no date are what a column of integers holds: epoch milliseconds.
        return np.int64(text) if text and text.isdecimal() and len(text) < 16 else NO_TIME


def _from_vietnam(local_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(local_ms == NO_TIME, NO_TIME, local_ms - ZONE_MS)


def _filled(column: pa.Array) -> NDArray[np.int64]:
    filled: NDArray[np.int64] = pa_compute.fill_null(column, int(NO_TIME)).to_numpy(zero_copy_only=False)
    return filled


def written(time_ms: float) -> str:
    """Return a time as people in Vietnam read it."""
    try:
        return dt.datetime.fromtimestamp(time_ms / 1000, VIETNAM).isoformat(sep=" ")
    except (ValueError, OverflowError, OSError):
        return f"{int(time_ms)} ms"
