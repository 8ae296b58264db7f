from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from ray._private.label_utils import validate_label_selector

from vnpulse.aggregation.rules import load_rules
from vnpulse.configuration import CONFIG_DIR, masked
from vnpulse.errors import SettingsError
from vnpulse.market import load_market
from vnpulse.sentiment.lexicon import Lexicon
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.settings import DEFAULT_CONFIG, Settings, load_settings
from vnpulse.topics import CONSUMED, dead_letter_topic, load_topics

PASSWORD = "s3cr3t-p4ss"
URI = f"mongodb://alice:{PASSWORD}@db.example.org:27017/?replicaSet=rs0"
CLUSTER = "kafka: {bootstrap_servers: [k:9092]}\nray: {address: auto}\n"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def read(text: str, **environment: str) -> Settings:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path, environment)

    return read


def error(load: Any, text: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, **environment)
    return str(caught.value)


def test_the_local_configuration_loads_and_is_embedded() -> None:
    settings = load_settings(DEFAULT_CONFIG, {})
    assert settings.embedded is not None
    assert settings.store.uri is None
    assert [channel.kind for channel in settings.channels] == ["console", "jsonl"]


def test_the_production_configuration_loads_with_its_secrets_from_the_environment() -> None:
    settings = load_settings(CONFIG_DIR / "production.yaml", {"MONGODB_URI": URI})
    assert settings.embedded is None
    assert settings.store.uri == SecretStr(URI)
    assert len(settings.kafka.bootstrap_servers) == 3


def test_the_production_configuration_says_that_it_needs_the_store_s_address() -> None:
    with pytest.raises(SettingsError, match="MONGODB_URI"):
        load_settings(CONFIG_DIR / "production.yaml", {})


def test_every_other_shipped_file_loads() -> None:
    assert load_rules().rules
    assert set(load_market().exchanges) == {"HOSE", "HNX", "UPCoM"}
    assert SymbolFinder.load(CONFIG_DIR / "companies.yaml").companies
    assert Lexicon.load(CONFIG_DIR / "lexicon.yaml")
    assert {dead_letter_topic(topic) for topic in CONSUMED} | set(CONSUMED) == set(load_topics())


def test_an_empty_file_lacks_every_address(load: Any) -> None:
    message = error(load, "")
    assert len(message.splitlines()) == 1
    for name in ("kafka.bootstrap_servers", "store.uri", "MONGODB_URI", "ray.address"):
        assert name in message


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("ray: {address: auto}\n", "kafka.bootstrap_servers"),
        ("kafka: {bootstrap_servers: [k:9092]}\n", "ray.address"),
        ("kafka: {bootstrap_servers: []}\nray: {address: auto}\n", "kafka.bootstrap_servers"),
        ("embedded: null\nkafka: {bootstrap_servers: [k:9092]}\n", "ray.address"),
    ],
)
def test_only_the_missing_address_is_named(load: Any, text: str, missing: str) -> None:
    message = error(load, text, MONGODB_URI=URI)
    assert missing in message
    assert "store.uri" not in message


@pytest.mark.parametrize("addresses", ["kafka: {bootstrap_servers: [k:9092]}", "ray: {address: auto}"])
def test_an_embedded_stack_takes_no_address_of_another(load: Any, addresses: str) -> None:
    assert "embedded starts its own" in error(load, f"embedded: {{}}\n{addresses}\n")


def test_who_computes_on_a_gpu_must_ask_for_one(load: Any) -> None:
    cuda = "embedded: {}\ntechnical: {device: cuda}\n"
    assert "technical.device cuda needs placement.technical.num_gpus above 0" in error(load, cuda)
    assert load(f"{cuda}placement: {{technical: {{num_gpus: 0.25}}}}\n").technical.device == "cuda"


def test_an_empty_variable_of_the_environment_counts_as_none(load: Any) -> None:
    assert load("embedded: {}\n", MONGODB_URI="").store.uri is None


def test_the_environment_goes_before_the_file(load: Any) -> None:
    settings = load(CLUSTER + "store: {uri: mongodb://other}\n", MONGODB_URI=URI)
    assert settings.store.uri == SecretStr(URI)
    assert settings.store.database == "vnpulse"


def test_sasl_needs_a_mechanism_and_the_secrets_of_the_environment(load: Any, tmp_path: Path) -> None:
    text = (
        "kafka:\n  bootstrap_servers: [k:9092]\n  security: {protocol: SASL_SSL, mechanism: SCRAM-SHA-256}\n"
    )
    text += "ray: {address: auto}\n"
    message = error(load, text, MONGODB_URI=URI, KAFKA_USERNAME="bob")
    assert message.startswith(f"{tmp_path / 's.yaml'}:3: kafka.security: ")
    assert "KAFKA_PASSWORD" in message
    security = load(text, MONGODB_URI=URI, KAFKA_USERNAME="bob", KAFKA_PASSWORD=PASSWORD).kafka.security
    assert security.username == "bob"
    assert security.password == SecretStr(PASSWORD)


