"""Notification: alerts go to the channels.

Runs alone with ``python -m pipelines.notification --config FILE``.
"""

from __future__ import annotations

import sys

from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import Cluster, consumer_actors, make_dead_letters, make_producer
from vnpulse.notification.channels import open_channels
from vnpulse.settings import Settings
from vnpulse.streaming.notification import AlertHandler
from vnpulse.topics import ALERTS


def make_handler(settings: Settings, name: str) -> AlertHandler:
    """Connect an AlertHandler; runs inside the consuming actor."""
    producer = make_producer(settings, name)
    channels = open_channels(settings.channels, sys.stdout)
    return AlertHandler(channels, producer, make_dead_letters(producer, name))


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the actors of this pipeline."""
    placement = cluster.settings.placement.notification
    return consumer_actors(cluster, "notification", ALERTS, placement, make_handler)


if __name__ == "__main__":
    main("notification")
