"""Bars of a file as columns: read in blocks, every row checked, grouped by symbol.

Parquet and CSV with the columns symbol, time, open, high, low, close, volume in any order; others
are ignored. A time is a timestamp, a date, ISO text or epoch milliseconds; one without a zone is
Vietnamese. Bars of a symbol may lie anywhere in the file, in ascending order.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from vnpulse.bar_times import NO_TIME, is_text, times_ms, written
from vnpulse.decoding import FIRST_SESSION
from vnpulse.errors import InputFileError
from vnpulse.indicators.columns import BAR_ROWS, CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.messages import DAY_MS, VIETNAM, ZONE_MS
from vnpulse.publishing import BAR_COLUMNS

SHOWN_ROWS = 5
"""Bad rows that an error names; the rest is counted."""

ROUNDING = 1e-6
"""How far, relatively, an open or close may lie outside of low and high: adjusted prices are often
rounded or kept in 32 bits, each by itself."""

BLOCK_ROWS = 1 << 17
CSV_BLOCK_BYTES = 1 << 24

NUMBERS = {"open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE, "volume": VOLUME}

_EARLIEST_MS = int(FIRST_SESSION.timestamp() * 1000)
_LATEST_MS = int(dt.datetime(2100, 1, 1, tzinfo=VIETNAM).timestamp() * 1000)
_NO_SYMBOL = -1

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is (0: not known)."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BarTable:
    """n bars of S symbols in the order of their file.

    ``bars`` float64 [6, n] (``vnpulse.indicators.columns``). ``codes`` int32 [n] points into
    ``symbols``. ``order`` int64 [n] lists the rows by symbol and then by time: those of symbol
    ``s`` are ``order[bounds[s] : bounds[s + 1]]``. ``given`` has the columns as they came, in
    the order of ``BAR_COLUMNS``, but for the symbol, whose type was ``symbol_type``. ``doubts``
    are lines about rows that were taken although something about them is odd.
    """

    symbols: list[str]
    codes: NDArray[np.int32]
    bars: NDArray[np.float64]
    order: NDArray[np.int64]
    bounds: NDArray[np.int64]
    given: pa.Table
    symbol_type: pa.DataType
    doubts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.codes)

    def rows_of(self, symbol: int) -> NDArray[np.int64]:
        """Return the rows of a symbol, by its number, in the order of time."""
        return self.order[self.bounds[symbol] : self.bounds[symbol + 1]]

    def interval_ms(self) -> int | None:
        """Return how far apart bars are: the commonest step of a symbol's within a day, else a day.

        None if no symbol has two bars.
        """
        time_ms = self.bars[TIME, self.order].astype(np.int64)
        same = np.diff(self.codes[self.order]) == 0
        days = (time_ms + ZONE_MS) // DAY_MS
        within = same & (np.diff(days) == 0)
        if not within.any():
            return DAY_MS if same.any() else None
        steps, counts = np.unique(np.diff(time_ms)[within], return_counts=True)
        return int(steps[counts.argmax()])


def grouped(codes: NDArray[np.int32], symbols: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``order`` and ``bounds`` of a BarTable."""
    order = np.argsort(codes, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=symbols))))
    return order, bounds


def read_bars(path: Path, progress: Progress) -> BarTable:
    """Read and check a .parquet or .csv file.

    Raises InputFileError: one line for what is wrong with the file, or a line for each of the first
    rows that cannot be used.
    """
    if not path.is_file():
        raise InputFileError(f"{path}: {'is a folder, must be a file' if path.is_dir() else 'no such file'}")
    kind = path.suffix.lower()
    if kind not in (".parquet", ".csv"):
        raise InputFileError(f"{path}: was {kind or 'without ending'}, must end in .parquet or .csv")
    try:
        return _table(path, *(_csv_blocks if kind == ".csv" else _parquet_blocks)(path), progress)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise InputFileError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


Blocks = Iterator[pa.RecordBatch]


def _parquet_blocks(path: Path) -> tuple[int, Blocks]:
    file = pa_parquet.ParquetFile(path)
    _require_columns(path, file.schema_arrow.names)
    for name in BAR_COLUMNS:
        allowed, wanted = _ALLOWED[name]
        found = file.schema_arrow.field(name).type
        if not any(is_type(found) for is_type in allowed):
            raise InputFileError(f"{path}: column {name} was {found}, must be {wanted}")
    return file.metadata.num_rows, file.iter_batches(BLOCK_ROWS, columns=list(BAR_COLUMNS))


