"""The whole pipeline with Avro on all five topics, and what a person sees of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipelines.wiring import look_at
from tests.integration.apicurio import ApicurioRegistry
from tests.integration.market import article, bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, stored
from tests.integration.serialization.conftest import write_avro
from tests.integration.serialization.other_writers import newer_bars, written
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.errors import UserError
from vnpulse.kafka.schema_registry import ConfluentSchemaRegistry
from vnpulse.messages import Alert, encode
from vnpulse.serialization.avro_schemas import schema_text
from vnpulse.store.status import StatusStore
from vnpulse.topics import ALERTS, MESSAGE_TYPES, NEWS, PRICES


@pytest.fixture(scope="module")
def avro(make_trial: Callable[[], Trial], registry: ApicurioRegistry) -> Trial:
    """All pipelines in one driver; everything they write is Avro."""
    trial = make_trial()
    trial.apply_topics()
    write_avro(trial, registry.url, timeout_s=60.0)
    with pytest.raises(UserError, match=r"schemas are not registered: .*run: vnpulse schemas register"):
        look_at(trial.settings)
    done = trial.vnpulse("schemas", "register")
    assert done.returncode == 0, done.stderr
    # Soon given up and tried again: what one test waits for.
    write_avro(trial, registry.url, timeout_s=1.0)
    trial.run_pipelines("run")
    return trial


def test_bars_and_articles_become_results_and_alerts_in_avro(avro: Trial, tmp_path: Path) -> None:
    bars = [bar("HSG", i) for i in range(30)]
    file = tmp_path / "bars.jsonl"
    file.write_bytes(b"".join(encode(b) + b"\n" for b in bars))
    done = avro.vnpulse("publish", "prices", file)
    assert (done.returncode, "30 sent" in done.stdout) == (0, True), done.stderr
    await_results(avro, bars)
    assert stored(avro, "HSG") == as_stored(bars)
    title = "HSG: lãnh đạo bị khởi tố, bắt tạm giam vì thao túng giá cổ phiếu"
    write = avro.codecs().from_json(NEWS)
    news = keyed([article("s1", "HSG", title), article("s2", "HSG", title)])
    avro.publish(NEWS, [(key, write(value or b"")) for key, value in news])
    assert eventually(lambda: avro.records(ALERTS))
    assert avro.vnpulse("trigger", "HSG").returncode == 0
    assert avro.drained()
    for topic in MESSAGE_TYPES:
        assert {record.value[:1] for record in avro.records(topic) if record.value} == {b"\0"}, topic
    decode = avro.codecs().decoder(Alert)
    alerts = [decode(record.value) for record in avro.records(ALERTS) if record.value]
    assert "risk_alert" in {alert.alert_type for alert in alerts}
    assert alerts[0].data.explanation["inputs"]
    lines = avro.alert_file.read_bytes().splitlines()
    assert {msgspec.json.decode(line, type=Alert).alert_id for line in lines} == {a.alert_id for a in alerts}
    assert eventually(lambda: "5 topics in Avro, all schemas registered" in avro.vnpulse("health").stdout)
    listed = avro.vnpulse("alerts", "list", "--symbol", "HSG")
    assert "risk" in listed.stdout


def test_a_bad_avro_record_is_a_dead_letter_that_a_person_can_read(avro: Trial) -> None:
    good = avro.codecs().from_json(PRICES)(encode(bar("DLQ", 0)))
    expensive = avro.codecs().from_json(PRICES)(encode(bar("DLQ", 1, close=-1.0)))
    records = [good, good[:-2], b"\0\x7f\xff\xff\xff" + good[5:], expensive]
    avro.publish(PRICES, [("DLQ", value) for value in records])
    await_results(avro, [bar("DLQ", 0)])
    assert eventually(lambda: len(avro.dead_letters(PRICES)) == 3)
    letters = {letter.headers["reason"]: letter for letter in avro.dead_letters(PRICES)}
    assert letters.keys() == {"bad-avro", "unknown-schema", "bad-price"}
    assert letters["bad-avro"].value == good[:-2]
    name = f"{PRICES}_dlq/{letters['bad-price'].partition}/{letters['bad-price'].offset}"
    shown = avro.vnpulse("dlq", "show", name).stdout
    assert '"symbol":"DLQ"' in shown
    assert "(Avro, schema " in shown


def test_records_wait_for_a_registry_that_is_away_and_nothing_is_rejected(
    avro: Trial, registry: ApicurioRegistry
) -> None:
    """A schema that no consumer has seen comes while the registry hangs: late, but neither lost nor dead."""
    newer = newer_bars()
    client = ConfluentSchemaRegistry(avro.settings.serialization.registry)
    number = client.register(f"{avro.topic(PRICES)}-value", schema_text(newer)).schema_id
    client.close()
    before = len(avro.dead_letters(PRICES))
    fields = msgspec.structs.asdict(bar("WAI", 0)) | {"board": "HOSE"}
    registry.pause()
    try:
        avro.publish(PRICES, [("WAI", written(number, newer, fields))])
        consumer = f"storage/{avro.topic(PRICES)}/0-9"
        assert eventually(lambda: "does not answer" in errors(avro).get(consumer, ""))
    finally:
        registry.resume()
    await_results(avro, [bar("WAI", 0)])
    assert len(avro.dead_letters(PRICES)) == before


def errors(trial: Trial) -> dict[str, str]:
    """Return what each actor's supervisor last heard of it as an error."""
    return {row["name"]: str(row.get("error", "")) for row in StatusStore(trial.database()).read()}
