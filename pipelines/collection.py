"""Collection: prices, news and the schedule of configs/sources.yaml into the raw topics and the triggers.

Part of ``pipelines.run`` where the settings say ``collection: {enabled: true}``. Runs alone with
``python -m pipelines.collection --config FILE``.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from functools import partial

from actors.collector import CollectorActor, CollectorSpec
from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import CONSUMER_STAGE, DRAIN_ORDER, Cluster
from vnpulse.collection.loop import Collector
from vnpulse.collection.settings import SourcesFile
from vnpulse.settings import Settings

log = logging.getLogger("vnpulse.pipelines")


def make_collector(
    kind: str, sources: SourcesFile, settings: Settings, stopping: threading.Event
) -> Collector:
    """Connect a collector; runs inside the actor."""
    from vnpulse.collection.assembly import Assembly

    return Assembly(settings, sources, stopping, log.warning).collector(kind)


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return one actor for each section of the sources file; none where collection is off."""
    settings = cluster.settings
    if not settings.collection.enabled:
        return []
    # Imported where it is needed: most drivers do not collect, and feed and calendar packages cost
    # their supervisor 20 MB.
    from vnpulse.collection.assembly import Assembly, load_sources

    sources = load_sources(settings.collection.sources)
    assembly = Assembly(settings, sources, threading.Event(), log.warning)
    # Other sources are a reason to replace the actors, as other settings are.
    version = hashlib.sha256(f"{cluster.version} {sources!r}".encode()).hexdigest()[:12]
    specs = [
        CollectorSpec(f"collection/{kind}", partial(make_collector, kind, sources), version)
        for kind in assembly.configured()
    ]
    return [
        ActorSpec(
            name=spec.name,
            plain_class=CollectorActor,
            arguments=(spec, settings),
            stage=CONSUMER_STAGE,
            drain_rank=DRAIN_ORDER.index("collection"),
            version=version,
        )
        for spec in specs
    ]


if __name__ == "__main__":
    main("collection")
