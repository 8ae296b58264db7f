"""The real vnstock, unmodified and isolated, against a proxy that serves its sources' documented shapes."""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.collection.market_proxy import KBS, VCI, MarketProxy
from tests.integration.waiting import eventually
from vnpulse.clock import SystemClock
from vnpulse.collection.company_news import CompanyNews
from vnpulse.collection.fallback import FallbackMarket
from vnpulse.collection.pace import TokenBucket
from vnpulse.collection.settings import VnstockSettings
from vnpulse.collection.sources import Board, NothingThere, SourceBlocked, SourceUnavailable
from vnpulse.collection.vnstock_market import VnstockMarket
from vnpulse.collection.vnstock_process import VnstockProcess, child_environment

CLOCK = SystemClock()
MONDAY = dt.date(2025, 7, 28)
TIMEOUT_S = 90.0
"""Above the 3 tries and the pauses that vnstock makes of its own, on a busy machine."""


@pytest.fixture
def make_process(python: Path, proxy: MarketProxy, tmp_path: Path) -> Iterator[Callable[..., VnstockProcess]]:
    made: list[VnstockProcess] = []

    def make() -> VnstockProcess:
        settings = VnstockSettings(python=python, scratch=tmp_path / "scratch", call_timeout_s=TIMEOUT_S)
        bucket = TokenBucket(10_000, CLOCK, lambda _: None)
        environment = {"PATH": os.environ["PATH"], **proxy.environment()}
        made.append(VnstockProcess(settings, bucket, CLOCK, environment=environment))
        return made[-1]

    yield make
    for process in made:
        process.close()


def as_shown(board: Board) -> dict[str, tuple[float, ...]]:
    columns = (board.price, board.open, board.high, board.low, board.volume)
    return {s: tuple(float(c[i]) for c in columns) for i, s in enumerate(board.symbols)}


def files_under(*folders: Path) -> set[tuple[str, int]]:
    """Return the files of ``folders`` with the times of their last changes."""
    found = (path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file())
    return {(str(path), path.stat().st_mtime_ns) for path in found}


def test_both_sources_give_the_same_in_our_units_and_nothing_is_written_or_printed_outside(
    python: Path,
    proxy: MarketProxy,
    make_process: Callable[..., VnstockProcess],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home = Path.home()
    watched = [python.parents[1], *(home / name for name in (".claude", ".codex", ".gemini", ".vnstock"))]
    before = files_under(*watched), set(os.listdir(Path.cwd())), set(os.listdir(home))
    process = make_process()
    vci, kbs = VnstockMarket("VCI", process, CLOCK), VnstockMarket("KBS", process, CLOCK)

    expected = {"VCB": (86.0, 85.6, 86.2, 85.4, 1_234_500.0), "SHS": (86.0, 85.6, 86.2, 85.4, 9_100.0)}
    assert as_shown(vci.board(["VCB", "SHS"])) == expected
    board = kbs.board(["VCB", "SHS"])
    assert as_shown(board) == expected
    assert board.time_ms.tolist() == [1_753_668_900_000] * 2

    minutes = vci.history("VCB", "1m", MONDAY, MONDAY)
    assert [f"{bar.time:%H:%M %z}" for bar in minutes] == [f"09:{m} +0700" for m in range(13, 18)]
    first = minutes[0]
    assert (first.open, first.high, first.low, first.close) == (85.5, 86.0, 85.0, 85.6)
    assert (first.volume, first.source) == (1_000, "vci")
    days = vci.history("VCB", "1d", dt.date(2025, 7, 25), MONDAY)
    assert [bar.time.isoformat() for bar in days] == [
        "2025-07-25T00:00:00+07:00",
        "2025-07-28T00:00:00+07:00",
    ], "VCI gives more than was asked for"
    days = kbs.history("VCB", "1d", dt.date(2025, 7, 25), MONDAY)
    assert [bar.time.isoformat()[:19] for bar in days] == ["2025-07-25T00:00:00", "2025-07-28T00:00:00"]

    company_news = CompanyNews(["VCB"], process, CLOCK)
    (article,) = company_news.fetch()
    assert (article.news_id, article.symbol, article.source) == ("vci:8801", "VCB", "HOSE")
    assert article.title == "VCB: Nghị quyết HĐQT về trả cổ tức"
    assert article.content == "Ngày đăng ký cuối cùng: 15/8"
    assert article.published_at.isoformat() == "2025-07-28T08:15:00+07:00"
    company_news.confirm()
    assert company_news.fetch() == []

    assert (files_under(*watched), set(os.listdir(Path.cwd())), set(os.listdir(home))) == before
    written = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert not [p for p in written if p.name.upper() in ("AGENTS.MD", "CLAUDE.MD", "GEMINI.MD")]
    adverts = (tmp_path / "scratch" / "output.log").read_text()
    assert "vnstocks.com" in adverts, "it did print, and it is here"
    out, err = capfd.readouterr()
    assert "vnstock" not in out + err


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        pytest.param("500", SourceUnavailable, 3, id="500: it tries three times"),
        pytest.param("403", SourceUnavailable, 3, id="403: the same"),
        pytest.param("429", SourceBlocked, 1, id="429: it opens a circuit of its own"),
        pytest.param("garbage", SourceUnavailable, None, id="a maintenance page"),
        pytest.param("empty", SourceUnavailable, None, id="an empty list"),
        pytest.param("cut", SourceUnavailable, None, id="cut in the middle of the body"),
    ],
)
def test_a_source_that_misbehaves_is_told_apart_and_the_other_one_delivers(
    make_process: Callable[..., VnstockProcess],
    proxy: MarketProxy,
    fault: str,
    error: type[Exception],
    requests: int | None,
) -> None:
    process = make_process()
    proxy.faults[VCI] = fault
    vci, kbs = VnstockMarket("VCI", process, CLOCK), VnstockMarket("KBS", process, CLOCK)
    with pytest.raises(error, match="vci: "):
        vci.board(["VCB"])
    if requests is not None:
        assert proxy.requests[VCI] == requests
    proxy.faults[KBS] = "500"  # KBS swallows it and answers with an empty frame
    with pytest.raises(SourceUnavailable, match="kbs: the board is empty"):
        kbs.board(["VCB"])
    proxy.faults.clear()
    market = FallbackMarket([vci, kbs], CLOCK)
    proxy.faults[VCI] = "garbage"
    assert market.board(["VCB"]).source == "kbs"
    assert market.counts["switches"] == 1