SASL = "kafka:\n  bootstrap_servers: [k:9092]\n  security: {{protocol: SASL_SSL, mechanism: PLAIN{0}}}\n" + (
    "ray: {{address: auto}}\n"
)


def test_a_password_may_be_in_a_file_and_is_read_when_it_is_needed(load: Any, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    for settings in (
        load(SASL.format(f", username: bob, password_file: {file}"), MONGODB_URI=URI),
        load(SASL.format(""), MONGODB_URI=URI, KAFKA_USERNAME="bob", KAFKA_PASSWORD_FILE=str(file)),
    ):
        assert PASSWORD not in repr(settings)
        assert settings.kafka.security.read_password().get_secret_value() == PASSWORD
        file.write_text("rotated")
        assert settings.kafka.security.read_password().get_secret_value() == "rotated"
        file.write_text(f"{PASSWORD}\n")


@pytest.mark.parametrize("name", ["password", "key_password"])
def test_a_password_does_not_belong_into_the_configuration(load: Any, name: str) -> None:
    message = error(load, SASL.format(f", username: bob, {name}: {PASSWORD}"), MONGODB_URI=URI,
                    **({} if name == "password" else {"KAFKA_PASSWORD": "x"}))  # fmt: skip
    assert f"KAFKA_{name.upper()}" in message
    assert f"{name}_file" in message
    assert PASSWORD not in message


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), (b"\xff", "is not UTF-8 text")])
def test_a_password_file_that_cannot_be_used_is_named(
    load: Any, tmp_path: Path, content: str | bytes, said: str
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = load(SASL.format(f", username: bob, password_file: {file}"), MONGODB_URI=URI)
    with pytest.raises(SettingsError, match=f"kafka.security.password_file: {file}: {said}"):
        settings.kafka.security.read_password()
    file.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        settings.kafka.security.read_password()
    assert "password_file: was" in error(
        load, SASL.format(f", username: bob, password_file: {file}"), MONGODB_URI=URI
    )


def test_a_secured_embedded_broker_needs_clients_that_speak_tls(load: Any, tmp_path: Path) -> None:
    message = error(load, f"embedded: {{kafka_security: {tmp_path}}}\n")
    assert "embedded.kafka_security needs kafka.security.protocol" in message


def test_a_certificate_that_is_not_there_is_named(load: Any, tmp_path: Path) -> None:
    text = f"kafka:\n  bootstrap_servers: [k:9092]\n  security: {{ca_file: {tmp_path}/ca.pem}}\n"
    message = error(load, text + "ray: {address: auto}\n", MONGODB_URI=URI)
    assert "kafka.security.ca_file" in message
    assert "no such file" in message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CLUSTER + f"store: {{uri: '{URI}'}}\nchannels: 5\n", id="elsewhere"),
        pytest.param(CLUSTER + f"store: {{uri: ['{URI}']}}\n", id="a list"),
        pytest.param(CLUSTER + f"store: {{uri: {{address: '{URI}'}}}}\n", id="a mapping"),
        pytest.param(CLUSTER + f"store: {{url: '{URI}'}}\n", id="misspelt key"),
        pytest.param(CLUSTER + f"store: '{URI}'\n", id="in place of the section"),
        pytest.param(CLUSTER + f"stores: {{uri: '{URI}'}}\n", id="misspelt section"),
        pytest.param(f"store: {{uri: '{URI}'}}\n", id="addresses missing"),
        pytest.param(f"embedded: {{}}\nray: {{address: auto}}\nstore: {{uri: '{URI}'}}\n", id="both"),
        pytest.param(CLUSTER + f"store: {{uri: '{URI}'\n", id="not valid YAML"),
        pytest.param(CLUSTER + f"store: {{uri: {URI}}}: x\n", id="not valid YAML, unquoted"),
    ],
)  # fmt: skip
def test_no_message_shows_the_password_of_the_store(load: Any, text: str) -> None:
    assert PASSWORD not in error(load, text)


@pytest.mark.parametrize(
    "text",
    [
        CLUSTER + "placement: {prices: {hosts: 0}}\n",
        "ray: {address: auto}\n",
        CLUSTER + "store: mongodb://elsewhere\nchannels: 5\n",
        "kafka: {bootstrap_servers: [k:9092], security: {protocol: SASL_SSL}}\nray: {address: auto}\n",
    ],
)
def test_no_message_shows_a_secret_of_the_environment(load: Any, text: str) -> None:
    message = error(load, text, MONGODB_URI=URI, KAFKA_USERNAME="bob", KAFKA_PASSWORD=PASSWORD)
    assert PASSWORD not in message


def test_no_way_of_showing_settings_shows_a_secret(load: Any) -> None:
    settings = load(CLUSTER, MONGODB_URI=URI, KAFKA_USERNAME="bob", KAFKA_PASSWORD=PASSWORD)
    for shown in (repr(settings), str(settings), f"{settings.store!r}", str(masked(settings)),
                  str(settings.model_dump()), settings.model_dump_json()):  # fmt: skip
        assert PASSWORD not in shown
    assert masked(settings)["store"]["uri"] == "**********"
    assert settings.store.uri.get_secret_value() == URI


