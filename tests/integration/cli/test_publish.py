"""`vnpulse publish` and `vnpulse trigger`: from files to topics, bad rows named by their number."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from tests.integration.market import article, bar
from tests.integration.trial import Trial
from vnpulse.kafka.partitioning import partition_of
from vnpulse.messages import AnalysisTrigger, NewsItem, PriceBar, encode
from vnpulse.topics import NEWS, PRICES, TRIGGERS

CSV = """\
symbol,time,open,high,low,close,volume
PCA,2025-07-28T09:15:00+07:00,85.5,86.2,85.0,86.0,1250000
PCA,2025-07-28T09:16:00+07:00,86.0,86.5,85.9,-86.1,1000
PCA,2025-07-28T09:17:00+07:00,86.0,86.5,85.9,86.1,1000
PCA,2025-07-28T09:18:00,86.0,86.5,85.9,86.1,1000
PCA,2025-07-28T09:19:00+07:00,x,86.5,85.9,86.1,1000
pca,2025-07-28T09:20:00+07:00,86.0,86.5,85.9,86.1,1000
PCA,2025-07-28T09:21:00+07:00,86.0,80.0,85.9,86.1,1000
PCA,2025-07-28T09:22:00+07:00,86.0,86.5,85.9,86.2,1000
"""


def bars_of(trial: Trial, symbol: str) -> list[PriceBar]:
    return [
        msgspec.json.decode(record.value, type=PriceBar)
        for record in trial.records(PRICES)
        if record.value and record.key == symbol.encode()
    ]


def test_bad_rows_of_a_csv_file_are_named_and_the_others_are_sent(quiet: Trial, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(CSV)
    done = quiet.vnpulse("publish", "prices", file)
    assert done.returncode == 2
    assert f"3 sent to {quiet.topic(PRICES)}, 5 rejected" in done.stdout
    # Numbered as an editor shows them: the header is the first line.
    named = [line for line in done.stderr.splitlines() if line.startswith(f"{file}:")]
    assert [int(line.removeprefix(f"{file}:").split(":")[0]) for line in named] == [3, 5, 6, 7, 8]
    assert "bad-price" in named[0]
    assert "--local-time" in named[1]
    assert [b.close for b in bars_of(quiet, "PCA")] == [86.0, 86.1, 86.2]
    assert {r.partition for r in quiet.records(PRICES) if r.key == b"PCA"} == {partition_of("PCA", 10)}


def test_times_without_a_zone_can_be_declared_local(quiet: Trial, tmp_path: Path) -> None:
    file = tmp_path / "local.csv"
    file.write_text(
        "symbol,time,open,high,low,close,volume\nPCL,2025-07-28 09:18:00,86.0,86.5,85.9,86.1,1000\n"
    )
    done = quiet.vnpulse("publish", "prices", file, "--local-time", "--interval", "5m")
    assert done.returncode == 0, done.stderr
    (published,) = bars_of(quiet, "PCL")
    assert published.time.isoformat() == "2025-07-28T09:18:00+07:00"
    assert published.interval == "5m"


def test_a_parquet_file_is_sent_whole(quiet: Trial, tmp_path: Path) -> None:
    bars = [bar("PPQ", i) for i in range(300)]
    rows = [
        {name: getattr(b, name) for name in ("symbol", "time", "open", "high", "low", "close", "volume")}
        for b in bars
    ]
    file = tmp_path / "bars.parquet"
    pa_parquet.write_table(pa.Table.from_pylist(rows), file)
    done = quiet.vnpulse("publish", "prices", file)
    assert (done.returncode, done.stdout) == (0, f"300 sent to {quiet.topic(PRICES)}, 0 rejected\n")
    found = bars_of(quiet, "PPQ")
    assert [(b.time, b.open, b.close, b.volume) for b in found] == [
        (b.time, b.open, b.close, b.volume) for b in bars
    ]


def test_json_lines_are_sent_as_they_are(quiet: Trial, tmp_path: Path) -> None:
    bars = [bar("PJL", i) for i in range(3)]
    file = tmp_path / "bars.jsonl"
    file.write_bytes(encode(bars[0]) + b"\nnoise\n" + encode(bars[1]) + b"\n\n" + encode(bars[2]) + b"\n")
    done = quiet.vnpulse("publish", "prices", file)
    assert done.returncode == 2
    assert f"{file}:2: not-json" in done.stderr
    assert bars_of(quiet, "PJL") == bars


def test_articles_are_sent_by_their_symbol(quiet: Trial, tmp_path: Path) -> None:
    items = [article("p1", "VCB", "Lãi kỷ lục"), article("p2", None, "VN-Index giảm")]
    file = tmp_path / "news.jsonl"
    file.write_bytes(b"\n".join(map(encode, items)) + b"\n")
    done = quiet.vnpulse("publish", "news", file)
    assert done.returncode == 0, done.stderr
    found = {record.key: msgspec.json.decode(record.value, type=NewsItem) for record in quiet.records(NEWS)}
    assert found == {b"VCB": items[0], b"VNINDEX": items[1]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "no such file"),
        ("bars.txt", "x", "must end in .parquet, .csv or .jsonl"),
        ("short.csv", "symbol,time\nVCB,2025-07-28\n", "columns are missing: open, high, low, close, volume"),
        ("empty.csv", "", "columns are missing"),
        ("broken.parquet", "noise", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    quiet: Trial, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    done = quiet.vnpulse("publish", "prices", file)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if str(file) in line]
    assert len(said) == 1
    assert message in said[0]
    assert "Traceback" not in done.stderr


def test_a_trigger_asks_for_the_latest_state_at_once(quiet: Trial) -> None:
    done = quiet.vnpulse("trigger", "VCB", "FPT")
    assert (done.returncode, done.stdout) == (0, f"2 triggers sent to {quiet.topic(TRIGGERS)}\n")
    triggers = [msgspec.json.decode(r.value, type=AnalysisTrigger) for r in quiet.records(TRIGGERS)]
    assert {t.symbol for t in triggers} == {"VCB", "FPT"}
    assert {(t.trigger_type, t.metadata.priority) for t in triggers} == {("scheduled", "urgent")}
    assert [t.metadata.sources for t in triggers] == [[], []]


def test_a_trigger_for_something_that_is_no_symbol_is_refused(quiet: Trial) -> None:
    done = quiet.vnpulse("trigger", "VCB", "vcb")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("symbol was vcb")
