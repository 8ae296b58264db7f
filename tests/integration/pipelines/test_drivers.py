"""Pipelines that run alone, and drivers that meet one another."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from kafka import KafkaProducer
from kafka.serializer import Serializer

from tests.integration.market import article, bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, stored
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.messages import VIETNAM
from vnpulse.topics import NEWS, PRICES, STORAGE_GROUP, TRIGGERS

WAITING_BARS = [bar("MWG", i) for i in range(5)]


@pytest.fixture(scope="module")
def analysed_later(make_trial: Callable[[], Trial]) -> Trial:
    """Storage ran alone and is gone, with the analyzers that it had fed; then analysis was started."""
    trial = make_trial()
    trial.apply_topics()
    (storage,) = trial.run_pipelines("storage")
    long_ago = dt.datetime.now(VIETNAM).replace(microsecond=0) - dt.timedelta(days=60)
    trial.publish(NEWS, keyed([article("old", "MWG", "MWG lãi kỷ lục", at=long_ago)]))
    trial.publish(NEWS, keyed([article("new", "GAS", "GAS lãi kỷ lục")]))
    trial.publish(PRICES, keyed(WAITING_BARS))
    with KafkaAdmin(trial.settings.kafka) as admin:
        group, topics = trial.settings.kafka.group(STORAGE_GROUP), [trial.topic(NEWS), trial.topic(PRICES)]
        assert eventually(lambda: sum(row.lag for row in admin.lag(group, topics)) == 0)
    assert storage.terminate() == 0
    trial.run_pipelines("analysis")
    return trial


def test_a_driver_for_pipelines_that_another_supervises_leaves_with_one_clear_line(running: Trial) -> None:
    before = running.actors()
    second = running.driver("storage")
    second.start()
    assert second.process.wait(60) == 2
    (said,) = second.log().splitlines()
    assert "already running" in said
    assert "supervisor/run" in said
    assert running.name in said
    assert running.actors() == before


def test_bars_that_waited_for_analysis_over_a_restart_are_analysed(analysed_later: Trial) -> None:
    await_results(analysed_later, WAITING_BARS)


def test_an_article_that_waited_for_analysis_over_a_restart_is_analysed(analysed_later: Trial) -> None:
    assert eventually(lambda: analysed_later.results("GAS", "sentiment"), 20)
    assert analysed_later.dead_letters(TRIGGERS) == []


def test_an_article_that_waited_for_analysis_over_a_restart_is_analysed_however_old_it_is(
    analysed_later: Trial,
) -> None:
    """A replay reads old articles; the analyzers that knew them are gone when analysis starts."""
    assert eventually(lambda: analysed_later.results("MWG", "sentiment"), 20)


class Nothing(Serializer):
    """Makes null of every value, after kafka-python has checked that there is one."""

    def serialize(self, topic: str, headers: object, data: object) -> None:
        return None


def test_a_record_with_neither_key_nor_value_does_not_stop_its_partition(
    analysed_later: Trial,
) -> None:
    """Kafka allows such records. kafka-python's ``send`` refuses them, but not if a serializer makes them."""
    trial = analysed_later
    trial.run_pipelines("storage")
    producer = KafkaProducer(bootstrap_servers=trial.stack.kafka_bootstrap, value_serializer=Nothing())
    place = producer.send(trial.topic(PRICES), b"becomes null").get(10)
    producer.close()
    after = [bar(symbol, i) for i in range(3) for symbol in ("VCB", "FPT", "HPG", "SSI")]
    trial.publish(PRICES, keyed(after))
    assert eventually(lambda: trial.dead_letters(PRICES), 30), "no dead letter came"
    (letter,) = trial.dead_letters(PRICES)
    assert letter.headers["original-partition"] == str(place.partition)
    assert letter.headers["reason"] == "null-value"
    for symbol in ("VCB", "FPT", "HPG", "SSI"):
        mine = as_stored(b for b in after if b.symbol == symbol)
        assert eventually(lambda s=symbol, mine=mine: stored(trial, s) == mine)
