"""What a person sees while the replay runs."""

from __future__ import annotations

import datetime as dt

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vnpulse.demo.replay import Replay
from vnpulse.demo.sample import Sample
from vnpulse.demo.summary import Latency, Summary
from vnpulse.demo.watcher import Watcher
from vnpulse.messages import VIETNAM, Alert
from vnpulse.settings import Settings
from vnpulse.topics import CONSUMED

STYLES = {"buy_signal": "green", "sell_signal": "red", "risk_alert": "yellow"}


def market_time(epoch_ms: int) -> str:
    """Return a moment as a Vietnamese clock shows it."""
    return f"{dt.datetime.fromtimestamp(epoch_ms / 1000, VIETNAM):%a %Y-%m-%d %H:%M}"


def progress_line(sample: Sample, replay: Replay, watcher: Watcher, rate: float) -> str:
    """Return the state of the replay as one line, for logs."""
    lag = sum(watcher.lags.values())
    return (
        f"{market_time(replay.market_time_ms)}  sent {replay.bars_sent}/{sample.bar_count} bars"
        f" ({rate:.0f}/s)  analysed {len(watcher.analysed_bars)}  lag {lag}"
        f"  alerts {sum(watcher.alerts_by_type.values())}"
    )


def live_view(
    sample: Sample, replay: Replay, watcher: Watcher, rate: float, settings: Settings
) -> RenderableType:
    """Return the screen: progress, lag by group, the last alerts."""
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(market_time(replay.market_time_ms), style="bold"),
        ProgressBar(total=len(sample.minutes), completed=replay.minutes_sent, width=40),
        f"{rate:,.0f} bars/s",
        f"{replay.bars_sent:,} bars, {replay.news_sent} articles sent",
        f"{len(watcher.analysed_bars):,} analysed",
    )
    lags = Table("consumer group", "topic", "lag", title="Lag", title_justify="left", box=None)
    for topic, group in CONSUMED.items():
        lag = watcher.lags.get(settings.kafka.topic(topic))
        lags.add_row(group, topic, "?" if lag is None else f"{lag:,}")
    alerts = Table(title="Last alerts", title_justify="left", box=None, show_header=False)
    for alert in reversed(watcher.last_alerts):
        alerts.add_row(*_alert_cells(alert))
    return Group(head, Text(), lags, Text(), alerts, Text(f"Ray dashboard: {settings.ray.dashboard_url}"))


def _alert_cells(alert: Alert) -> tuple[RenderableType, ...]:
    target = "" if alert.data.target_price is None else f"target {alert.data.target_price:g}"
    return (
        f"{alert.timestamp:%a %H:%M}",
        Text(alert.symbol, style="bold"),
        Text(alert.alert_type, style=STYLES[alert.alert_type]),
        alert.priority,
        alert.data.recommendation,
        target,
        Text(alert.message, overflow="ellipsis", no_wrap=True),
    )


def print_summary(console: Console, summary: Summary) -> None:
    """Print the table that a replay ends with."""
    table = Table("", "sent", "stored", "analysed", title="Summary", title_justify="left")
    table.add_row("bars", f"{summary.bars_sent:,}", f"{summary.bars_stored:,}", f"{summary.bars_analysed:,}")
    table.add_row("articles", str(summary.news_sent), str(summary.news_stored), str(summary.news_analysed))
    console.print(table)
    kinds = ", ".join(f"{count} {kind}" for kind, count in summary.alerts_by_type.items())
    console.print(f"Results        {summary.results:,}")
    console.print(f"Alerts         {summary.alerts}{f' ({kinds})' if kinds else ''}")
    console.print(f"Dead letters   {summary.dead_letters}")
    console.print(f"Lag            {summary.lag}")
    console.print(f"Bar to result  {_shown(summary.bar_to_result)}")
    console.print(f"Bar to alert   {_shown(summary.bar_to_alert)}")
    first = (
        ""
        if summary.first_alert_s is None
        else f", first alert {summary.first_alert_s:.1f} s after the start"
    )
    console.print(f"Time           {summary.replay_s:.1f} s of replay{first}")
    console.print("(Daily bars are stored as context and not analysed. Latency is from append to append.)")


def _shown(latency: Latency) -> str:
    if latency.p50_ms is None or latency.p99_ms is None:
        return "-"
    return f"p50 {latency.p50_ms:.0f} ms, p99 {latency.p99_ms:.0f} ms"
