"""The record of the class path: what makes a start fetch again, without a network."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path

import pytest

from vnpulse.embedded import kafka_jars as module
from vnpulse.embedded.errors import JarsUnavailable
from vnpulse.embedded.kafka_jars import kafka_jars


class FakeRepository:
    """Stands in for jgo: writes two small jars, the first ``broken`` times cut short."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetches = 0
        self.broken = 0

    def resolve(self, version: str) -> list[Path]:
        self.fetches += 1
        paths = [self.folder / f"{name}-{version}.jar" for name in ("kafka", "log4j")]
        for path in paths:
            if not path.exists():
                with zipfile.ZipFile(path, "w") as jar:
                    jar.writestr("entry", path.name * 100)
                if self.broken >= self.fetches:
                    path.write_bytes(path.read_bytes()[:-40])
        return paths


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRepository:
    fake = FakeRepository(tmp_path)
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_resolve", fake.resolve)
    return fake


def test_second_start_does_not_resolve(repository: FakeRepository) -> None:
    first = kafka_jars("9.9")
    assert kafka_jars("9.9") == first
    assert repository.fetches == 1


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed"])
def test_missing_or_changed_jar_is_fetched_again(repository: FakeRepository, damage: str) -> None:
    jar = Path(kafka_jars("9.9").jars[0].path)
    good = jar.read_bytes()
    if damage == "missing":
        jar.unlink()
    elif damage == "shorter":
        jar.write_bytes(good[:-1])
    else:
        jar.write_bytes(b"X" + good[1:])
        os.utime(jar, ns=(1, 1))
    said: list[str] = []
    assert Path(kafka_jars("9.9", said.append).jars[0].path).stat().st_size == len(good)
    assert repository.fetches == 2
    assert said == ["kafka: replacing 1 missing or damaged jars of Apache Kafka 9.9"]


def test_touched_jar_with_the_same_content_is_kept(repository: FakeRepository) -> None:
    os.utime(kafka_jars("9.9").jars[0].path, ns=(1, 1))
    kafka_jars("9.9")
    assert repository.fetches == 1


def test_damaged_download_is_tried_once_more(repository: FakeRepository) -> None:
    repository.broken = 1
    kafka_jars("9.9")
    assert repository.fetches == 2


def test_twice_damaged_download_is_one_line_and_leaves_no_bad_file(
    repository: FakeRepository, tmp_path: Path
) -> None:
    repository.broken = 2
    with pytest.raises(JarsUnavailable, match="arrived damaged twice") as caught:
        kafka_jars("9.9")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("*.jar")) == []


def test_checksum_mismatch_that_jgo_only_warns_about_counts_as_damage(
    repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(version: str) -> list[Path]:
        paths = repository.resolve(version)
        if repository.fetches == 1:
            logging.getLogger("jgo.maven._resolver").warning(
                f"Checksum mismatch for {paths[0].name}: expected"
            )
        return paths

    monkeypatch.setattr(module, "_resolve", resolve)
    kafka_jars("9.9")
    assert repository.fetches == 2
