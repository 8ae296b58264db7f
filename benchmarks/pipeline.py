"""The whole pipeline on the embedded stack: throughput, latency, CPU and memory, as JSON.

Run by hand on a quiet machine: ``.venv/bin/python benchmarks/pipeline.py``. Each run has a stack
of its own in a temporary folder. Latency is between broker append times, from a bar's record to
its result's.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from typing import Any

import psutil

from benchmarks.own_deployment import own_deployment
from vnpulse.demo.replay import MINUTE_S, Replay
from vnpulse.demo.sample import Sample, load_sample
from vnpulse.demo.summary import summarize
from vnpulse.demo.watcher import Watcher
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect

POLL_S = 0.05
TIMEOUT_S = 600.0


def component(process: psutil.Process) -> str:
    """Return what a process belongs to."""
    command = " ".join(process.cmdline())
    for mark, name in (
        ("ray::TechnicalActor", "technical actor"),
        ("ray::SentimentActor", "sentiment actor"),
        ("ray::PartitionConsumer", "partition consumers"),
        ("pipelines.run", "driver"),
        ("kafka.Kafka", "kafka"),
        ("secantus", "store"),
        ("reaper.py", "guardians"),
    ):
        if mark in command:
            return name
    return "benchmark itself" if process.pid == os.getpid() else "ray"


def usage() -> dict[str, dict[str, float]]:
    """Return CPU seconds, resident MB and process count by component, of us and all descendants."""
    rows: dict[str, dict[str, float]] = defaultdict(lambda: {"cpu_s": 0.0, "rss_mb": 0.0, "processes": 0})
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            row = rows[component(process)]
            times = process.cpu_times()
            row["cpu_s"] += times.user + times.system
            row["rss_mb"] += process.memory_info().rss / 1e6
            row["processes"] += 1
        except psutil.Error:
            continue  # ended between the listing and the look
    return rows


def measure(sample: Sample, rate: float) -> dict[str, Any]:
    """Replay ``sample`` at ``rate`` bars/s (0: as fast as it goes) on a fresh stack."""
    with own_deployment() as deployment:
        deployment.start_stack()
        BarStore(connect(deployment.settings.store)).write([sample.history])
        deployment.start_pipelines()
        speed = rate / (sample.bar_count / len(sample.minutes)) * MINUTE_S
        watcher, replay = Watcher(deployment.settings), Replay(sample, deployment.settings, speed)
        watcher.start()
        before = usage()
        began = time.monotonic()
        replay.start()
        try:
            while not (replay.finished and watcher.has_all_of(sample)):
                if time.monotonic() - began > TIMEOUT_S or deployment.failed() or replay.failure:
                    break
                time.sleep(POLL_S)
            elapsed = time.monotonic() - began
            after = usage()
        finally:
            replay.cancel()
            watcher.stop()
        summary = summarize(sample, replay, watcher, deployment.settings, elapsed, None)
    cpu = {name: round(after[name]["cpu_s"] - before[name]["cpu_s"], 2) for name in sorted(after)}
    return {
        "rate_asked_bars_s": rate or "unlimited",
        "bars": summary.bars_sent,
        "seconds": round(elapsed, 2),
        "bars_per_s": round(summary.bars_sent / elapsed, 1),
        "bar_to_result_ms": {"p50": summary.bar_to_result.p50_ms, "p99": summary.bar_to_result.p99_ms},
        "bar_to_alert_ms": {"p50": summary.bar_to_alert.p50_ms, "p99": summary.bar_to_alert.p99_ms},
        "cpu_s": cpu,
        "cpu_s_per_100k_bars": round(sum(cpu.values()) / summary.bars_sent * 100_000, 1),
        "rss_mb": {name: round(row["rss_mb"]) for name, row in sorted(after.items())},
        "processes": {name: int(row["processes"]) for name, row in sorted(after.items())},
        "problems": summary.problems,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="500,0", help="bars/s, separated by commas; 0: unlimited")
    arguments = parser.parse_args()
    sample = load_sample()
    runs = [measure(sample, float(rate)) for rate in arguments.rates.split(",")]
    print(json.dumps({"cores": os.cpu_count(), "symbols": len(sample.symbols), "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
