"""`vnpulse health`, `lag`, `alerts` and `dlq`, with and without pipelines."""

from __future__ import annotations

import json

from tests.integration.market import article, bar, keyed
from tests.integration.pipelines.outcome import await_results
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.store.alerts import AlertStore
from vnpulse.topics import CONSUMED, NEWS, PRICES

PIPELINES = {"storage", "analysis", "aggregation", "notification"}


def test_health_is_well_while_everything_runs(running: Trial) -> None:
    assert eventually(lambda: running.vnpulse("health").returncode == 0)
    done = running.vnpulse("health", "--json")
    assert done.returncode == 0, done.stdout
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert answer["checks"].keys() == {"kafka", "store", "ray"} | PIPELINES
    assert all(check["ok"] for check in answer["checks"].values())
    assert "MongoDB" in answer["checks"]["store"]["detail"]


def test_health_fails_while_the_pipelines_are_down_and_says_which(quiet: Trial) -> None:
    done = quiet.vnpulse("health", "--json")
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    assert {name for name, check in checks.items() if not check["ok"]} == PIPELINES
    assert "not running" in checks["storage"]["detail"]
    text = quiet.vnpulse("health")
    assert text.returncode == 1
    assert text.stdout.count("FAIL") == 4
    assert "Traceback" not in text.stderr


def test_lag_is_what_nobody_has_read(quiet: Trial) -> None:
    quiet.publish(PRICES, keyed([bar("VCB", i) for i in range(7)]))
    done = quiet.vnpulse("lag", "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert {(row["topic"], row["group"]) for row in rows} == {
        (quiet.topic(topic), quiet.settings.kafka.group(group)) for topic, group in CONSUMED.items()
    }
    assert len(rows) == 26
    mine = [row for row in rows if row["lag"]]
    assert [(row["topic"], row["committed"], row["lag"]) for row in mine] == [(quiet.topic(PRICES), None, 7)]
    table = quiet.vnpulse("lag").stdout
    assert quiet.topic(PRICES) in table
    assert "7 on" in table


def test_lag_is_nothing_when_everything_was_read(running: Trial) -> None:
    assert running.drained()
    done = running.vnpulse("lag", "--json")
    assert {row["lag"] for row in json.loads(done.stdout)} == {0}


def test_alerts_are_listed_and_explained_by_how_their_id_begins(running: Trial) -> None:
    bars = [bar("VND", i) for i in range(30)]
    running.publish(PRICES, keyed(bars))
    await_results(running, bars)
    title = "VND: lãnh đạo bị khởi tố, bắt tạm giam vì thao túng giá cổ phiếu"
    running.publish(NEWS, keyed([article("vnd", "VND", title)]))
    store = AlertStore(running.database())
    assert eventually(lambda: store.recent(0, 10, "VND"))
    alert = store.recent(0, 1, "VND")[0]

    listed = running.vnpulse("alerts", "list", "--symbol", "VND", "--json")
    assert listed.returncode == 0
    assert alert.alert_id in [found["alert_id"] for found in json.loads(listed.stdout)]
    table = running.vnpulse("alerts", "list", "--symbol", "VND").stdout
    assert alert.alert_id[:8] in table
    assert "VND" in table

    explained = running.vnpulse("alerts", "explain", alert.alert_id[:12])
    assert explained.returncode == 0, explained.stderr
    for part in (title, "bad_news", "technical", "sentiment", running.topic(NEWS), alert.alert_id):
        assert part in explained.stdout
    whole = json.loads(running.vnpulse("alerts", "explain", alert.alert_id, "--json").stdout)
    assert whole["data"]["explanation"]["rule"]["name"] == "bad_news"


def test_an_alert_that_is_not_there_is_one_line(quiet: Trial) -> None:
    done = quiet.vnpulse("alerts", "explain", "0000")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no alert 0000; `vnpulse alerts list` shows the latest\n"
    assert quiet.vnpulse("alerts", "list").stdout == "no alerts\n"
    assert quiet.vnpulse("alerts", "list", "--since", "yesterday").returncode == 2


def test_dead_letters_are_listed_and_shown_whole(running: Trial) -> None:
    ((partition, offset),) = running.publish(PRICES, [("DLQ", b'{"symbol": "DLQ", [bold]}')])
    assert eventually(lambda: [r for r in running.dead_letters(PRICES) if r.key == b"DLQ"])
    listed = running.vnpulse("dlq", "list", PRICES, "--json")
    assert listed.returncode == 0
    (letter,) = [
        row
        for row in json.loads(listed.stdout)
        if (row["original-partition"], row["original-offset"]) == (str(partition), str(offset))
    ]
    assert letter["original-topic"] == running.topic(PRICES)
    assert letter["reason"] == "not-json"
    name = f"{letter['topic']}/{letter['partition']}/{letter['offset']}"
    assert name in running.vnpulse("dlq", "list", PRICES, "--limit", "1000").stdout

    shown = running.vnpulse("dlq", "show", name)
    assert shown.returncode == 0
    assert 'value: {"symbol": "DLQ", [bold]}' in shown.stdout
    assert "key: b'DLQ'" in shown.stdout
    assert f"original-offset: {offset}" in shown.stdout


def test_without_dead_letters_that_is_said(quiet: Trial) -> None:
    assert quiet.vnpulse("dlq", "list").stdout == "no dead letters\n"
    assert quiet.vnpulse("dlq", "show", f"{PRICES}_dlq/0/0").returncode == 2
    unknown = quiet.vnpulse("dlq", "list", "prices")
    assert (unknown.returncode, unknown.stdout) == (2, "")
