"""Notification: alerts go to the channels.

Runs alone with ``python -m pipelines.notification --config FILE``.
"""

from __future__ import annotations

import sys

from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import Cluster, consumer_actors
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import Alert
from vnpulse.notification.channels import open_channels
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.streaming.notification import AlertHandler
from vnpulse.streaming.outputs import Outputs
from vnpulse.topics import ALERTS


def make_handler(settings: Settings, outputs: Outputs, dead_letters: DeadLetters) -> AlertHandler:
    """Connect an AlertHandler; runs inside the consuming actor."""
    decode = open_codecs(settings).decoder(Alert)
    return AlertHandler(open_channels(settings.channels, sys.stdout), dead_letters, decode)


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the actors of this pipeline."""
    placement = cluster.settings.placement.notification
    return consumer_actors(cluster, "notification", ALERTS, placement, {"": make_handler})


if __name__ == "__main__":
    main("notification")
