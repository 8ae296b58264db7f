"""Files and memory as sources."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.unit.collection.conftest import ms
from tests.unit.collection.test_backfill import bar
from vnpulse.clock import ManualClock
from vnpulse.collection.file_source import FileMarket, FileNews
from vnpulse.collection.sources import SourceUnavailable


def test_the_board_of_a_file_is_what_its_finished_minutes_add_up_to(tmp_path: Path) -> None:
    path = tmp_path / "bars.jsonl"
    lines = [bar("2025-07-25T14:45"), bar("2025-07-28T09:15"), bar("2025-07-28T09:16", high=12.0)]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    clock = ManualClock(ms("2025-07-28T09:16:30"))
    market = FileMarket(path, clock)
    board = market.board(["FPT", "VCB"])
    assert (board.symbols, board.volume.tolist(), board.high.tolist()) == (["FPT"], [100.0], [11.0])
    clock.advance(60_000)
    assert market.board(["FPT"]).volume.tolist() == [200.0]
    # Something else adds to it.
    with path.open("ab") as file:
        file.write(msgspec.json.encode(bar("2025-07-28T09:17")) + b"\n")
    clock.advance(60_000)
    assert market.board(["FPT"]).volume.tolist() == [300.0]


def test_a_file_that_is_not_there_is_a_source_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"bars\.jsonl: No such file"):
        FileMarket(tmp_path / "bars.jsonl", ManualClock(0)).board(["FPT"])


def test_articles_of_a_file_come_once_until_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "news.csv"
    head = "news_id,symbol,title,content,source,source_url,published_at\n"
    path.write_text(head + "1,VCB,Một,,Báo,https://site.vn/1,2025-07-28T09:05:00+07:00\n2,,,,,,\n")
    news = FileNews(path, ManualClock(ms("2025-07-28T10:00:00")))
    assert [article.title for article in news.fetch()] == ["Một"]
    assert "news.csv: 1 rows cannot be used; the first is 3: " in caplog.text
    news.confirm()
    again = FileNews(path, ManualClock(ms("2025-07-28T10:00:00")))
    again.load(news.dump())
    assert again.fetch() == []
    path.write_text(head + "1,VCB,Một (sửa),,Báo,https://site.vn/1,2025-07-28T09:05:00+07:00\n")
    os.utime(path, ns=(1, 1))
    assert [article.title for article in again.fetch()] == ["Một (sửa)"]