def test_settings_cannot_be_changed(load: Any) -> None:
    settings = load("embedded: {}\n")
    with pytest.raises(ValidationError):
        settings.kafka.topic_prefix = "x"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("embedded: {kafka_port: 70000}\n", "embedded.kafka_port: was 70000"),
        ("embedded: {state_dri: x}\n", "did you mean state_dir?"),
        ("embedded: {}\nplacement: {price: {hosts: 2}}\n", "did you mean prices?"),
        ("embedded: {}\nplacement: {prices: {resources: {GPU: 1}}}\n", "GPU is Ray's own; use num"),
        ("embedded: {}\nplacement: {prices: {node_labels: {zone: =a}}}\n", 'was zone: "=a", must be like'),
        ("embedded: {}\nkafka: {consumer: {max_poll_records: 0}}\n", "was 0"),
        ("embedded: {}\nkafka: {topic_prefix: 'a b'}\n", "kafka.topic_prefix: was \"a b\""),
        ("embedded: {}\ntechnical: {intervals: [2m]}\n", "technical.intervals.0: was \"2m\""),
        (
            "embedded: {}\ntechnical: {indicators: [macd:26:12]}\n",
            "indicator 'macd:26:12': fast was 26, must be below slow (12)",
        ),
        ("embedded: {}\nchannels: [{kind: telegram}]\n", "'jsonl'"),
        ("embedded: {}\nchannels: [{kind: jsonl}]\n", "path: missing"),
        ("embedded: {}\nchannels: [{kind: jsonl, paht: x, path: y}]\n", "did you mean path?"),
        ("embedded: {}\nchannels: [{path: x}]\n", "'kind'"),
        ("embedded: {}\nkafka: {producer: {ack: 1}}\n", "kafka.producer.ack: unknown key; did you"),
        (
            "embedded: {}\nkafka: {producer: {delivery_timeout_ms: 20000}}\n",
            "kafka.producer: delivery_timeout_ms must be above linger_ms + request_timeout_ms",
        ),
        ("embedded: {}\nray: {namespace: ''}\n", "ray.namespace: was \"\""),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(load: Any, tmp_path: Path, text: str, named: str) -> None:
    [line] = error(load, text).splitlines()
    assert named in line
    assert line.startswith(f"{tmp_path / 's.yaml'}:{len(text.splitlines())}: ")


@pytest.mark.parametrize("wanted", ["spot", "!spot", "in(a, b)", "!in(a,b)"])
def test_what_ray_takes_as_a_label_selector_is_taken(load: Any, wanted: str) -> None:
    settings = load(f"embedded: {{}}\nplacement: {{prices: {{node_labels: {{ray.io/x: '{wanted}'}}}}}}\n")
    assert validate_label_selector({"ray.io/x": wanted}) is None
    assert settings.placement.prices.node_labels == {"ray.io/x": wanted}


def test_topics_and_groups_carry_the_prefix(load: Any) -> None:
    kafka = load("embedded: {}\nkafka: {topic_prefix: test.}\n").kafka
    assert kafka.topic("alerts") == "test.alerts"
    assert kafka.group("storage-consumers") == "test.storage-consumers"


def test_paths_do_not_depend_on_the_folder_that_an_actor_works_in(load: Any) -> None:
    settings = load("embedded: {}\nchannels: [{kind: jsonl, path: alerts.jsonl}]\n")
    assert settings.channels[0].path == Path.cwd() / "alerts.jsonl"
    assert settings.embedded.state_dir == Path.cwd() / ".vnpulse"


def test_a_pipeline_may_consume_otherwise_than_the_others(load: Any) -> None:
    text = CLUSTER + "store: {uri: mongodb://x}\n"
    overrides = "{storage: {max_poll_records: 5, fetch_min_bytes: 9}}"
    given = f"consumer: {{max_poll_records: 500}}, pipelines: {overrides}"
    kafka = load(text.replace("[k:9092]", f"[k:9092], {given}")).kafka
    storage, analysis = kafka.consumer_of("storage"), kafka.consumer_of("analysis")
    assert (storage.max_poll_records, storage.fetch_min_bytes, storage.fetch_max_wait_ms) == (5, 9, 500)
    assert (analysis.max_poll_records, analysis.fetch_min_bytes) == (500, 1_024)


def test_a_pipeline_s_settings_must_fit_those_it_does_not_have(load: Any) -> None:
    given = "kafka: {bootstrap_servers: [k:9092], pipelines: {storage: {heartbeat_interval_ms: 40000}}}\n"
    text = CLUSTER.replace("kafka: {bootstrap_servers: [k:9092]}\n", given) + "store: {uri: mongodb://x}\n"
    assert "heartbeat_interval_ms must be below session_timeout_ms" in error(load, text)


def test_a_pipeline_that_is_none_is_a_mistake(load: Any) -> None:
    given = "kafka: {bootstrap_servers: [k:9092], pipelines: {storing: {}}}\n"
    text = CLUSTER.replace("kafka: {bootstrap_servers: [k:9092]}\n", given) + "store: {uri: mongodb://x}\n"
    assert "storing" in error(load, text)
