"""What a storm comes to: faults by kind, how long they took to heal, and what is wrong afterwards."""

from __future__ import annotations

import msgspec
import numpy as np

from vnpulse.chaos.outcome import Outcome, differences
from vnpulse.chaos.storm import Healed


class KindReport(msgspec.Struct, frozen=True):
    """Seconds until everything ran again and nothing sent waited, over the faults of one kind."""

    count: int
    p50_s: float
    p99_s: float
    worst_s: float


class Report(msgspec.Struct, frozen=True):
    """``problems`` is empty when the stormy run left exactly what the calm one did."""

    seed: int
    faults: int
    together: int
    """Faults that struck before another had healed, and those others."""
    by_kind: dict[str, KindReport]
    not_run: dict[str, str]
    """Kinds that are not possible here, and why."""
    recovery: KindReport
    bars: int
    results: int
    alerts: int
    minutes_sent_again: int
    repeated_in_topics: int
    """Results and alerts that a reader of committed records finds twice, with the same id."""
    duplicates_suppressed: int
    """Raw records, results and alerts that came more than once and left one trace."""
    problems: list[str]


def make_report(
    seed: int,
    healed: list[Healed],
    calm: Outcome,
    stormy: Outcome,
    again: int,
    not_run: dict[str, str],
) -> Report:
    """Sum up a run."""
    kinds = sorted({one.fault.value for one in healed})
    return Report(
        seed=seed,
        faults=len(healed),
        together=sum(one.together for one in healed),
        not_run=not_run,
        by_kind={kind: _kind([one.seconds for one in healed if one.fault.value == kind]) for kind in kinds},
        recovery=_kind([one.seconds for one in healed]),
        bars=sum(len(rows) for rows in stormy.bars.values()),
        results=len(stormy.results),
        alerts=len(stormy.alerts),
        minutes_sent_again=again,
        repeated_in_topics=stormy.repeated,
        duplicates_suppressed=stormy.repeated + max(0, stormy.raw_records - calm.raw_records),
        problems=differences(calm, stormy),
    )


def _kind(seconds: list[float]) -> KindReport:
    if not seconds:
        return KindReport(0, 0.0, 0.0, 0.0)
    p50, p99 = np.percentile(np.array(seconds), [50, 99])
    return KindReport(len(seconds), round(float(p50), 1), round(float(p99), 1), round(max(seconds), 1))