def test_a_source_that_is_slow_costs_its_timeout_and_the_process_starts_again(
    make_process: Callable[..., VnstockProcess], proxy: MarketProxy
) -> None:
    process = make_process()
    patient = process._settings
    vci = VnstockMarket("VCI", process, CLOCK)
    vci.board(["VCB"])
    first = process.pid
    proxy.faults[VCI] = "slow"
    process._settings = patient.model_copy(update={"call_timeout_s": 1.0})
    with pytest.raises(SourceUnavailable, match="no answer within 1 s"):
        vci.board(["VCB"])
    process._settings = patient
    proxy.faults.clear()
    assert as_shown(vci.board(["VCB"]))["VCB"][0] == 86.0
    assert process.pid not in (None, first)


def test_a_symbol_without_history_is_nothing_there(
    make_process: Callable[..., VnstockProcess], proxy: MarketProxy
) -> None:
    proxy.faults[VCI] = "empty"
    with pytest.raises(NothingThere):
        VnstockMarket("VCI", make_process(), CLOCK).history("XYZ", "1d", MONDAY, MONDAY)


def test_the_process_that_is_killed_is_started_again_and_none_outlives_its_owner(
    make_process: Callable[..., VnstockProcess],
) -> None:
    process = make_process()
    vci = VnstockMarket("VCI", process, CLOCK)
    vci.board(["VCB"])
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    vci.board(["VCB"])
    child = psutil.Process(process.pid)
    assert process._requests is not None
    process._requests.close()  # what happens to it when its owner is killed
    assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("/nowhere/python", r"vnstock\.python: was /nowhere/python, no such program"),
        ("/bin/true", "its process died in the middle of a call|does not take requests"),
    ],
)
def test_a_python_that_is_none_is_a_source_that_does_not_answer(
    tmp_path: Path, python: str, message: str
) -> None:
    settings = VnstockSettings(python=Path(python), scratch=tmp_path)
    process = VnstockProcess(settings, TokenBucket(100, CLOCK, lambda _: None), CLOCK)
    with pytest.raises(SourceUnavailable, match=message):
        process.call("board", "VCI", symbols=["VCB"])


def test_the_environment_of_the_child_holds_nothing_of_ours(tmp_path: Path) -> None:
    ours = {
        "PATH": "/bin",
        "MONGODB_URI": "mongodb://user:secret@host",
        "HOME": "/root",
        "KAFKA_PASSWORD": "x",
    }
    environment = child_environment(tmp_path, VnstockSettings(), ours)
    assert "secret" not in str(environment)
    assert environment["HOME"] == str(tmp_path)
    assert environment["VNSTOCK_DISABLE_AGENT_SETUP"] == "1"