_NUMBER = (
    (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    "a number",
)
_ALLOWED: dict[str, tuple[tuple[Callable[[pa.DataType], bool], ...], str]] = {
    "symbol": ((is_text,), "text"),
    "time": (
        (pa.types.is_timestamp, pa.types.is_date, pa.types.is_integer, is_text),
        "a timestamp, a date, ISO text or epoch milliseconds",
    ),
    **dict.fromkeys(NUMBERS, _NUMBER),
}


def _csv_blocks(path: Path) -> tuple[int, Blocks]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    _require_columns(path, header)
    for name in BAR_COLUMNS:
        if header.count(name) > 1:
            raise InputFileError(f"{path}: column {name} is there {header.count(name)} times")
    return 0, _csv_batches(path)


def _csv_batches(path: Path) -> Blocks:
    text = dict.fromkeys(BAR_COLUMNS, pa.string())
    try:
        # Extra columns may be texts with line breaks. Numbers are read as text and converted here,
        # because Arrow's error names one row at the most.
        yield from pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=text, include_columns=BAR_COLUMNS, null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid:
        rows = _csv_rows(path)
        _, header = next(rows)
        for row, (line, cells) in enumerate(rows, 1):
            if len(cells) != len(header):
                raise InputFileError(
                    f"{path}: row {row} (line {line}): was {len(cells)} fields, the header has {len(header)}"
                ) from None
        raise


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line that each record ends on, and its cells; empty lines are none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for cells in reader:
            if cells:
                yield reader.line_num, cells


def _require_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in BAR_COLUMNS if name not in names]
    if missing:
        has = ", ".join(names) or "none"
        apart = "" if len(names) != 1 else "; fields are separated by commas, decimals by a point"
        raise InputFileError(f"{path}: columns are missing: {', '.join(missing)}; it has {has}{apart}")


def _table(path: Path, total: int, blocks: Blocks, progress: Progress) -> BarTable:
    numbers: dict[str, int] = {}
    bad, odd = _BadRows(path), _BadRows(path)
    given: list[pa.RecordBatch] = []
    all_codes, all_bars = [], []
    symbol_type = pa.string()
    rows = 0
    for block in blocks:
        block = block.select(list(BAR_COLUMNS))
        symbol_type = block.schema.field("symbol").type
        bars, codes = _checked(block, numbers, bad, odd, rows)
        if path.suffix.lower() == ".csv":
            block = _typed(block, bars)
        given.append(block.drop_columns(["symbol"]))
        all_codes.append(codes)
        all_bars.append(bars)
        rows += len(block)
        progress("reading", rows, total)
    if rows == 0:
        raise InputFileError(f"{path}: has no rows")
    bad.raise_if_any()
    codes = np.concatenate(all_codes)
    bars = np.concatenate(all_bars, axis=1)
    if path.suffix.lower() == ".csv":
        given = _whole_volumes(given)
    order, bounds = grouped(codes, len(numbers))
    table = BarTable(
        list(numbers),
        codes,
        bars,
        order,
        bounds,
        pa.Table.from_batches(given),
        symbol_type,
        tuple(odd.lines()),
    )
    _require_ascending(table, bad)
    bad.raise_if_any()
    return table


def _typed(block: pa.RecordBatch, bars: NDArray[np.float64]) -> pa.RecordBatch:
    """Return a block of texts with numbers in place of them; the time stays as it was written."""
    columns = [block["symbol"], block["time"], *(pa.array(bars[row]) for row in NUMBERS.values())]
    return pa.RecordBatch.from_arrays(columns, names=BAR_COLUMNS)


