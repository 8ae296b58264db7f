"""Every partition is consumed by exactly one actor, whatever the placement."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from actors.ray_port import ActorSpec
from pipelines import aggregation, analysis, notification, storage
from pipelines.versions import supervisor_version
from pipelines.wiring import Cluster, analyzer_actors, consumer_actors
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.placement import AnalyzerPlacement, ConsumerPlacement, PlacementSettings, RaySettings
from vnpulse.settings import Settings
from vnpulse.store.settings import StoreSettings
from vnpulse.topics import ALERTS, CONSUMED, NEWS, PRICES, RESULTS, TRIGGERS

PARTITIONS = {PRICES: 10, NEWS: 5, TRIGGERS: 3, RESULTS: 5, ALERTS: 3}


def settings(prefix: str = "", **placement: Any) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=("k:9092",), topic_prefix=prefix),
        store=StoreSettings(uri=SecretStr("mongodb://x")),
        ray=RaySettings(address="auto"),
        placement=PlacementSettings(**placement),
    )


def make_handler(*_: Any) -> Any:
    raise AssertionError("made in the actor, not here")


def actors(hosts: int, count: int, prefix: str = "") -> list[ActorSpec]:
    cluster = Cluster(settings(prefix), {PRICES: count})
    return consumer_actors(cluster, "storage", PRICES, ConsumerPlacement(hosts=hosts), {"": make_handler})


@given(st.integers(1, 40), st.integers(1, 30))
def test_every_partition_has_exactly_one_actor(hosts: int, count: int) -> None:
    specs = actors(hosts, count)
    spans = [spec.arguments[0].partitions for spec in specs]
    assert sorted(p for span in spans for p in span) == list(range(count))
    assert len(specs) == min(hosts, count)
    assert max(map(len, spans)) - min(map(len, spans)) <= 1
    assert len({spec.name for spec in specs}) == len(specs)


@pytest.mark.parametrize(
    ("hosts", "count", "spans"),
    [
        (1, 10, ["0-9"]),
        (2, 10, ["0-4", "5-9"]),
        (3, 10, ["0-2", "3-5", "6-9"]),
        (10, 3, ["0", "1", "2"]),
        (1, 1, ["0"]),
    ],
)
def test_an_actor_is_named_after_its_pipeline_topic_and_partitions(
    hosts: int, count: int, spans: list[str]
) -> None:
    assert [spec.name for spec in actors(hosts, count)] == [f"storage/{PRICES}/{span}" for span in spans]


def test_topics_and_groups_of_a_prefix_are_used() -> None:
    [spec] = actors(1, 2, prefix="blue.")
    consumer = spec.arguments[0]
    assert (consumer.topic, consumer.group) == (f"blue.{PRICES}", f"blue.{CONSUMED[PRICES]}")
    assert "blue." in spec.name
    assert consumer.name == spec.name


ALL = (storage, analysis, aggregation, notification)


def test_the_pipelines_together_consume_every_topic_once_for_its_group() -> None:
    cluster = Cluster(settings(prices={"hosts": 4}, news={"hosts": 9}), PARTITIONS)
    consumed: list[tuple[str, int]] = []
    for pipeline in ALL:
        for spec in pipeline.actors(cluster):
            if spec.name.startswith(("technical/", "sentiment/")):
                continue
            consumer = spec.arguments[0]
            assert consumer.group == CONSUMED[consumer.topic]
            consumed += [(consumer.topic, p) for p in consumer.partitions]
    assert sorted(consumed) == sorted((t, p) for t, n in PARTITIONS.items() for p in range(n))


def test_analyzers_come_first_and_go_last_and_are_shared() -> None:
    cluster = Cluster(settings(), PARTITIONS)
    specs = {spec.name: spec for pipeline in ALL for spec in pipeline.actors(cluster)}
    analyzers = [spec for spec in specs.values() if spec.shared]
    consumers = [spec for spec in specs.values() if not spec.shared]
    assert {spec.name for spec in analyzers} == {"technical/0", "sentiment/0"}
    assert max(spec.stage for spec in analyzers) < min(spec.stage for spec in consumers)
    assert min(spec.drain_rank for spec in analyzers) > max(spec.drain_rank for spec in consumers)


def test_who_produces_stops_before_who_consumes_that() -> None:
    cluster = Cluster(settings(), PARTITIONS)
    rank = {
        spec.arguments[0].topic: spec.drain_rank
        for pipeline in ALL
        for spec in pipeline.actors(cluster)
        if not spec.shared
    }
    assert rank[PRICES] == rank[NEWS] < rank[TRIGGERS] < rank[RESULTS] < rank[ALERTS]


def test_shards_ask_for_what_their_placement_says() -> None:
    placed = settings(
        technical=AnalyzerPlacement(shards=3, num_cpus=1.0),
        sentiment=AnalyzerPlacement(shards=1, num_cpus=0.5, num_gpus=0.25),
    )
    specs = analyzer_actors(Cluster(placed, PARTITIONS))
    assert [(s.name, s.num_cpus, s.num_gpus) for s in specs] == [
        ("technical/0", 1.0, 0.0),
        ("technical/1", 1.0, 0.0),
        ("technical/2", 1.0, 0.0),
        ("sentiment/0", 0.5, 0.25),
    ]


def test_placements_ask_for_nodes() -> None:
    placed = settings(
        technical={"resources": {"gpu_host": 1.0}},
        aggregation={"node_labels": {"ray.io/market-type": "!spot"}, "spread": False},
    )
    specs = {spec.name: spec for pipeline in ALL for spec in pipeline.actors(Cluster(placed, PARTITIONS))}
    assert specs["technical/0"].resources == {"gpu_host": 1.0}
    aggregation = specs[f"aggregation/{RESULTS}/0-4"]
    assert aggregation.node_labels == {"ray.io/market-type": "!spot"}
    assert not aggregation.spread
    assert specs[f"storage/{PRICES}/0-9"].spread


def test_the_version_of_an_actor_is_that_of_its_settings_and_topics() -> None:
    before = Cluster(settings(), PARTITIONS).version
    assert Cluster(settings(), PARTITIONS).version == before
    assert Cluster(settings(prefix="blue."), PARTITIONS).version != before
    assert Cluster(settings(technical={"num_cpus": 2}), PARTITIONS).version != before
    assert Cluster(settings(), {**PARTITIONS, PRICES: 12}).version != before


def test_another_number_of_hosts_leaves_alone_whose_partitions_stay() -> None:
    assert (
        Cluster(settings(analysis={"hosts": 3}), PARTITIONS).version
        == Cluster(settings(technical={"shards": 2, "autoscale": {"max": 3}}), PARTITIONS).version
        == Cluster(settings(), PARTITIONS).version
    )


def test_a_supervisor_is_of_another_version_with_other_numbers() -> None:
    before = supervisor_version(settings(), PARTITIONS)
    assert supervisor_version(settings(), PARTITIONS) == before
    assert supervisor_version(settings(analysis={"hosts": 3}), PARTITIONS) != before
    assert supervisor_version(settings(technical={"autoscale": {"max": 3}}), PARTITIONS) != before


def test_another_password_makes_another_version() -> None:
    first, second = (
        Cluster(
            settings().model_copy(update={"store": StoreSettings(uri=SecretStr(uri))}), PARTITIONS
        ).version
        for uri in ("mongodb://u:a@x", "mongodb://u:b@x")
    )
    assert first != second
