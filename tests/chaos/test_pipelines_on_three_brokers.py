"""All pipelines on three brokers, of which the one that leads the alerts is killed while bars flow."""

from __future__ import annotations

from kafka import KafkaAdminClient

from tests.chaos.brokers import kill, leaders, revive
from tests.integration.decisions import expected_alerts
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.chaos.feeder import Feeder
from vnpulse.chaos.outcome import collect
from vnpulse.demo.sample import load_sample
from vnpulse.embedded.kafka_cluster import KafkaCluster
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.store.bars import BarStore
from vnpulse.topics import ALERTS, RESULTS

SYMBOLS = ("ACB", "FPT", "HPG", "VCB", "VND", "VNINDEX")
MINUTES = 60
PACE_S = 0.05
DEADLINE_S = 120.0


def test_a_killed_broker_loses_no_bar_and_doubles_no_alert(
    cluster: KafkaCluster, operator: KafkaAdminClient, trial: Trial
) -> None:
    trial.kafka["bootstrap_servers"] = list(cluster.bootstrap)
    trial.write_config(aggregation={"wait_s": 3_600})
    trial.apply_topics()
    with KafkaAdmin(trial.settings.kafka) as admin:
        assert {
            s.replication for s in admin.topics([trial.topic(ALERTS), trial.topic(RESULTS)]).values()
        } == {3}
    sample = load_sample(SYMBOLS).first_minutes(MINUTES)
    BarStore(trial.database()).write([sample.history])
    trial.run_pipelines("run")
    feeder = Feeder(sample, trial.settings, PACE_S)
    feeder.start()
    victim = leaders(operator, trial.topic(ALERTS))[0]
    try:
        feeder.allow(MINUTES // 3)
        assert eventually(lambda: feeder.sent == MINUTES // 3)
        kill(cluster, victim)
        feeder.allow(MINUTES)
        assert eventually(lambda: feeder.finished, DEADLINE_S), feeder.failure
        revive(cluster, victim)
        assert trial.drained()
        results = trial.results()
        outcome = collect(sample, trial.settings)
    finally:
        feeder.stop()
        if not cluster.nodes[victim].process.alive:
            revive(cluster, victim)

    stored = {
        (symbol, at) for (symbol, interval), rows in outcome.bars.items() for at in rows if interval == "1m"
    }
    assert stored == sample.analysed_bars
    about = [kind for kind, _, _ in outcome.results]
    assert about.count("technical") == len(sample.analysed_bars)
    assert about.count("sentiment") > 0
    assert {len(ids) for ids in outcome.results.values()} == {1}
    assert len(outcome.alerts) > 0
    assert {len(ids) for ids in outcome.alerts.values()} == {1}
    assert {alert_id for ids in outcome.alerts.values() for alert_id in ids} == outcome.stored_alerts
    assert outcome.stored_alerts == expected_alerts(trial.settings, results).keys()
    assert outcome.dead_letters == 0
