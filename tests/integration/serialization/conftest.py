"""One real registry for these tests; the subjects carry the topic prefix of each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apicurio import ApicurioRegistry
from tests.integration.trial import Trial
from vnpulse.topics import MESSAGE_TYPES


@pytest.fixture(scope="package")
def registry() -> Iterator[ApicurioRegistry]:
    folder = Path(tempfile.mkdtemp(prefix="vnp-registry-"))
    apicurio = ApicurioRegistry(folder)
    try:
        apicurio.start()
        yield apicurio
    finally:
        apicurio.stop()
        shutil.rmtree(folder, ignore_errors=True)


def write_avro(trial: Trial, url: str, *topics: str, timeout_s: float = 60.0) -> None:
    """Have the deployment write ``topics`` in Avro, all unless named."""
    trial.write_config(
        serialization={
            "formats": dict.fromkeys(topics or MESSAGE_TYPES, "avro"),
            "registry": {"url": url, "timeout_s": timeout_s},
        }
    )
