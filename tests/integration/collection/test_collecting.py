"""Collecting on the real stack: the command, the pipeline, and a backfill that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from tests.integration.collection.feed_server import Answer, FeedServer, item, rss
from tests.integration.collection.market_proxy import KBS, VCI, MarketProxy
from tests.integration.trial import BIN, Trial
from tests.integration.waiting import eventually
from vnpulse.messages import NewsItem, PriceBar
from vnpulse.store.status import StatusStore
from vnpulse.topics import NEWS, PRICES

DATE = "Mon, 28 Jul 2025 09:05:00 +0700"


def decoded(trial: Trial, topic: str, kind: type) -> list:  # type: ignore[type-arg]
    return [msgspec.json.decode(record.value or b"", type=kind) for record in trial.records(topic)]


def feeds(server: FeedServer, **more: object) -> dict[str, object]:
    return {"feeds": [{"name": "feed", "source": "Báo", "url": f"{server.url}/rss", "every_s": 3600}], **more}


def test_collect_once_asks_each_source_and_says_what_came(
    collecting: Callable[..., Trial], server: FeedServer, proxy: MarketProxy
) -> None:
    server.paths["/rss"] = Answer(
        rss(item("VCB tăng vốn", "https://site.vn/1", DATE), item("", "https://site.vn/2"))
    )
    trial = collecting(
        prices={"symbols": ["VCB", "FPT"]},
        news=feeds(server),
        schedule={"points": [{"name": "open", "anchor": "open"}]},
    )
    done = trial.vnpulse("collect", "--once", env=proxy.environment())
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines() if line.strip().startswith("news")] == [
        ["news", "1", "1", "wrong-type", "1", "of", "1", "sources", "answer"]
    ]
    assert "from vci" in done.stdout
    assert "vnstocks.com" not in done.stdout + done.stderr
    assert proxy.requests == {VCI: 1}
    assert proxy.bodies[0]["symbols"] == ["FPT", "VCB"]
    assert [article.title for article in decoded(trial, NEWS, NewsItem)] == ["VCB tăng vốn"]
    (letter,) = trial.dead_letters(NEWS)
    assert letter.headers["reason"] == "wrong-type"
    # Both sources away is one line and exit code 1; the news are there all the same.
    proxy.faults = {VCI: "garbage", KBS: "500"}
    failed = trial.vnpulse("collect", "--once", env=proxy.environment())
    assert failed.returncode == 1
    assert "vci: board" in failed.stdout
    assert len(trial.records(NEWS)) == 1, "what was sent is not sent again"


def test_the_pipeline_collects_shows_its_health_and_survives_its_actors(
    collecting: Callable[..., Trial], server: FeedServer, tmp_path: Path
) -> None:
    bars = tmp_path / "bars.jsonl"
    bars.write_text("")
    server.paths["/rss"] = Answer(rss(item("Một", "https://site.vn/1", DATE), item("", "https://site.vn/2")))
    trial = collecting(
        prices={"symbols": ["VCB"], "sources": ["file"], "file": str(bars)},
        news=feeds(server),
        schedule={"points": [{"name": "open", "anchor": "open"}]},
    )
    (driver,) = trial.run_pipelines("collection")
    names = {"collection/prices", "collection/news", "collection/schedule"}
    assert eventually(lambda: names <= set(trial.actors()))
    assert eventually(lambda: len(trial.records(NEWS)) == 1)
    assert eventually(lambda: "rejected 1 wrong-type" in trial.vnpulse("health").stdout)
    collection = next(x for x in trial.vnpulse("health").stdout.splitlines() if " collection " in x)
    assert collection.startswith("ok")
    assert "3 actor(s)" in collection
    assert "news: 1 of 1 sources answer" in collection
    refused = trial.vnpulse("collect", "--once", "--only", "news")
    assert refused.returncode == 2
    assert refused.stderr.startswith("collection/news runs already in the pipelines")

    asked = len(server.seen)
    trial.kill_actor("collection/news")
    rows = {row["name"]: row for row in StatusStore(trial.database()).read()}
    assert rows["collection/news"]["restarts"] == 1
    assert len(server.seen) == asked, "whoever takes over asks when it is due, not at once"
    assert driver.terminate() == 0
    assert len(trial.records(NEWS)) == 1


def test_follow_collects_until_ctrl_c(
    collecting: Callable[..., Trial], server: FeedServer, tmp_path: Path
) -> None:
    server.paths["/rss"] = Answer(rss(item("Một", "https://site.vn/1", DATE)))
    trial = collecting(
        prices={"symbols": ["VCB"], "sources": ["file"], "file": str(tmp_path / "none.csv")},
        news=feeds(server),
    )
    command = [str(BIN / "vnpulse"), "collect", "--follow", "--config", str(trial.config)]
    following = subprocess.Popen(
        command, cwd=trial.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert eventually(lambda: len(trial.records(NEWS)) == 1)
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=60)
    assert following.returncode == 0, err
    assert err.startswith("collecting prices, news; stop with Ctrl-C")
    assert "1 of 1 sources answer" in out


def test_a_killed_backfill_goes_on_where_it_was(collecting: Callable[..., Trial], proxy: MarketProxy) -> None:
    trial = collecting(prices={"symbols": ["VCB"], "sources": ["vci"]})
    arguments = ["backfill", "--symbols", "VCB,FPT,HPG", "--interval", "1d", "--from", "2023-01-02"]
    arguments += ["--to", "2025-07-29"]
    environment = {**os.environ, **proxy.environment()}
    command = [str(BIN / "vnpulse"), *arguments, "--config", str(trial.config)]
    chunks = trial.database()["backfill"]
    with subprocess.Popen(command, env=environment, cwd=trial.folder, stdout=subprocess.DEVNULL) as first:
        try:
            assert eventually(lambda: len(list(chunks.find({}))) >= 1)
            children = psutil.Process(first.pid).children()
        finally:
            first.kill()
    assert eventually(lambda: not any(child.is_running() for child in children)), (
        "vnstock ends with its owner"
    )

    noted = {document["_id"] for document in chunks.find({})}
    before = proxy.requests[VCI]
    done = trial.vnpulse(*arguments, env=proxy.environment())
    assert done.returncode == 0, done.stderr
    # One part a year and symbol; 2023 and 2024 have nothing and are asked for each time.
    assert proxy.requests[VCI] - before == 9 - len(noted)
    assert f"{len(noted)} done before" in done.stdout
    assert "gap: VCB 2023-01-03 to 2025-07-22 (634 days)" in done.stdout
    bars = decoded(trial, PRICES, PriceBar)
    distinct = Counter((bar.symbol, bar.time) for bar in bars)
    assert len(distinct) == 3 * 5
    assert {(b.interval, b.source) for b in bars} == {("1d", "vci")}

    again = trial.vnpulse(*arguments, env=proxy.environment())
    assert again.stdout.startswith("0 bars sent")
    assert len(trial.records(PRICES)) == len(bars)
