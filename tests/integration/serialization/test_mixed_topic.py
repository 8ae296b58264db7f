"""A roll-out on one topic: JSON, Avro, an older and a newer schema, and noise, told apart one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from tests.integration.apicurio import ApicurioRegistry
from tests.integration.market import bar
from tests.integration.serialization.conftest import write_avro
from tests.integration.serialization.other_writers import newer_bars, older_bars, written
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import decode_bars
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.schema_registry import ConfluentSchemaRegistry
from vnpulse.messages import PriceBar, encode
from vnpulse.serialization.avro_schemas import avro_schema
from vnpulse.serialization.settings import RegistrySettings
from vnpulse.topics import PRICES

NOW_MS = 1_800_000_000_000


@pytest.fixture
def client(registry: ApicurioRegistry) -> Iterator[ConfluentSchemaRegistry]:
    made = ConfluentSchemaRegistry(RegistrySettings(url=registry.url))
    yield made
    made.close()


def one_poll(trial: Trial, topic: str, records: int) -> PartitionBatch:
    """Return all records of a topic of one partition as one batch."""
    consumer = AssignedConsumer(trial.settings.kafka, topic, [0], "g", "mixed")
    try:
        assert eventually(lambda: consumer.end_offsets()[0] == records)
        (batch,) = eventually(lambda: consumer.poll(1_000))
        assert len(batch) == records
        return batch
    finally:
        consumer.close()


def test_one_poll_of_a_mixed_topic_gives_every_good_record_and_a_reason_for_every_other(
    trial: Trial, registry: ApicurioRegistry, client: ConfluentSchemaRegistry
) -> None:
    write_avro(trial, registry.url, PRICES)
    topic = trial.make_topic(PRICES)
    older, newer = older_bars(), newer_bars()
    subject = f"{topic}-value"
    # In the order of a roll-out: yesterday's, ours, that of a colleague who is ahead.
    ids = [client.register(subject, json.dumps(s)).schema_id for s in (older, avro_schema(PriceBar), newer)]
    assert trial.codecs().encoder(PRICES)(bar("OUR", 0))[1:5] == ids[1].to_bytes(4, "big")
    fields = msgspec.structs.asdict(bar("OLD", 1))
    old = written(ids[0], older, {k: v for k, v in fields.items() if k != "source"})
    new = written(ids[2], newer, msgspec.structs.asdict(bar("NEW", 2)) | {"board": "HOSE"})
    our = trial.codecs().encoder(PRICES)(bar("OUR", 3))
    noise = [our[:-1], our[:5], our + b"\0", b"\0\x7f\xff\xff\xff" + our[5:], b"\0", b"\0{}", b"{", b"\xff"]
    good = [encode(bar("JSN", 0)), old, our, new]
    trial.publish(PRICES, [("K", value) for value in [*good, *noise, *good]])
    batch = one_poll(trial, topic, 2 * len(good) + len(noise))
    decoded, rejections = decode_bars(batch, NOW_MS, trial.codecs().decoder(PriceBar))
    symbols = [decoded.series[code].symbol for code in decoded.codes]
    assert symbols == ["JSN", "OLD", "OUR", "NEW"] * 2
    assert decoded.offsets.tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert [r.reason for r in rejections] == [
        "bad-avro",
        "bad-avro",
        "bad-avro",
        "unknown-schema",
        "bad-avro",
        "bad-avro",
        "not-json",
        "not-json",
    ]


def test_after_a_roll_back_to_json_what_is_there_in_avro_is_still_read(
    trial: Trial, registry: ApicurioRegistry, client: ConfluentSchemaRegistry
) -> None:
    write_avro(trial, registry.url, PRICES)
    topic = trial.make_topic(PRICES)
    client.register(f"{topic}-value", json.dumps(avro_schema(PriceBar)))
    trial.publish(PRICES, [("K", trial.codecs().encoder(PRICES)(bar("AVR", 0)))])
    trial.write_config(serialization={"registry": {"url": registry.url}})
    trial.publish(PRICES, [("K", trial.codecs().encoder(PRICES)(bar("JSN", 1)))])
    values = [record.value for record in trial.records(PRICES)]
    assert [value[:1] for value in values if value] == [b"\0", b"{"]
    decode = trial.codecs().decoder(PriceBar)
    assert [decode(value).symbol for value in values if value] == ["AVR", "JSN"]
