"""Files become messages; a bad row is named by its number and costs no good one."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest

from vnpulse.errors import InputFileError
from vnpulse.messages import VIETNAM, NewsItem, PriceBar
from vnpulse.publishing import CHUNK_ROWS, MARKET_KEY, BarReader, Chunk, NewsReader, count_rows, read_chunks

NOW_MS = int(dt.datetime(2025, 7, 28, 15, tzinfo=VIETNAM).timestamp() * 1000)
HEADER = "symbol,time,open,high,low,close,volume"
GOOD = "VCB,2025-07-28T09:15:00+07:00,85.5,86.2,85.0,86.0,1250000"


def chunks(path: Path, reader: Any = None) -> list[Chunk]:
    return list(read_chunks(path, reader or BarReader(), lambda: NOW_MS))


def bars_of(chunk: Chunk) -> list[PriceBar]:
    return [msgspec.json.decode(value, type=PriceBar) for value in chunk.values]


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    def write(*lines: str, name: str = "bars.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_a_csv_row_becomes_the_message_of_the_specification(csv: Any) -> None:
    [chunk] = chunks(csv(HEADER, GOOD))
    assert chunk.keys == ["VCB"]
    data = json.loads(chunk.values[0])
    assert data["time"] == "2025-07-28T09:15:00+07:00"
    assert (data["open"], data["high"], data["low"], data["close"]) == (85.5, 86.2, 85.0, 86.0)
    assert b'"volume":1250000,' in chunk.values[0]
    assert data["interval"] == "1m"


def test_history_counts_as_collected_when_its_bar_ended(csv: Any) -> None:
    [chunk] = chunks(csv(HEADER, GOOD), BarReader(interval="5m"))
    [bar] = bars_of(chunk)
    assert bar.interval == "5m"
    assert bar.collected_at - bar.time == dt.timedelta(minutes=5)


def test_columns_may_come_in_any_order_and_others_are_ignored(csv: Any) -> None:
    [chunk] = chunks(
        csv(
            "note,close,volume,symbol,interval,low,open,high,time,source",
            "x,86,0,FPT,1h,85,85,86,2025-07-28 02:00:00Z,mine",
        )
    )
    [bar] = bars_of(chunk)
    assert (bar.symbol, bar.interval, bar.source, bar.close) == ("FPT", "1h", "mine", 86.0)
    assert bar.time == dt.datetime(2025, 7, 28, 9, tzinfo=VIETNAM)


def test_bad_rows_are_named_by_the_line_that_an_editor_shows_and_good_ones_go_on(csv: Any) -> None:
    [chunk] = chunks(
        csv(
            HEADER,
            GOOD,
            GOOD.replace("85.5", "cheap"),
            GOOD.replace("VCB", "vcb"),
            GOOD.replace("86.2", "80"),
            GOOD.replace("85.5", ""),
            GOOD.replace("85.5", "nan"),
            GOOD.replace("2025-07-28T09:15:00+07:00", "yesterday"),
            GOOD.replace("2025", "2026"),
            GOOD.replace("1250000", "1250000.5"),
            GOOD.replace("VCB", "FPT"),
        )
    )
    assert chunk.keys == ["VCB", "FPT"]
    assert [row for row, _ in chunk.rejected] == [3, 4, 5, 6, 7, 8, 9, 10]
    why = dict(chunk.rejected)
    assert "cheap" in why[3]
    assert why[4].startswith("bad-symbol")
    assert why[5].startswith("high-too-low")
    assert "yesterday" in why[8]
    assert why[9].startswith("time-in-future")
    assert why[10].startswith("bad-volume")
    assert all(reason and "\n" not in reason for reason in why.values())


def test_a_row_with_too_many_or_too_few_fields_costs_no_good_row(csv: Any) -> None:
    found = chunks(csv(HEADER, GOOD, GOOD + ",extra", "VCB,2025-07-28", GOOD))
    assert [key for chunk in found for key in chunk.keys] == ["VCB", "VCB"]
    assert [row for chunk in found for row, _ in chunk.rejected] == [3, 4]


def test_rows_are_counted_on_from_chunk_to_chunk(csv: Any) -> None:
    # The CSV reader hands over blocks of a megabyte: some 18,000 of these rows.
    lines = [HEADER, *[GOOD] * 40_000, GOOD.replace("VCB", "?"), *[GOOD] * 3]
    found = chunks(csv(*lines))
    assert len(found) > 1
    assert [row for chunk in found for row, _ in chunk.rejected] == [40_002]
    assert sum(len(chunk.values) for chunk in found) == 40_003
    assert sum(chunk.rows for chunk in found) == 40_004


@pytest.mark.parametrize(
    ("time", "interval", "read"),
    [
        ("2025-07-28 09:15:00", "1m", "2025-07-28T09:15:00+07:00"),
        ("2025-07-28", "1d", "2025-07-28T00:00:00+07:00"),
        ("2025-07-28T09:15:00+09:00", "1m", "2025-07-28T07:15:00+07:00"),
    ],
)
def test_local_time_reads_times_without_a_zone_as_vietnamese(
    csv: Any, time: str, interval: str, read: str
) -> None:
    line = GOOD.replace("2025-07-28T09:15:00+07:00", time)
    [chunk] = chunks(csv(HEADER, line), BarReader(interval, local_time=True))
    assert chunk.rejected == []
    assert bars_of(chunk)[0].time.isoformat() == read


def test_without_local_time_a_time_without_a_zone_is_refused_and_the_way_out_named(csv: Any) -> None:
    [chunk] = chunks(csv(HEADER, GOOD.replace("+07:00", "")))
    assert chunk.values == []
    [(row, why)] = chunk.rejected
    assert row == 2
    assert "no zone" in why
    assert "--local-time" in why


def test_a_date_names_a_trading_day_of_daily_bars_whatever_the_options(csv: Any) -> None:
    day = GOOD.replace("T09:15:00+07:00", "")
    [chunk] = chunks(csv(HEADER, day), BarReader("1d"))
    assert bars_of(chunk)[0].time == dt.datetime(2025, 7, 28, tzinfo=VIETNAM)
    [minutes] = chunks(csv(HEADER, day), BarReader("1m"))
    assert minutes.values == []


def test_the_interval_of_a_row_goes_before_the_option_and_must_be_known(csv: Any) -> None:
    rows = [f"{GOOD},5m", f"{GOOD},", f"{GOOD},2m"]
    [chunk] = chunks(csv(f"{HEADER},interval", *rows), BarReader("15m"))
    assert [bar.interval for bar in bars_of(chunk)] == ["5m", "15m"]
    [(row, why)] = chunk.rejected
    assert (row, "2m" in why, "1m, 5m, 15m, 1h, 1d" in why) == (4, True, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            b"symbol,time\nVCB,2025-07-28\n", "open, high, low, close, volume", id="missing columns"
        ),
        pytest.param(b"symbol,time\n", "open, high, low, close, volume", id="missing columns and no row"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"\xff\xfe\x00\x01", "", id="not text"),
    ],
)
def test_a_csv_that_cannot_be_used_is_one_error_that_names_the_file(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        chunks(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_csv_with_a_header_alone_has_no_messages(csv: Any) -> None:
    assert sum(chunk.rows for chunk in chunks(csv(HEADER))) == 0


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\n{GOOD}\r\n".encode())
    assert [chunk.keys for chunk in chunks(path)] == [["VCB"]]


def test_parquet_and_csv_give_the_same_messages(csv: Any, tmp_path: Path) -> None:
    plain = csv(HEADER, GOOD, GOOD.replace("VCB", "FPT").replace("09:15", "09:16"))
    table = pa_csv.read_csv(plain)
    parquet = tmp_path / "bars.parquet"
    pa_parquet.write_table(table, parquet)
    assert [chunk.values for chunk in chunks(parquet)] == [chunk.values for chunk in chunks(plain)]
    assert count_rows(parquet) == 2
    assert count_rows(plain) is None


def parquet_of(path: Path, **columns: Any) -> Path:
    whole: dict[str, Any] = {
        "symbol": ["VCB", "FPT"],
        "time": [dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)] * 2,
        **{name: [85.5, 100.0] for name in ("open", "high", "low", "close")},
        "volume": [100, 200],
    }
    pa_parquet.write_table(pa.table(whole | columns), path)
    return path


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Ho_Chi_Minh", "+07:00"])
def test_parquet_times_of_any_unit_and_zone_are_moments(tmp_path: Path, unit: str, zone: str) -> None:
    moment = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)
    path = parquet_of(tmp_path / "b.parquet", time=pa.array([moment] * 2, pa.timestamp(unit, zone)))
    [chunk] = chunks(path)
    assert {bar.time for bar in bars_of(chunk)} == {moment}


def test_parquet_times_without_a_zone_follow_the_same_rule(tmp_path: Path) -> None:
    path = parquet_of(tmp_path / "b.parquet", time=[dt.datetime(2025, 7, 28, 9, 15)] * 2)
    assert [row for row, _ in chunks(path)[0].rejected] == [1, 2]
    [chunk] = chunks(path, BarReader(local_time=True))
    assert bars_of(chunk)[0].time == dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)


def test_parquet_rows_with_nulls_are_rejected_by_number(tmp_path: Path) -> None:
    path = parquet_of(tmp_path / "b.parquet", close=[None, 100.0])
    [chunk] = chunks(path)
    assert chunk.keys == ["FPT"]
    assert [row for row, _ in chunk.rejected] == [1]


def test_parquet_rows_are_counted_on_from_chunk_to_chunk(tmp_path: Path) -> None:
    n = CHUNK_ROWS + 3
    bad = CHUNK_ROWS + 1
    path = parquet_of(
        tmp_path / "b.parquet",
        symbol=["VCB" if i != bad else "?" for i in range(n)],
        time=[dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)] * n,
        **{name: [1.0] * n for name in ("open", "high", "low", "close")},
        volume=[1] * n,
    )
    found = chunks(path)
    assert [chunk.rows for chunk in found] == [CHUNK_ROWS, 3]
    assert [row for chunk in found for row, _ in chunk.rejected] == [bad + 1]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.jsonl"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputFileError, match=f"{name}: no such file"):
        chunks(tmp_path / name)


@pytest.mark.parametrize("name", ["bars.xlsx", "bars", "bars.csv.gz"])
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputFileError, match=r"\.parquet, \.csv or \.jsonl"):
        chunks(tmp_path / name)


def test_a_broken_parquet_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputFileError, match="cannot be read"):
        chunks(path)
    assert count_rows(path) is None


def test_an_ending_in_capitals_is_known(csv: Any) -> None:
    assert [chunk.keys for chunk in chunks(csv(HEADER, GOOD, name="BARS.CSV"))] == [["VCB"]]


BAR_LINE = (
    '{"symbol": "VCB", "time": "2025-07-28T09:15:00+07:00", "open": 1, "high": 1, "low": 1, "close": 1,'
    ' "volume": 5, "collected_at": "2025-07-28T09:15:30"}'
)


def test_json_lines_are_sent_as_they_stand(csv: Any) -> None:
    [chunk] = chunks(csv(BAR_LINE, name="b.jsonl"))
    assert chunk.values == [BAR_LINE.encode()]
    assert chunk.keys == ["VCB"]


def test_bad_json_lines_are_named_by_line_and_empty_lines_are_no_records(csv: Any) -> None:
    lines = [
        BAR_LINE,
        "",
        "nonsense",
        "  ",
        BAR_LINE.replace("VCB", "FPT"),
        BAR_LINE.replace('"open": 1, ', ""),
    ]
    [chunk] = chunks(csv(*lines, name="b.jsonl"))
    assert chunk.keys == ["VCB", "FPT"]
    assert [(row, why.split(":")[0]) for row, why in chunk.rejected] == [
        (3, "not-json"),
        (6, "missing-field"),
    ]


def test_json_lines_are_counted_on_from_chunk_to_chunk(csv: Any) -> None:
    lines = [BAR_LINE] * (CHUNK_ROWS + 1) + ["nonsense"]
    found = chunks(csv(*lines, name="b.ndjson"))
    assert [row for chunk in found for row, _ in chunk.rejected] == [CHUNK_ROWS + 2]


def test_an_empty_json_lines_file_has_no_messages(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(b"")
    assert chunks(tmp_path / "b.jsonl") == []


def article(**changes: Any) -> dict[str, Any]:
    return {
        "news_id": "n1",
        "symbol": "VCB",
        "title": "VCB tăng vốn",
        "content": "Nội dung",
        "source": "VnExpress",
        "source_url": "https://x",
        "published_at": "2025-07-28T08:30:00+07:00",
    } | changes


def news_of(found: list[Chunk]) -> list[NewsItem]:
    return [msgspec.json.decode(value, type=NewsItem) for chunk in found for value in chunk.values]


def write_news(path: Path, rows: list[dict[str, Any]]) -> Path:
    pa_csv.write_csv(pa.Table.from_pylist(rows), path)
    return path


def test_articles_of_a_csv_are_messages_keyed_by_symbol(tmp_path: Path) -> None:
    rows = [article(tags="tăng vốn, cổ phiếu"), article(news_id="n2", symbol=None)]
    found = chunks(write_news(tmp_path / "n.csv", rows), NewsReader())
    assert [key for chunk in found for key in chunk.keys] == ["VCB", MARKET_KEY]
    first, second = news_of(found)
    assert first.tags == ["tăng vốn", "cổ phiếu"]
    assert first.collected_at == first.published_at
    assert (second.symbol, second.tags) == (None, [])


def test_an_article_that_is_a_headline_alone_is_an_article(tmp_path: Path) -> None:
    found = chunks(write_news(tmp_path / "n.csv", [article(content="")]), NewsReader())
    assert [reason for chunk in found for reason in chunk.rejected] == []
    assert [item.content for item in news_of(found)] == [""]


def test_articles_of_several_lines_are_read_however_long_the_file(tmp_path: Path) -> None:
    text = 'Dòng một, có dấu phẩy\nDòng hai\n\n"Trích dẫn"\n' * 40
    rows = [article(news_id=f"n{i}", content=text) for i in range(900)]
    path = write_news(tmp_path / "n.csv", rows)
    assert path.stat().st_size > 2_000_000
    items = news_of(chunks(path, NewsReader()))
    assert len(items) == 900
    assert {item.content for item in items} == {text}


def test_bad_articles_are_rejected_by_row(tmp_path: Path) -> None:
    rows = [
        article(),
        article(title=None),
        article(symbol="vcb"),
        article(published_at="2025-07-28T08:30:00"),
        article(published_at="2025-07-29T08:30:00+07:00"),
        article(news_id="n6"),
    ]
    [chunk] = chunks(write_news(tmp_path / "n.csv", rows), NewsReader())
    assert [item.news_id for item in news_of([chunk])] == ["n1", "n6"]
    assert [row for row, _ in chunk.rejected] == [3, 4, 5, 6]


def test_articles_of_parquet_keep_their_lists_of_tags(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    pa_parquet.write_table(pa.Table.from_pylist([article(tags=["a", "b"], category="x")]), path)
    [item] = news_of(chunks(path, NewsReader()))
    assert (item.tags, item.category) == (["a", "b"], "x")


def test_missing_columns_of_articles_are_named(csv: Any) -> None:
    with pytest.raises(InputFileError, match=r"missing: news_id, title, content, source, source_url"):
        chunks(csv("symbol,published_at", "VCB,2025-07-28"), NewsReader())
