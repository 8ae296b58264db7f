"""How long a killed technical analyzer is missed, as JSON.

``.venv/bin/python -m benchmarks.analyzer_killed [--symbols 1600] [--bars 500] [--kills 3]`` fills the
store of a stack of its own (a minute or two), sends bars at 100 a second, and kills the analyzer's process.
Seconds from the kill: until the supervisor noticed, until the new process was up, until it could
answer, until the first result of it was on the topic, and until it had loaded everything.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feed import Feed
from benchmarks.own_deployment import own_deployment
from benchmarks.warm_up import batches
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.settings import Settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore
from vnpulse.topics import RESULTS, load_topics

ACTOR = "technical/0"
FED_SYMBOLS, RATE = 48, 100.0
TIMEOUT_S = 300.0
PERIOD_S = 0.02


def fill(settings: Settings, symbols: int, bars: int) -> None:
    """Write history that did not come through Kafka."""
    store = BarStore(connect(settings.store))
    store.ensure_indexes()
    for batch in batches(symbols, bars):
        nowhere = np.full(len(batch), -1, np.int64)
        store.write([replace(batch, topic="", partition=-1, offsets=nowhere, append_ms=nowhere * 0)])


def said_at(log: Path, text: str, after_s: float) -> float:
    """Return when (epoch seconds) the driver first said ``text`` after a moment; wait for it."""
    give_up_at = time.monotonic() + TIMEOUT_S
    while time.monotonic() < give_up_at:
        for line in log.read_text().splitlines():
            if text not in line:
                continue
            at = dt.datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
            if at >= after_s:
                return at
        time.sleep(PERIOD_S)
    raise RuntimeError(f"{log} never said {text!r}")


def row_of(settings: Settings) -> dict[str, Any]:
    """Return what the supervisor last said of the analyzer."""
    return next(row for row in StatusStore(connect(settings.store)).read() if row["name"] == ACTOR)


def first_append_s(results: AssignedConsumer, after_s: float) -> float:
    """Return when (epoch seconds, the broker's) the first record after a moment was appended."""
    give_up_at = time.monotonic() + TIMEOUT_S
    while time.monotonic() < give_up_at:
        for batch in results.poll(200):
            later = batch.timestamps[batch.timestamps >= after_s * 1000]
            if len(later):
                return float(later.min()) / 1000
    raise RuntimeError("no result came any more")


def kill_once(settings: Settings, log: Path) -> dict[str, float]:
    """Kill the analyzer, and time what follows."""
    topic = settings.kafka.topic(RESULTS)
    partitions = range(load_topics()[RESULTS].partitions)
    kafka = settings.kafka.model_copy(
        update={"consumer": settings.kafka.consumer.model_copy(update={"auto_offset_reset": "latest"})}
    )
    results = AssignedConsumer(kafka, topic, partitions, None, "benchmark")
    first_append_s(results, 0.0)  # everything flows
    pid = row_of(settings)["pid"]
    killed = time.time()
    os.kill(pid, signal.SIGKILL)
    noticed = said_at(log, f"{ACTOR}: died", killed)
    runs = said_at(log, f"{ACTOR} runs", noticed)
    result = first_append_s(results, noticed)
    results.close()
    give_up_at = time.monotonic() + TIMEOUT_S
    while True:
        row = row_of(settings)
        if row["pid"] != pid and row.get("warm_up_s"):
            break
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"it never loaded everything: {row}")
        time.sleep(PERIOD_S)
    began = runs - row["ready_s"]
    return {
        "noticed": round(noticed - killed, 2),
        "process_up": round(began - killed, 2),
        "answers": round(runs - killed, 2),
        "first_result": round(result - killed, 2),
        "everything_loaded": round(began + row["warm_up_s"] - killed, 2),
        "loading_took": row["warm_up_s"],
        "symbols": row["symbols"],
    }


def measure(symbols: int, bars: int, kills: int) -> dict[str, Any]:
    """Fill a store, start everything, kill the analyzer several times."""
    with own_deployment(sentiment={"model": "lexicon"}, technical={"history_bars": 512}) as deployment:
        deployment.start_stack()
        fill(deployment.settings, symbols, bars)
        deployment.start_pipelines()
        log = deployment.log_path
        assert log is not None
        feed = Feed(deployment.settings, FED_SYMBOLS, RATE, first_minute=bars)
        feed.start()
        timed = [kill_once(deployment.settings, log) for _ in range(kills)]
        feed.stop()
    return {"cores": os.cpu_count(), "symbols": symbols, "bars": bars, "kills_s": timed}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--symbols", type=int, default=1_600)
    parser.add_argument("--bars", type=int, default=500)
    parser.add_argument("--kills", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.symbols, arguments.bars, arguments.kills), indent=2))


if __name__ == "__main__":
    main()
