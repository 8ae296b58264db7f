"""``vnpulse demo``: the whole system on real parts and a shipped sample, checked at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Annotated

import msgspec
import typer
from rich.live import Live

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out
from vnpulse.cli.stack import interrupt_on_sigterm, stop_on_signals
from vnpulse.demo.replay import Replay
from vnpulse.demo.sample import Sample, load_sample
from vnpulse.demo.summary import Summary, summarize
from vnpulse.demo.view import live_view, print_summary, progress_line
from vnpulse.demo.watcher import Watcher
from vnpulse.embedded.parent import end_with_parent
from vnpulse.errors import VnpulseError
from vnpulse.launcher import Deployment
from vnpulse.settings import load_settings
from vnpulse.side_stack import empty_folder, side_settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect

VIEW_PERIOD_S = 0.25
LINE_PERIOD_S = 5.0
PROGRESS_TIMEOUT_S = 60.0
"""Without a new result for so long while there is lag, something is wrong."""


def demo(
    config: ConfigOption = DEFAULT,
    speed: Annotated[
        float, typer.Option(min=0, help="Times faster than the market; 0: as fast as it goes.")
    ] = 1200,
    symbols: Annotated[str, typer.Option(help="Only these, separated by commas [all 48].")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after the replay until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replay three real trading days through Kafka, Ray and the store, and show the alerts.

    Uses a state folder of its own beside the configured one, emptied at the start, so it neither
    sees nor touches what `vnpulse up` keeps. Exit code 0 only if every bar and article sent was
    stored and analysed and no lag is left.
    """
    began = time.monotonic()
    sample = load_sample([s.strip().upper() for s in symbols.split(",") if s.strip()])
    folder = empty_folder(load_settings(config), "demo")
    settings, demo_config = side_settings(load_settings(config), folder)
    end_with_parent()
    interrupt_on_sigterm()
    with Deployment(settings, demo_config, err.print) as deployment:
        deployment.start_stack()
        BarStore(connect(deployment.settings.store)).write([sample.history])
        err.print(f"store: {len(sample.history)} daily bars before {sample.first_day} for warm-up")
        deployment.start_pipelines()
        stopping = stop_on_signals()
        err.print(f"Ray dashboard: {deployment.settings.ray.dashboard_url}")
        summary = _replay(sample, deployment, speed, began, stopping)
        if as_json:
            out.print_json(msgspec.json.encode(summary).decode())
        else:
            print_summary(out, summary)
        if keep and not stopping.is_set():
            out.print(f"\nStill up; Ctrl-C ends it. Look around with: export VNPULSE_CONFIG={demo_config}")
            out.print("  vnpulse alerts list; vnpulse alerts explain ID; vnpulse lag; vnpulse health")
            while not stopping.wait(1.0):
                failure = deployment.failed()
                if failure is not None:
                    raise VnpulseError(failure)
    if stopping.is_set() and summary.problems:
        raise KeyboardInterrupt
    if summary.problems:
        raise VnpulseError("the replay is not complete: " + "; ".join(summary.problems))


def _replay(
    sample: Sample, deployment: Deployment, speed: float, began: float, stopping: threading.Event
) -> Summary:
    watcher = Watcher(deployment.settings)
    replay = Replay(sample, deployment.settings, speed)
    watcher.start()
    replay_began = time.monotonic()
    replay.start()
    try:
        first_alert_s = _watch(sample, replay, watcher, deployment, began, stopping)
    finally:
        replay.cancel()
        watcher.stop()
    replay_s = time.monotonic() - replay_began
    return summarize(sample, replay, watcher, deployment.settings, replay_s, first_alert_s)


def _watch(
    sample: Sample,
    replay: Replay,
    watcher: Watcher,
    deployment: Deployment,
    began: float,
    stopping: threading.Event,
) -> float | None:
    """Show the replay until all of it is worked off, or told to stop; return when the first alert came."""
    first_alert_s: float | None = None
    progress = (0, time.monotonic())
    line_due = time.monotonic()
    rates = _Rate()
    interactive = err.is_terminal and os.environ.get("CI") is None
    with Live(console=err, auto_refresh=False, transient=True) if interactive else _NoLive() as live:
        while not stopping.wait(VIEW_PERIOD_S):
            now = time.monotonic()
            rate = rates.update(now, replay.bars_sent)
            if first_alert_s is None and watcher.alert_ids:
                first_alert_s = now - began
            if isinstance(live, Live):
                live.update(live_view(sample, replay, watcher, rate, deployment.settings), refresh=True)
            elif now >= line_due:
                err.print(progress_line(sample, replay, watcher, rate))
                line_due = now + LINE_PERIOD_S
            failure = deployment.failed() or _text(watcher.failure) or _text(replay.failure)
            if failure is not None:
                raise VnpulseError(failure)
            done = len(watcher.result_ids)
            if done != progress[0]:
                progress = (done, now)
            complete = replay.finished and watcher.has_all_of(sample)
            stuck = replay.finished and now - progress[1] > PROGRESS_TIMEOUT_S
            if complete or stuck:
                break
    return first_alert_s


class _Rate:
    """Bars a second over the last few seconds."""

    WINDOW_S = 3.0

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []

    def update(self, now: float, count: int) -> float:
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[0][0] > self.WINDOW_S:
            self._points.pop(0)
        (t0, c0), (t1, c1) = self._points[0], self._points[-1]
        return (c1 - c0) / (t1 - t0) if t1 > t0 else 0.0


class _NoLive:
    """Stands in for the live view where output is a log."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()


def _text(error: Exception | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"
