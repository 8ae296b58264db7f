"""From bytes to checked columns: each batch is decoded once, and a bad record costs no good one.

What is refused carries a short ``reason`` (a fixed vocabulary, for headers and metrics) and a
message for people. Nothing here raises because of what a record contains.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from vnpulse.batches import BarBatch, NewsBatch, PartitionBatch, Series
from vnpulse.messages import INTERVAL_MS, SYMBOL_PATTERN, VIETNAM, NewsItem, PriceBar, local_time

FUTURE_TOLERANCE_MS = 120_000
"""How far ahead of our clock a record may be dated: clocks of honest hosts differ by seconds."""

FIRST_SESSION = dt.datetime(2000, 7, 28, tzinfo=VIETNAM)
"""The exchange's first trading day; nothing can be older."""

_FIRST_SESSION_MS = int(FIRST_SESSION.timestamp() * 1000)
_SYMBOL = re.compile(SYMBOL_PATTERN)

# What msgspec and datetime arithmetic raise on hostile input; RecursionError is deep nesting.
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)

_T = TypeVar("_T")
Decode = Callable[[bytes], _T]
"""Makes a message of a record's value. Raises Undecodable or msgspec's errors for what the value is;
what else it raises, such as SchemaUnavailable, says nothing about the record and is passed on."""


