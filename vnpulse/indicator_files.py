"""Indicators of all bars of a file, in a file: the bars as they came and a column for each output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from vnpulse.bar_files import NUMBERS, BarTable, Progress, grouped, read_bars
from vnpulse.errors import InputFileError, UserError
from vnpulse.indicators.catalogue import IndicatorSet
from vnpulse.indicators.columns import BAR_ROWS, CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.messages import DAY_MS, INTERVAL_MS
from vnpulse.publishing import BAR_COLUMNS
from vnpulse.technical.sessions import bucket_begins

WRITTEN_ROWS = 1 << 17
"""Rows of a row group: few enough that they and their columns are small beside the rest."""

Blocks = Callable[[str], NDArray[np.int64]]
"""Gives the stretches of trading of a symbol, int64 [b, 2], as ``sessions.bucket`` takes them."""

_WHOLE_DAY = np.array([[0, DAY_MS]], np.int64)


class Written(NamedTuple):
    """What was done."""

    bars_read: int
    rows: int
    symbols: int
    doubts: tuple[str, ...]


def write_indicators(
    source: Path,
    target: Path,
    indicators: IndicatorSet,
    interval: str | None,
    blocks: Blocks,
    progress: Progress,
) -> Written:
    """Compute ``indicators`` over the bars of ``source`` and write ``target``, .parquet or .csv.

    ``target`` has a row for each bar, in the order of ``source``: symbol, time, open, high, low,
    close and volume as they came, and float64 columns named by ``indicators.output_names``, null
    where not ready. With an ``interval`` longer than that of the bars, longer bars are made of
    them first (``resampled``). ``target`` is there whole or not at all. Raises UserError and
    InputFileError, and then writes nothing.
    """
    _require_writable(source, target)
    table = read_bars(source, progress)
    bars_read, doubts = len(table), table.doubts
    if interval is not None:
        table = _at_interval(source, table, interval, blocks)
    values = _computed(table, indicators, progress)
    # Beside the target, so that the last step is a rename within one file system.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _write(unfinished, target.suffix.lower(), table, indicators.output_names, values, progress)
        os.replace(unfinished, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Written(bars_read, len(table), len(table.symbols), doubts)


def _require_writable(source: Path, target: Path) -> None:
    if target.suffix.lower() not in (".parquet", ".csv"):
        raise UserError(f"{target}: was {target.suffix or 'without ending'}, must end in .parquet or .csv")
    if target.is_dir():
        raise UserError(f"{target}: is a folder, must be a file")
    if not target.parent.is_dir():
        raise UserError(f"{target}: there is no folder {target.parent}")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: is the input, which would be overwritten; name another file")


def _at_interval(source: Path, table: BarTable, interval: str, blocks: Blocks) -> BarTable:
    wanted, found = INTERVAL_MS[interval], table.interval_ms()
    if found is None or found == wanted:
        return table
    if wanted < found or wanted % found:
        raise InputFileError(
            f"{source}: its bars are {_duration(found)} apart: bars of {interval} cannot be made of them"
        )
    return resampled(table, wanted, blocks)


def _duration(length_ms: int) -> str:
    for name, unit in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if length_ms % unit == 0:
            return f"{length_ms // unit}{name}"
    return f"{length_ms}ms"


def resampled(table: BarTable, length_ms: int, blocks: Blocks) -> BarTable:
    """Return bars of ``length_ms``, made of the shorter ones of ``table``.

    As the live engine counts them, from where trading begins and anew after each break
    (``sessions.bucket``), but no bar is left out: one from outside of trading hours goes into the
    longer bar that it falls in. Those of a day are counted from midnight. A longer bar has the
    place of the first row that belongs to it.
    """
    made: list[NDArray[np.float64]] = []
    first_rows: list[NDArray[np.int64]] = []
    for number, symbol in enumerate(table.symbols):
        rows = table.rows_of(number)
        bars = table.bars[:, rows]
        phases = _WHOLE_DAY if length_ms == DAY_MS else blocks(symbol)
        begins = bucket_begins(bars[TIME].astype(np.int64), length_ms, phases)
        at = np.flatnonzero(np.diff(begins, prepend=begins[0] - 1))
        longer = np.empty((BAR_ROWS, len(at)))
        longer[OPEN] = bars[OPEN, at]
        longer[HIGH] = np.maximum.reduceat(bars[HIGH], at)
        longer[LOW] = np.minimum.reduceat(bars[LOW], at)
        longer[CLOSE] = bars[CLOSE, np.append(at[1:], len(rows)) - 1]
        longer[VOLUME] = np.add.reduceat(bars[VOLUME], at)
        longer[TIME] = begins[at]
        made.append(longer)
        first_rows.append(rows[at])
    rows = np.concatenate(first_rows)
    order = np.argsort(rows)
    codes = table.codes[rows[order]]
    bars = np.concatenate(made, axis=1)[:, order]
    given = pa.table(
        {
            "time": _times(bars[TIME], table.given.schema.field("time").type),
            **{
                name: pa.array(bars[row]).cast(table.given.schema.field(name).type)
                for name, row in NUMBERS.items()
            },
        }
    )
    return BarTable(table.symbols, codes, bars, *grouped(codes, len(table.symbols)), given, table.symbol_type)


def _times(time_ms: NDArray[np.float64], wanted: pa.DataType) -> pa.Array:
    """Return times as the file had them if that was a number or a moment with a zone, else Vietnamese."""
    whole = pa.array(time_ms.astype(np.int64))
    if pa.types.is_integer(wanted):
        return whole.cast(wanted)
    if pa.types.is_timestamp(wanted) and wanted.tz is not None:
        return whole.cast(pa.timestamp("ms", wanted.tz)).cast(wanted, safe=False)
    return whole.cast(pa.timestamp("ms", "Asia/Ho_Chi_Minh"))


def _computed(table: BarTable, indicators: IndicatorSet, progress: Progress) -> NDArray[np.float64]:
    """Return the outputs of every row, float64 [outputs, n], NaN where not ready."""
    values = np.empty((len(indicators.output_names), len(table)))
    done = 0
    for number in range(len(table.symbols)):
        rows = table.rows_of(number)
        values[:, rows] = indicators.compute(table.bars[:, rows])
        done += len(rows)
        progress("computing", done, len(table))
    return values


def _write(
    path: Path,
    kind: str,
    table: BarTable,
    names: tuple[str, ...],
    values: NDArray[np.float64],
    progress: Progress,
) -> None:
    schema = pa.schema(
        [
            pa.field("symbol", table.symbol_type),
            *(table.given.schema.field(name) for name in BAR_COLUMNS[1:]),
            *(pa.field(name, pa.float64()) for name in names),
        ]
    )
    if kind == ".csv":
        # Its writer knows no dictionaries.
        schema = schema.set(0, pa.field("symbol", pa.string()))
        with pa_csv.CSVWriter(path, schema) as writer:
            for part in _parts(table, schema, values, progress):
                writer.write_table(part)
    else:
        # Outputs hardly repeat: trying to number their values would take most of the time.
        with pa_parquet.ParquetWriter(path, schema, use_dictionary=["symbol", "time"]) as writer:
            for part in _parts(table, schema, values, progress):
                writer.write_table(part)


def _parts(
    table: BarTable, schema: pa.Schema, values: NDArray[np.float64], progress: Progress
) -> Iterator[pa.Table]:
    symbols = pa.array(table.symbols)
    for begin in range(0, len(table), WRITTEN_ROWS):
        end = min(begin + WRITTEN_ROWS, len(table))
        given = table.given.slice(begin, end - begin)
        outputs = values[:, begin:end]
        columns = [
            symbols.take(pa.array(table.codes[begin:end])).cast(schema.field("symbol").type),
            *given.columns,
            # from_pandas: NaN, which says "not ready" within arrays, becomes null.
            *(pa.array(line, from_pandas=True) for line in outputs),
        ]
        yield pa.Table.from_arrays(columns, schema=schema)
        progress("writing", end, len(table))
