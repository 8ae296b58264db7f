"""The round trip through the broker, and `vnpulse health kafka`."""

from __future__ import annotations

import json

import yaml

from tests.integration.trial import Trial
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.health import round_trip


def test_a_round_trip_makes_its_topic_and_can_be_repeated(trial: Trial, admin: KafkaAdmin) -> None:
    first, second = round_trip(trial.settings.kafka), round_trip(trial.settings.kafka)
    assert min(first.produce_ms, first.consume_ms, second.produce_ms, second.consume_ms) > 0
    topic = trial.topic("health-check")
    assert admin.lag("nobody", [topic])[0].end == 2


def test_the_command_times_both_directions(trial: Trial) -> None:
    done = trial.vnpulse("health", "kafka", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer.pop("ok") is True
    assert answer.keys() == {"produce_ms", "consume_ms"}
    assert min(answer.values()) > 0


def test_a_broker_that_is_down_is_one_line_and_exit_code_1(trial: Trial, unused_kafka: str) -> None:
    config = trial.folder / "down.yaml"
    document = yaml.safe_load(trial.config.read_text())
    document["kafka"]["bootstrap_servers"] = [unused_kafka]
    config.write_text(yaml.safe_dump(document))
    done = trial.vnpulse("health", "kafka", "--deadline", "0.5", config=config)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"{unused_kafka} did not answer within 0.5 s (connecting)" in done.stderr
