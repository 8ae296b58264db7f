"""A technical analyzer that is ten times too slow, watched for minutes, as JSON.

``.venv/bin/python -m benchmarks.back_pressure [--seconds 180] [--rate 200]`` sends bars of 48 symbols to a
stack of its own. Each request for a symbol takes so long that the analyzer does a tenth of the rate
even when every poll coalesces as much as it can. Every few seconds: memory (resident MB) by
component, lag by group, pauses, what waits at the analyzer. Then the slowness ends, and everything is
to be worked off: stored and analysed once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from typing import Any

from benchmarks.feed import Feed
from benchmarks.own_deployment import own_deployment
from benchmarks.pipeline import usage
from tests.faulty_analyzers import fault_file
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.lags import LagReader
from vnpulse.messages import AnalysisResult
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore
from vnpulse.topics import RESULTS

SYMBOLS = 48
TOO_SLOW = 10
LOOK_S = 5.0
DRAIN_TIMEOUT_S = 600.0


def lags(settings: Settings) -> dict[str, int]:
    """Return the lag of each group."""
    found: dict[str, int] = defaultdict(int)
    with LagReader(settings.kafka) as reader:
        for row in reader.read():
            found[row.group] += row.lag
    return dict(found)


def look(settings: Settings) -> dict[str, Any]:
    """Return how things stand."""
    rows = StatusStore(connect(settings.store)).read()
    consumers = [row for row in rows if "pauses" in row]
    return {
        "rss_mb": {name: round(row["rss_mb"]) for name, row in sorted(usage().items())},
        "lag": lags(settings),
        "pauses": {row["pipeline"]: row["pauses"] for row in consumers if row["pauses"]},
        "behind_s": max((max(row["behind_s"].values()) for row in consumers if row["behind_s"]), default=0.0),
        "waiting": max((row["waiting"] for row in rows if "waiting" in row), default=0),
        "not_running": [row["name"] for row in rows if row["status"] != "running"],
    }


def results(settings: Settings) -> Counter[str]:
    """Return how often each technical result is on the topic, by id."""
    topic = settings.kafka.topic(RESULTS)
    with KafkaAdmin(settings.kafka) as admin:
        partitions = admin.topics([topic])[topic].partitions
    decode = open_codecs(settings).decoder(AnalysisResult)
    consumer = AssignedConsumer(settings.kafka, topic, range(partitions), None, "benchmark")
    found: Counter[str] = Counter()
    ends = consumer.end_offsets()
    while any(consumer.positions[p] < end for p, end in ends.items()):
        for batch in consumer.poll(200):
            found.update(decode(value).result_id for value in batch.values if value is not None)
    consumer.close()
    return found


def measure(seconds: float, rate: float) -> dict[str, Any]:
    """Watch a slow analyzer for ``seconds`` while ``rate`` bars come a second."""
    with own_deployment("tests.faulty_analyzers", sentiment={"model": "lexicon"}) as deployment:
        most_coalesced = deployment.settings.kafka.consumer.max_poll_records / SYMBOLS
        slow_s = TOO_SLOW * most_coalesced / rate
        fault = fault_file(deployment.settings)
        deployment.start_stack()
        deployment.start_pipelines()
        settings = deployment.settings
        fault.write_text(f"slow {slow_s}")
        feed = Feed(settings, SYMBOLS, rate)
        feed.start()
        began = time.monotonic()
        looks = []
        while (elapsed := time.monotonic() - began) < seconds:
            looks.append({"at_s": round(elapsed), "sent": feed.sent, **look(settings)})
            print(json.dumps(looks[-1]), file=sys.stderr)
            time.sleep(max(0.0, LOOK_S - (time.monotonic() - began - elapsed)))
        sent = feed.stop()
        fault.unlink()
        eased = time.monotonic()
        while sum(lags(settings).values()) and time.monotonic() - eased < DRAIN_TIMEOUT_S:
            time.sleep(1.0)
        drained_s = time.monotonic() - eased
        found = results(settings)
        restarts = sum(row["restarts"] for row in StatusStore(connect(settings.store)).read())
        looks.append({"at_s": round(time.monotonic() - began), "sent": sent, **look(settings)})
    third = looks[len(looks) // 3]
    return {
        "cores": os.cpu_count(),
        "seconds": seconds,
        "rate_bars_s": rate,
        "slow_s_a_request": round(slow_s, 3),
        "sent": sent,
        "results": sum(found.values()),
        "results_doubled": sum(found.values()) - len(found),
        "worked_off_after_s": round(drained_s, 1),
        "restarts": restarts,
        "rss_mb_grown_in_the_last_two_thirds": {
            name: looks[-2]["rss_mb"].get(name, 0) - megabytes for name, megabytes in third["rss_mb"].items()
        },
        "looks": looks,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--rate", type=float, default=200.0, help="bars a second")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.seconds, arguments.rate), indent=2))


if __name__ == "__main__":
    main()
