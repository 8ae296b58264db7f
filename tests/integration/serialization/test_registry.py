"""Our schemas in a real registry: registered once, checked, refused, and away."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.apicurio import ApicurioRegistry
from tests.integration.serialization.guarded_registry import guarded
from vnpulse.embedded.ports import LOOPBACK
from vnpulse.errors import SchemaUnavailable
from vnpulse.kafka.schema_registry import BACKWARD, ConfluentSchemaRegistry, SchemaRefused
from vnpulse.messages import Alert, PriceBar
from vnpulse.security.certificates import CertificateAuthority
from vnpulse.serialization.avro_schemas import avro_schema, schema_text
from vnpulse.serialization.compatibility import incompatibilities
from vnpulse.serialization.settings import RegistrySettings

ALERT = schema_text(avro_schema(Alert))


@pytest.fixture
def client(registry: ApicurioRegistry) -> Iterator[ConfluentSchemaRegistry]:
    made = ConfluentSchemaRegistry(RegistrySettings(url=registry.url, timeout_s=60))
    yield made
    made.close()


@pytest.fixture
def subject() -> str:
    return f"{uuid.uuid4().hex}.alerts-value"


def with_field(**field: object) -> str:
    schema = copy.deepcopy(avro_schema(Alert))
    schema["fields"].append({"name": "extra", "type": "string"} | field)
    return json.dumps(schema)


def test_registering_twice_gives_one_version_that_only_compatible_ones_follow(
    client: ConfluentSchemaRegistry, subject: str
) -> None:
    assert client.latest(subject) is None
    assert client.id_of(subject, ALERT) is None
    first = client.register(subject, ALERT)
    assert client.register(subject, ALERT) == first
    assert client.id_of(subject, ALERT) == first.schema_id
    # A registry may write it in its own way, without the namespaces that go without saying.
    theirs = json.loads(client.schema_of(first.schema_id) or "")
    assert incompatibilities(theirs, avro_schema(Alert)) + incompatibilities(avro_schema(Alert), theirs) == []
    optional, required = with_field(default=""), with_field()
    assert client.is_compatible(subject, optional)
    assert not client.is_compatible(subject, required)
    with pytest.raises(SchemaRefused, match=subject):
        client.register(subject, required)
    second = client.register(subject, optional)
    assert second.version == 2
    # A roll-back: the older schema keeps its version and its id.
    assert client.register(subject, ALERT) == first
    assert client.latest(subject).version == 2  # type: ignore[union-attr]
    assert client._client.get_compatibility(subject) == BACKWARD


def test_an_id_that_nobody_gave_is_no_schema_and_not_asked_for_again(
    client: ConfluentSchemaRegistry, registry: ApicurioRegistry
) -> None:
    assert client.schema_of(987_654_321) is None
    registry.pause()
    try:
        assert client.schema_of(987_654_321) is None
    finally:
        registry.resume()


def test_what_is_known_outlasts_the_registry_and_what_is_not_is_an_outage(
    client: ConfluentSchemaRegistry, registry: ApicurioRegistry, subject: str
) -> None:
    known = client.register(subject, ALERT)
    assert client.schema_of(known.schema_id)
    hasty = ConfluentSchemaRegistry(RegistrySettings(url=registry.url, timeout_s=0.1))
    registry.pause()
    try:
        assert client.id_of(subject, ALERT) == known.schema_id
        assert client.schema_of(known.schema_id)
        with pytest.raises(SchemaUnavailable, match=r"schema 123456.*does not answer: timed out"):
            hasty.schema_of(123_456)
        with pytest.raises(SchemaUnavailable, match=f"x-value.*{registry.url} does not answer"):
            hasty.id_of("x-value", ALERT)
    finally:
        registry.resume()
        hasty.close()
    assert client.schema_of(123_456) is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://{LOOPBACK}:1", "does not answer: .*refused"),
        ("URL/wrong", "is no schema registry; is the path right?"),
        ("http://nowhere.invalid", "does not answer"),
    ],
)
def test_a_wrong_address_is_an_outage_and_never_an_unknown_schema(
    registry: ApicurioRegistry, url: str, says: str
) -> None:
    client = ConfluentSchemaRegistry(RegistrySettings(url=url.replace("URL", registry.url), timeout_s=60))
    with pytest.raises(SchemaUnavailable, match=says):
        client.schema_of(1)
    with pytest.raises(SchemaUnavailable, match=says):
        client.id_of("x-value", ALERT)
    client.close()


def test_tls_and_a_password_stand_before_a_registry(
    registry: ApicurioRegistry, tmp_path: Path, subject: str
) -> None:
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    authority = CertificateAuthority.create("ours")
    authority.write(ours, tmp_path / "ours.key")
    CertificateAuthority.create("theirs").write(theirs, tmp_path / "theirs.key")
    with guarded(registry.url, authority, tmp_path, "vnpulse", "topsecret") as url:

        def ask(**options: object) -> int:
            client = ConfluentSchemaRegistry(RegistrySettings.model_validate({"url": url, **options}))
            try:
                return client.register(subject, ALERT).schema_id
            finally:
                client.close()

        right = {"username": "vnpulse", "password": "topsecret", "ca_file": ours}
        assert ask(**right) > 0
        with pytest.raises(SchemaUnavailable, match=r"refuses user vnpulse \(HTTP 401\)") as caught:
            ask(**right | {"password": "guessed"})
        assert "guessed" not in str(caught.value)
        with pytest.raises(SchemaUnavailable, match=r"refuses requests without a user \(HTTP 401\)"):
            ask(ca_file=ours)
        with pytest.raises(SchemaUnavailable, match="certificate verify failed"):
            ask(**right | {"ca_file": theirs})


@pytest.fixture
def config(registry: ApicurioRegistry, tmp_path: Path) -> Path:
    """Settings of a deployment with topics of its own; nothing of it runs, or need run."""
    path = tmp_path / "vnpulse.yaml"
    settings = {
        "embedded": {"state_dir": str(tmp_path / "state")},
        "kafka": {"topic_prefix": f"{uuid.uuid4().hex[:8]}."},
        "serialization": {"registry": {"url": registry.url}},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it printed."""
    from vnpulse.cli.app import app

    code = app(list(arguments), standalone_mode=False)
    return code or 0, capsys.readouterr().out