def _whole_volumes(given: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    volumes = [block["volume"].to_numpy() for block in given]
    if not all((volume == np.floor(volume)).all() for volume in volumes):
        return given
    return [
        block.set_column(block.schema.get_field_index("volume"), "volume", pa.array(volume.astype(np.int64)))
        for block, volume in zip(given, volumes, strict=True)
    ]


class _BadRows:
    """The first rows that cannot be used, each with its reason, and how many there are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: list[tuple[int, str]] = []
        self._count = 0

    def add(self, first_row: int, reasons: Sequence[tuple[Mask, Callable[[int], str]]]) -> None:
        """Count the rows of a block for which a mask is true; the first such mask is a row's reason."""
        bad = np.logical_or.reduce([mask for mask, _ in reasons])
        rows = np.flatnonzero(bad)
        self._count += len(rows)
        for row in rows[: SHOWN_ROWS - len(self._first)].tolist():
            reason = next(describe for mask, describe in reasons if mask[row])
            self._first.append((first_row + row + 1, reason(row)))

    def raise_if_any(self) -> None:
        said = self.lines()
        if said:
            raise InputFileError("\n".join(said))

    def lines(self) -> list[str]:
        """Return a line for each of the first rows, and one for how many more there are."""
        if not self._count:
            return []
        lines = self._lines() if self._path.suffix.lower() == ".csv" else {}
        said = []
        for row, why in self._first:
            where = f"row {row} (line {lines[row]})" if lines else f"row {row}"
            said.append(f"{self._path}: {where}: {why}")
        if self._count > len(self._first):
            said.append(f"... and {self._count - len(self._first)} more such rows")
        return said

    def _lines(self) -> dict[int, int]:
        """Return the line of each row to be shown: quoted line breaks and empty lines shift them."""
        wanted = {row for row, _ in self._first}
        lines: dict[int, int] = {}
        for row, (line, _) in enumerate(_csv_rows(self._path)):
            if row in wanted:
                lines[row] = line
            if len(lines) == len(wanted):
                break
        return lines


def _checked(
    block: pa.RecordBatch, numbers: dict[str, int], bad: _BadRows, odd: _BadRows, first_row: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return bars [6, n] and symbol numbers [n] of a block.

    What is wrong with it goes into ``bad``, what is only odd into ``odd``: histories of vendors have
    days without a close and opens beyond the range, and one of them must not cost the others.
    """
    reasons: list[tuple[Mask, Callable[[int], str]]] = []
    doubts: list[tuple[Mask, Callable[[int], str]]] = []

    def refuse(mask: Mask, why: Callable[[int], str]) -> None:
        if mask.any():
            reasons.append((mask, why))

    for name in BAR_COLUMNS:
        empty = block[name].is_null().to_numpy(zero_copy_only=False)
        refuse(empty, lambda _, name=name: f"{name} is empty")  # type: ignore[misc]
    codes = _codes(block["symbol"], numbers)
    if "" in numbers:
        refuse(codes == numbers[""], lambda _: "symbol is empty")
    bars = np.empty((BAR_ROWS, len(block)))
    for name, row in NUMBERS.items():
        bars[row], unread = _numbers(block[name])

        def shown(at: int, name: str = name) -> str:
            return f"{name} was {block[name][at].as_py()}"

        refuse(unread, lambda at, shown=shown: f"{shown(at)}, must be a number such as 21.5")  # type: ignore[misc]
        infinite = ~np.isfinite(bars[row]) & ~unread
        refuse(infinite, lambda at, shown=shown: f"{shown(at)}, must be finite")  # type: ignore[misc]
        if row == VOLUME:
            refuse(bars[row] < 0, lambda at, shown=shown: f"{shown(at)}, must not be below 0")  # type: ignore[misc]
        else:
            refuse(bars[row] < 0, lambda at, shown=shown: f"{shown(at)}, must not be below 0")  # type: ignore[misc]
            doubts.append((bars[row] == 0, shown))
    time_ms = times_ms(block["time"])
    bars[TIME] = time_ms
    refuse(
        time_ms == NO_TIME,
        lambda at: f"time was {block['time'][at].as_py()}, must be like 2025-07-28 or 2025-07-28T09:15",
    )
    refuse(
        (time_ms != NO_TIME) & ((time_ms < _EARLIEST_MS) | (time_ms > _LATEST_MS)),
        lambda at: (
            f"time was {written(time_ms[at])}, before the exchange's first day or after 2100"
            + (" (numbers are epoch milliseconds)" if str(block["time"][at].as_py()).isdecimal() else "")
        ),
    )
    low, high = bars[LOW], bars[HIGH]
    refuse(high < low, lambda at: f"high was {high[at]:g}, below low ({low[at]:g})")
    for name in ("open", "close"):
        price = bars[NUMBERS[name]]
        outside = (price > high * (1 + ROUNDING)) | (price < low * (1 - ROUNDING))
        doubts.append(
            (
                outside,
                lambda at, name=name, price=price: (  # type: ignore[misc]
                    f"{name} was {price[at]:g}, outside of low and high ({low[at]:g} to {high[at]:g})"
                ),
            )
        )
    if reasons:
        bad.add(first_row, reasons)
    odd.add(first_row, doubts)
    return bars, codes


def _codes(column: pa.Array, numbers: dict[str, int]) -> NDArray[np.int32]:
    """Number the symbols, new ones too; _NO_SYMBOL where there is none."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    used = [
        numbers.setdefault(name, len(numbers)) if name is not None else _NO_SYMBOL
        for name in encoded.dictionary.to_pylist()
    ]
    indices: NDArray[np.int64] = encoded.indices.fill_null(len(used)).to_numpy(zero_copy_only=False)
    return np.array([*used, _NO_SYMBOL], np.int32)[indices]


def _numbers(column: pa.Array) -> tuple[NDArray[np.float64], Mask]:
    """Return the values, NaN for none, and which are not numbers."""
    unread = np.zeros(len(column), np.bool_)
    try:
        # Through 64-bit integers nothing is lost that a price or volume can hold.
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        values = np.full(len(column), np.nan)
        for at, text in enumerate(column.to_pylist()):
            if text is None:
                continue
            try:
                values[at] = float(text)
            except ValueError:
                unread[at] = True
    return values, unread


def _require_ascending(table: BarTable, bad: _BadRows) -> None:
    order = table.order
    time_ms = table.bars[TIME]
    sorted_ms = time_ms[order]
    wrong = np.flatnonzero((np.diff(sorted_ms) <= 0) & (np.diff(table.codes[order]) == 0))
    if not len(wrong):
        return
    before = np.full(len(table), -1, np.int64)
    before[order[wrong + 1]] = order[wrong]

    def why(at: int) -> str:
        earlier = int(before[at])
        symbol, moment = table.symbols[table.codes[at]], written(time_ms[at])
        if time_ms[at] == time_ms[earlier]:
            return f"{symbol} at {moment} is in row {earlier + 1} already"
        then = written(time_ms[earlier])
        return f"{symbol} at {moment} comes after row {earlier + 1} at {then}; a symbol's bars must ascend"

    bad.add(0, [(before >= 0, why)])
