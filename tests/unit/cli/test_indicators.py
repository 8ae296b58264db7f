"""``vnpulse indicators`` as a user runs it."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest
import talib

from vnpulse.cli import main
from vnpulse.indicators.catalogue import IndicatorSet, every_indicator, parse
from vnpulse.messages import VIETNAM

HEADER = "symbol,time,open,high,low,close,volume"
GOOD = "FPT,2025-07-28T09:15,20,21,19,20.5,100"


class Done(NamedTuple):
    """What a run of the command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> Done:
        monkeypatch.setattr(sys, "argv", ["vnpulse", "indicators", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return call


def _market(symbols: Sequence[str] = ("FPT", "HPG", "XYZ"), days: int = 2, seed: int = 1) -> pa.Table:
    """Return one-minute bars of a few days, by time and then by symbol, on a tick of 0.05."""
    rng = np.random.default_rng(seed)
    clocks = [dt.time(9, 15 + m) for m in range(45)] + [dt.time(h, m) for h in (10, 13) for m in range(60)]
    times = [
        dt.datetime.combine(dt.date(2025, 7, 28) + dt.timedelta(days=day), clock, VIETNAM)
        for day in range(days)
        for clock in clocks
    ]
    n = len(times)
    close = 20 + 0.05 * rng.integers(-2, 3, (len(symbols), n)).cumsum(axis=1)
    opened = np.concatenate((close[:, :1], close[:, :-1]), axis=1)
    high = np.maximum(opened, close) + 0.05 * rng.integers(0, 3, close.shape)
    low = np.minimum(opened, close) - 0.05 * rng.integers(0, 3, close.shape)
    columns = [opened, high, low, close, 100 * rng.integers(1, 50, close.shape)]
    return pa.table(
        {
            "symbol": list(symbols) * n,
            "time": pa.array([t for t in times for _ in symbols], pa.timestamp("us", "Asia/Ho_Chi_Minh")),
            **dict(
                zip(
                    ("open", "high", "low", "close", "volume"),
                    (pa.array(c.T.ravel()) for c in columns),
                    strict=True,
                )
            ),
        }
    )


def _of(table: pa.Table, symbol: str, name: str) -> Any:
    rows = table.filter(pa.compute.equal(table["symbol"], symbol))
    return rows[name].to_numpy(zero_copy_only=False).astype(np.float64)


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    path = tmp_path / "bars.parquet"
    pa_parquet.write_table(_market(), path, row_group_size=100)
    return path


def test_each_bar_has_a_row_and_each_output_a_column(run: Run, bars: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    done = run(bars, "--indicators", "rsi:14,macd:12:26:9,bb,stoch", "--out", target)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("990 bars, 3 symbols, 11 outputs in ")
    given, made = pa_parquet.read_table(bars), pa_parquet.read_table(target)
    assert made.select(given.column_names).equals(given)
    assert made.column_names[7:] == [
        "rsi_14", "macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_hist", "bb_20_2_upper",
        "bb_20_2_middle", "bb_20_2_lower", "bb_20_2_percent_b", "bb_20_2_bandwidth", "stoch_14_3_3_k",
        "stoch_14_3_3_d",
    ]  # fmt: skip
    assert made["rsi_14"].null_count == 3 * 14
    assert not np.isnan(made["rsi_14"].drop_null().to_numpy()).any()
    for symbol in ("FPT", "HPG", "XYZ"):
        close = _of(made, symbol, "close")
        np.testing.assert_allclose(_of(made, symbol, "rsi_14"), talib.RSI(close), rtol=1e-9)
        np.testing.assert_allclose(
            _of(made, symbol, "macd_12_26_9_signal"), talib.MACD(close)[1], rtol=1e-9, atol=1e-9
        )


def test_all_means_every_indicator_and_csv_is_as_good(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "bars.csv", tmp_path / "out.csv"
    market = _market(("FPT", "HPG"))
    pa_csv.write_csv(market, source)
    assert run(source, "--indicators", "all", "--out", target).code == 0
    made = pa_csv.read_csv(target)
    every = IndicatorSet(every_indicator())
    assert made.column_names == [*HEADER.split(","), *every.output_names]
    bars = np.stack(
        [_of(market, "HPG", name) for name in ("open", "high", "low", "close", "volume")]
        + [_of(market, "HPG", "time") / 1000]
    )
    for name, expected in zip(every.output_names, every.compute(bars), strict=True):
        np.testing.assert_allclose(_of(made, "HPG", name), expected, rtol=1e-12, err_msg=name)


def test_the_order_of_rows_does_not_matter_as_long_as_each_symbol_ascends(run: Run, tmp_path: Path) -> None:
    market = _market()
    by_symbol = market.take(pa.compute.sort_indices(market, [("symbol", "ascending"), ("time", "ascending")]))
    outputs = []
    for name, table in (("a", market), ("b", by_symbol)):
        pa_parquet.write_table(table, tmp_path / f"{name}.parquet")
        target = tmp_path / f"{name}-out.parquet"
        assert run(tmp_path / f"{name}.parquet", "--out", target).code == 0
        outputs.append(pa_parquet.read_table(target))
    assert outputs[1]["symbol"].to_pylist() == by_symbol["symbol"].to_pylist()
    order = [("symbol", "ascending"), ("time", "ascending")]
    assert outputs[0].sort_by(order).equals(outputs[1].sort_by(order))


def test_longer_bars_are_made_on_the_sessions(run: Run, bars: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    done = run(bars, "--interval", "1h", "--indicators", "sma:2", "--out", target)
    assert done.code == 0
    assert done.out.startswith("18 bars made of 990, 3 symbols, 1 outputs")
    made = pa_parquet.read_table(target)
    fpt = made.filter(pa.compute.equal(made["symbol"], "FPT"))
    clocks = [moment.strftime("%d %H:%M") for moment in fpt["time"].to_pylist()]
    assert clocks == ["28 09:00", "28 10:00", "28 13:00", "29 09:00", "29 10:00", "29 13:00"]
    given = pa_parquet.read_table(bars)
    first = {name: _of(given, "FPT", name)[:45] for name in ("open", "high", "low", "close", "volume")}
    assert fpt["open"][0].as_py() == first["open"][0]
    assert fpt["high"][0].as_py() == first["high"].max()
    assert fpt["low"][0].as_py() == first["low"].min()
    assert fpt["close"][0].as_py() == first["close"][-1]
    assert fpt["volume"][0].as_py() == first["volume"].sum()
    assert fpt["sma_2"].to_pylist()[0] is None


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([GOOD, "FPT,2025-07-28T09:16,20,21,19,x,100"], "row 2 (line 3): close was x, must be a number"),
        (
            [GOOD, 'FPT,2025-07-28T09:16,"20,5",21,19,20,100'],
            "row 2 (line 3): open was 20,5, must be a number such as 21.5",
        ),
        ([GOOD, "FPT,1753668900,20,21,19,20,100"], "1970-01-21 14:07:48.900000+07:00, before the exchange's"),
        ([GOOD, "FPT,1753668900,20,21,19,20,100"], "or after 2100 (numbers are epoch milliseconds)"),
        ([GOOD, "FPT,2025-07-28T09:16,20,21,19,,100"], "row 2 (line 3): close is empty"),
        ([GOOD, "FPT,2025-07-28T09:16,20,21,19,nan,100"], "row 2 (line 3): close was nan, must be finite"),
        ([GOOD, "FPT,2025-07-28T09:16,20,21,-19,20,100"], "low was -19, must not be below 0"),
        ([GOOD, "FPT,2025-07-28T09:16,20,19,21,20,100"], "row 2 (line 3): high was 19, below low (21)"),
        ([GOOD, "FPT,2025-07-28T09:16,20,21,19,20,-1"], "volume was -1, must not be below 0"),
        ([GOOD, "FPT,yesterday,20,21,19,20,1"], "time was yesterday, must be like 2025-07-28"),
        ([GOOD, "FPT,1900-01-01,20,21,19,20,1"], "before the exchange's first day"),
        ([GOOD, ",2025-07-28T09:16,20,21,19,20,1"], "row 2 (line 3): symbol is empty"),
        ([GOOD, GOOD], "row 2 (line 3): FPT at 2025-07-28 09:15:00+07:00 is in row 1 already"),
        (
            ["FPT,2025-07-28T09:16,20,21,19,20,1", "HPG,2025-07-28T09:15,20,21,19,20,1", GOOD],
            "row 3 (line 4): FPT at 2025-07-28 09:15:00+07:00 comes after row 1 at 2025-07-28 09:16:00+07:00",
        ),
        ([GOOD, "FPT,2025-07-28T09:16,20,21,19"], "row 2 (line 3): was 5 fields, the header has 7"),
        ([], "has no rows"),
    ],
)
def test_bad_rows_are_named_and_nothing_is_written(
    run: Run, tmp_path: Path, rows: list[str], says: str
) -> None:
    source, target = tmp_path / "bars.csv", tmp_path / "out.parquet"
    source.write_text("\n".join([HEADER, *rows]) + "\n")
    done = run(source, "--indicators", "sma:2", "--out", target)
    assert done.code == 2
    assert done.err.startswith(str(source))
    assert says in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["bars.csv"]


def test_only_the_first_bad_rows_are_shown(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "bars.csv"
    bad = [f"FPT,2025-07-28T09:{m},20,21,19,20,-1" for m in range(20, 40)]
    source.write_text("\n".join([HEADER, GOOD, *bad]) + "\n")
    done = run(source, "--out", tmp_path / "out.parquet")
    lines = done.err.splitlines()
    assert len(lines) == 6
    assert lines[0].endswith("row 2 (line 3): volume was -1, must not be below 0")
    assert lines[-1] == "... and 15 more such rows"


def test_what_is_only_odd_is_said_and_computed(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "bars.csv", tmp_path / "out.parquet"
    rows = ["FPT,2025-07-28,20,21,19,0,100", "FPT,2025-07-29,25,21,19,20,100", "FPT,2025-07-30,20,21,19,20,1"]
    source.write_text("\n".join([HEADER, *rows]) + "\n")
    done = run(source, "--indicators", "sma:2", "--out", target)
    assert done.code == 0
    assert "computed as it is: " in done.err
    assert "row 1 (line 2): close was 0" in done.err
    assert "row 2 (line 3): open was 25, outside of low and high (19 to 21)" in done.err
    assert pa_parquet.read_table(target)["sma_2"].to_pylist() == [None, 10.0, 20.0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--indicators", "rsi:0"], "--indicators: indicator 'rsi:0': period was 0, must be from 2 to 400"),
        (["--indicators", "rsi,foo"], "--indicators: indicator 'foo' is not known; there are sma, ema"),
        (["--indicators", "rsi,rsi:14"], "two indicators have the output rsi_14"),
        (["--indicators", ""], "--indicators: indicator '' is not known"),
        (["--interval", "2m"], "--interval was 2m, allowed: 1m, 5m"),
        (["--out", "bars.parquet"], "is the input, which would be overwritten"),
        (["--out", "out.txt"], "out.txt: was .txt, must end in .parquet or .csv"),
        (["--out", "nowhere/out.csv"], "there is no folder nowhere"),
    ],
)
def test_mistakes_in_the_command_are_one_line(
    run: Run, bars: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(bars.parent)
    before = bars.read_bytes()
    extra = options if "--out" in options else [*options, "--out", "out.parquet"]
    done = run("bars.parquet", *extra)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert bars.read_bytes() == before
    assert [path.name for path in bars.parent.iterdir()] == ["bars.parquet"]


def test_a_folder_is_no_file_of_bars(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bars.csv").mkdir()
    done = run(tmp_path / "bars.csv", "--out", tmp_path / "out.parquet")
    assert (done.code, done.err) == (2, f"{tmp_path / 'bars.csv'}: is a folder, must be a file\n")


def test_shorter_bars_cannot_be_made(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "daily.csv"
    source.write_text("\n".join([HEADER, "FPT,2025-07-28,20,21,19,20,1", "FPT,2025-07-29,20,21,19,20,1"]))
    done = run(source, "--interval", "1h", "--out", tmp_path / "out.parquet")
    assert (done.code, done.err) == (
        2,
        f"{source}: its bars are 1d apart: bars of 1h cannot be made of them\n",
    )


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("bars.parquet", b"no parquet", "cannot be read"),
        (
            "bars.csv",
            b"symbol,time\n",
            "columns are missing: open, high, low, close, volume; it has symbol, time",
        ),
        ("bars.csv", b"", "columns are missing"),
        (
            "bars.csv",
            HEADER.replace(",", ";").encode(),
            "; fields are separated by commas, decimals",
        ),
        ("bars.xlsx", b"", "was .xlsx, must end in .parquet or .csv"),
    ],
)
def test_files_that_are_no_bars(run: Run, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    done = run(source, "--out", tmp_path / "out.parquet")
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "time",
    [
        pa.array([dt.date(2025, 7, 28), dt.date(2025, 7, 29)]),
        pa.array(["2025-07-28", "2025-07-29"]),
        pa.array(["2025-07-27T17:00:00Z", "2025-07-29T00:00:00+07:00"]),
        pa.array([1_753_635_600_000, 1_753_722_000_000]),
        pa.array(["1753635600000", "1753722000000"]),
        pa.array([dt.datetime(2025, 7, 28), dt.datetime(2025, 7, 29)], pa.timestamp("ns")),
    ],
    ids=["dates", "text", "text with zones", "epoch milliseconds", "the same as text", "without a zone"],
)
def test_times_may_be_written_in_many_ways(run: Run, tmp_path: Path, time: pa.Array) -> None:
    source, target = tmp_path / "bars.parquet", tmp_path / "out.parquet"
    prices = {name: [20.0, 21.0] for name in ("open", "high", "low", "close")}
    pa_parquet.write_table(
        pa.table({"symbol": ["FPT"] * 2, "time": time, **prices, "volume": [1, 2]}), source
    )
    done = run(source, "--indicators", str(parse("vwap")), "--out", target)
    assert (done.code, done.err) == (0, "")
    made = pa_parquet.read_table(target)
    assert made["time"].combine_chunks().equals(time)
    # Two days, so two averages.
    assert made["vwap"].to_pylist() == [20.0, 21.0]
