"""Files of bars or articles become messages, checked the same way as any other producer's.

Parquet and CSV need the columns symbol, time, open, high, low, close, volume (for bars) and may
have interval, collected_at and source; JSON lines hold messages as they are. Files are read in
chunks, so their size does not matter.
"""

from __future__ import annotations

import csv
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection, decode_bars, decode_news
from vnpulse.errors import InputFileError
from vnpulse.messages import INTERVAL_MS, VIETNAM, NewsItem, PriceBar, encode

CHUNK_ROWS = 5_000

BAR_COLUMNS = ("symbol", "time", "open", "high", "low", "close", "volume")
NEWS_COLUMNS = ("news_id", "symbol", "title", "content", "source", "source_url", "published_at")


class Chunk(NamedTuple):
    """Messages ready to send, and rows that cannot be, by 1-based row (or line) number of the file."""

    rows: int
    keys: list[str]
    values: list[bytes]
    rejected: list[tuple[int, str]]


class BarReader:
    """Reads bars; ``interval`` and ``local_time`` say what the file does not."""

    columns = BAR_COLUMNS

    def __init__(self, interval: str | None = None, local_time: bool = False) -> None:
        """``interval`` is used where the file has none (then "1m"). With ``local_time``, times
        without a zone are Vietnamese; otherwise such a row is rejected, because a wrong guess
        would shift a whole file by hours."""
        self._interval = interval
        self._local_time = local_time

    def message(self, row: dict[str, Any]) -> PriceBar:
        """Return the message for one row of a table. Raises ValueError or TypeError."""
        empty = [name for name in BAR_COLUMNS if row[name] is None or row[name] == ""]
        if empty:
            raise ValueError(f"{', '.join(empty)}: empty")
        interval = str(row.get("interval") or self._interval or "1m")
        if interval not in INTERVAL_MS:
            raise ValueError(f"interval was {interval}, allowed: {', '.join(INTERVAL_MS)}")
        time = self._moment("time", row["time"])
        if time.tzinfo is None:
            # A date alone names a trading day, whatever the zone.
            if not (self._local_time or (interval == "1d" and time.time() == dt.time())):
                raise ValueError(f"time {time.isoformat()} has no zone; --local-time reads it as Vietnamese")
            time = time.replace(tzinfo=VIETNAM)
        time = time.astimezone(VIETNAM)
        given = row.get("collected_at")
        # History is complete: such a bar was collected, at the earliest, when it had ended.
        end = time + dt.timedelta(milliseconds=INTERVAL_MS[interval])
        collected = self._moment("collected_at", given) if given else end
        return PriceBar(
            symbol=str(row["symbol"]),
            time=time,
            open=float(row["open"]),
            high=float(row["high"]),
            low=float(row["low"]),
            close=float(row["close"]),
            volume=_whole(float(row["volume"])),
            collected_at=collected,
            interval=interval,  # type: ignore[arg-type]
            source=row.get("source") or None,
        )

    @staticmethod
    def _moment(column: str, value: Any) -> dt.datetime:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
            moment = dt.datetime(moment.year, moment.month, moment.day)
        if not isinstance(moment, dt.datetime):
            raise TypeError(f"{column} was {value!r}, must be a date and time")
        return moment

    def check(self, batch: PartitionBatch, now_ms: int) -> list[Rejection]:
        """Return the rows that consumers would reject."""
        return decode_bars(batch, now_ms)[1]

    def key(self, value: bytes) -> str:
        """Return the key that the message is partitioned by."""
        return msgspec.json.decode(value, type=_Keyed).symbol or ""


class NewsReader:
    """Reads articles."""

    columns = NEWS_COLUMNS

    def message(self, row: dict[str, Any]) -> NewsItem:
        """Return the message for one row of a table. Raises ValueError."""
        data = {name: value for name, value in row.items() if value is not None and value != ""}
        data.setdefault("symbol", None)
        data.setdefault("content", "")  # an empty cell; that the column is there has been checked
        data.setdefault("collected_at", data.get("published_at"))
        if isinstance(data.get("tags"), str):
            data["tags"] = [tag.strip() for tag in data["tags"].split(",") if tag.strip()]
        return msgspec.convert(data, NewsItem, strict=False)

    def check(self, batch: PartitionBatch, now_ms: int) -> list[Rejection]:
        """Return the rows that consumers would reject."""
        return decode_news(batch, now_ms, lambda _: ())[1]

    def key(self, value: bytes) -> str:
        """Return the key that the message is partitioned by; market-wide articles share one."""
        return msgspec.json.decode(value, type=_Keyed).symbol or MARKET_KEY