def test_register_and_check_say_what_is_there_and_what_does_not_fit(
    config: Path, client: ConfluentSchemaRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = yaml.safe_load(config.read_text())["kafka"]["topic_prefix"]
    at = ("--config", str(config))
    code, said = run(capsys, "schemas", "check", *at)
    assert (code, said.count("not registered yet; run: vnpulse schemas register")) == (0, 5)
    code, said = run(capsys, "schemas", "register", "alerts", *at)
    assert (code, f"{prefix}alerts-value: version 1, id " in said) == (0, True)
    assert run(capsys, "schemas", "register", *at)[1].count("version 1, id ") == 5
    assert run(capsys, "schemas", "register", *at)[1].count("version 1, id ") == 5
    code, said = run(capsys, "schemas", "check", *at)
    assert (code, said.count("registered, version 1")) == (0, 5)
    # Somebody else registered what our struct does not fit.
    bars = f"{prefix}other.stock_prices_raw-value"
    config.write_text(config.read_text().replace(prefix, f"{prefix}other."))
    theirs = copy.deepcopy(avro_schema(PriceBar))
    del theirs["fields"][2]
    client.register(bars, json.dumps(theirs))
    code, said = run(capsys, "schemas", "check", "stock_prices_raw", *at)
    assert code == 1
    assert f"{bars}: not compatible with version 1: open: a field that older records lack" in said
    code, said = run(capsys, "schemas", "check", "--json", *at)
    assert code == 1
    assert [row["compatible"] for row in json.loads(said)] == [False, True, True, True, True]