class Undecodable(ValueError):
    """A value is not what it should be, for a reason of its own vocabulary."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Rejection(NamedTuple):
    """``row`` of a batch cannot be used; ``exception`` is the type of what was raised, if anything was."""

    row: int
    reason: str
    message: str
    exception: str = "Rejection"


def decode_each(
    values: list[bytes | None], decode: Decode[_T]
) -> tuple[list[_T], list[int], list[Rejection]]:
    """Decode every value; return the messages, their row numbers, and the rejections.

    The common case, a batch without a bad record, is one list comprehension.
    """
    try:
        return [decode(value) for value in values], list(range(len(values))), []  # type: ignore[arg-type]
    except (*_DECODE_ERRORS, TypeError):
        pass
    messages: list[_T] = []
    rows: list[int] = []
    rejections: list[Rejection] = []
    for row, value in enumerate(values):
        if value is None:
            rejections.append(Rejection(row, "null-value", "the record has no value"))
            continue
        try:
            messages.append(decode(value))
            rows.append(row)
        except _DECODE_ERRORS as error:
            rejections.append(Rejection(row, *_explain(error)))
    return messages, rows, rejections


def _explain(error: Exception) -> tuple[str, str]:
    if isinstance(error, Undecodable):
        return error.reason, str(error)
    if isinstance(error, msgspec.ValidationError):
        text = str(error)
        return ("missing-field" if "missing required field" in text else "wrong-type"), text
    if isinstance(error, RecursionError):
        return "not-json", "nested too deeply"
    return "not-json", str(error)


def _epoch_ms(moments: list[dt.datetime]) -> NDArray[np.int64]:
    # Rounded, not truncated: 0.123 s is not exact in binary.
    return np.rint(np.array([m.timestamp() for m in moments], dtype=np.float64) * 1000).astype(np.int64)


decode_bar: Decode[PriceBar] = msgspec.json.Decoder(PriceBar).decode
"""From JSON."""


def decode_bars(
    batch: PartitionBatch, now_ms: int, decode: Decode[PriceBar] = decode_bar
) -> tuple[BarBatch, list[Rejection]]:
    """Decode ``stock_prices_raw`` records and check them against ``now_ms`` (epoch milliseconds).

    Refused: what is not a PriceBar, a symbol that is none, prices that are not finite and
    positive, a high below or a low above another price, a volume that is negative or not whole,
    and a time before the first session or more than FUTURE_TOLERANCE_MS ahead.
    """
    bars, rows, rejections = decode_each(batch.values, decode)
    n = len(bars)
    prices = np.array([(b.open, b.high, b.low, b.close) for b in bars], dtype=np.float64).reshape(n, 4)
    volume = np.array([b.volume for b in bars], dtype=np.float64)
    time_ms = _epoch_ms([b.time for b in bars])
    collected_ms = _epoch_ms([local_time(b.collected_at) for b in bars])

    series: dict[Series, int] = {}
    codes = np.fromiter(
        (series.setdefault(Series(b.symbol, b.interval), len(series)) for b in bars), np.int32, n
    )
    well_formed = np.array([_SYMBOL.fullmatch(s.symbol) is not None for s in series], dtype=np.bool_)
    interval_ms = np.array([INTERVAL_MS[s.interval] for s in series], dtype=np.int64)

    checks: list[tuple[str, str, NDArray[np.bool_]]] = [
        ("bad-symbol", f"symbol must match {SYMBOL_PATTERN}", ~well_formed[codes]),
        (
            "bad-price",
            "prices must be finite and above zero",
            (np.isfinite(prices) & (prices > 0)).sum(axis=1) < 4,
        ),
        (
            "high-too-low",
            "high is below open, low or close",
            prices[:, 1] < prices.max(axis=1, initial=-np.inf),
        ),
        (
            "low-too-high",
            "low is above open, high or close",
            prices[:, 2] > prices.min(axis=1, initial=np.inf),
        ),
        (
            "bad-volume",
            "volume must be a whole number, zero or more",
            ~(volume >= 0) | (volume % 1 != 0),
        ),
        ("time-in-future", "time is ahead of the clock", time_ms > now_ms + FUTURE_TOLERANCE_MS),
        ("time-too-old", f"time is before {FIRST_SESSION:%Y-%m-%d}", time_ms < _FIRST_SESSION_MS),
    ]
    keep = np.ones(n, dtype=np.bool_)
    row_numbers = np.array(rows, dtype=np.int64)
    for reason, message, failed in checks:
        for i in np.flatnonzero(failed & keep):
            rejections.append(Rejection(rows[i], reason, f"{message}: {_shown(bars[i])}"))
        keep &= ~failed
    if keep.all():
        kept: Any = slice(None)
    else:
        kept = keep
    rejections.sort()
    codes = codes[kept]
    closed = collected_ms[kept] >= time_ms[kept] + interval_ms[codes] if n else np.empty(0, dtype=np.bool_)
    decoded = BarBatch(
        topic=batch.topic,
        partition=batch.partition,
        start_offset=batch.start_offset,
        next_offset=batch.next_offset,
        series=list(series),
        codes=codes,
        time_ms=time_ms[kept],
        prices=prices[kept],
        volume=volume[kept],
        closed=closed,
        offsets=batch.offsets[row_numbers][kept],
        append_ms=batch.timestamps[row_numbers][kept],
    )
    return decoded, rejections


def _shown(bar: PriceBar) -> str:
    return (
        f"{bar.symbol[:20]} {bar.time.isoformat()} O {bar.open:g} H {bar.high:g} L {bar.low:g}"
        f" C {bar.close:g} V {bar.volume:g}"
    )


decode_news_item: Decode[NewsItem] = msgspec.json.Decoder(NewsItem).decode
"""From JSON."""


def decode_news(
    batch: PartitionBatch,
    now_ms: int,
    symbols_of: Callable[[NewsItem], tuple[str, ...]],
    decode: Decode[NewsItem] = decode_news_item,
) -> tuple[NewsBatch, list[Rejection]]:
    """Decode ``stock_news_raw`` records; ``symbols_of`` says which symbols an article is about."""
    items, rows, rejections = decode_each(batch.values, decode)
    kept: list[int] = []
    for i, item in enumerate(items):
        published_ms = int(item.published_at.timestamp() * 1000)
        if published_ms > now_ms + FUTURE_TOLERANCE_MS:
            message = f"published_at is ahead of the clock: {item.published_at.isoformat()}"
            rejections.append(Rejection(rows[i], "time-in-future", message))
        elif published_ms < _FIRST_SESSION_MS:
            message = f"published_at is before {FIRST_SESSION:%Y-%m-%d}: {item.published_at.isoformat()}"
            rejections.append(Rejection(rows[i], "time-too-old", message))
        else:
            kept.append(i)
    rejections.sort()
    return (
        NewsBatch(
            topic=batch.topic,
            partition=batch.partition,
            start_offset=batch.start_offset,
            next_offset=batch.next_offset,
            items=[items[i] for i in kept],
            symbols=[symbols_of(items[i]) for i in kept],
            offsets=[int(batch.offsets[rows[i]]) for i in kept],
            append_ms=[int(batch.timestamps[rows[i]]) for i in kept],
        ),
        rejections,
    )