MARKET_KEY = "VNINDEX"
"""Key of articles about no single symbol."""


class _Keyed(msgspec.Struct):
    symbol: str | None = None


Reader = BarReader | NewsReader


def read_chunks(path: Path, reader: Reader, now_ms: Callable[[], int]) -> Iterator[Chunk]:
    """Yield the file's messages in order. Raises InputFileError if it cannot be read at all."""
    if not path.is_file():
        raise InputFileError(f"{path}: no such file")
    kind = path.suffix.lower()
    if kind in (".jsonl", ".ndjson"):
        yield from _json_lines(path, reader, now_ms)
    elif kind in (".parquet", ".csv"):
        yield from _table(path, reader, now_ms, _parquet if kind == ".parquet" else _csv)
    else:
        raise InputFileError(f"{path}: was {kind or 'without ending'}, must end in .parquet, .csv or .jsonl")


def count_rows(path: Path) -> int | None:
    """Return how many rows the file has if that is cheap to know, for a progress bar."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        return int(pa_parquet.ParquetFile(path).metadata.num_rows)
    except (OSError, pa.ArrowException):
        return None


def _json_lines(path: Path, reader: Reader, now_ms: Callable[[], int]) -> Iterator[Chunk]:
    with path.open("rb") as file:
        line_number = 0
        while lines := [line for _, line in zip(range(CHUNK_ROWS), file, strict=False)]:
            numbered = [(line_number + i + 1, line.strip()) for i, line in enumerate(lines)]
            line_number += len(lines)
            # An empty line, such as at the end of a file, is no record.
            yield _checked([(n, line) for n, line in numbered if line], [], len(lines), reader, now_ms())


Rows = Iterator[tuple[int, dict[str, Any]]]


def _parquet(path: Path, needed: Sequence[str]) -> Rows:
    file = pa_parquet.ParquetFile(path)
    _require(path, needed, file.schema_arrow.names)
    number = 0
    for table in file.iter_batches(CHUNK_ROWS):
        for row in table.to_pylist():
            number += 1
            yield number, row


def _csv(path: Path, needed: Sequence[str]) -> Rows:
    """Yield rows by the line that they end on, as an editor shows it; cells may hold line breaks."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey=_SURPLUS, restval=None)
        _require(path, needed, reader.fieldnames or [])
        for row in reader:
            yield reader.line_num, row


_SURPLUS = ""
"""Where the csv module puts fields beyond those of the header; no column is called that."""


def _require(path: Path, needed: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        has = ", ".join(names) or "none"
        raise InputFileError(f"{path}: columns are missing: {', '.join(missing)}; it has {has}")


def _table(
    path: Path,
    reader: Reader,
    now_ms: Callable[[], int],
    rows_of: Callable[[Path, Sequence[str]], Rows],
) -> Iterator[Chunk]:
    try:
        rows = rows_of(path, reader.columns)
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            numbered: list[tuple[int, bytes]] = []
            rejected: list[tuple[int, str]] = []
            for number, row in chunk:
                try:
                    if _SURPLUS in row:
                        raise ValueError(f"has {len(row[_SURPLUS])} more fields than the header")
                    numbered.append((number, encode(reader.message(row))))
                except (ValueError, TypeError, OverflowError, msgspec.MsgspecError) as error:
                    rejected.append((number, str(error)))
            yield _checked(numbered, rejected, len(chunk), reader, now_ms())
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise InputFileError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


def unplaced(values: Sequence[bytes], topic: str = "", timestamp_ms: int = 0) -> PartitionBatch:
    """Return messages that no broker has yet as a batch, so that they can be checked as consumers will."""
    n = len(values)
    return PartitionBatch(
        topic=topic,
        partition=-1,
        start_offset=0,
        next_offset=n,
        values=list(values),
        keys=[None] * n,
        offsets=np.arange(n, dtype=np.int64),
        timestamps=np.full(n, timestamp_ms, dtype=np.int64),
    )


def _checked(
    numbered: list[tuple[int, bytes]],
    rejected: list[tuple[int, str]],
    rows: int,
    reader: Reader,
    now_ms: int,
) -> Chunk:
    batch = unplaced([value for _, value in numbered])
    bad = {r.row: f"{r.reason}: {r.message}" for r in reader.check(batch, now_ms)}
    rejected = sorted(rejected + [(numbered[i][0], why) for i, why in bad.items()])
    good = [value for i, (_, value) in enumerate(numbered) if i not in bad]
    return Chunk(rows, [reader.key(value) for value in good], good, rejected)


def _whole(number: float) -> float:
    """Volumes are written as integers, as the specification has them."""
    return int(number) if number.is_integer() else number
