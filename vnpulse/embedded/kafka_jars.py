"""Kafka's jars: fetched once per user and version through jgo, checked before every start.

A small record (``kafka-<version>.json`` in jgo's cache folder) holds the class path with size, time and
SHA-256 of every jar. A start that finds all of them unchanged needs no network and about 5 ms.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vnpulse.embedded.atomic_file import write_atomically
from vnpulse.embedded.errors import JarsUnavailable, one_line

KAFKA_VERSION = "4.3.1"
DOWNLOADS_AT_ONCE = 6
DOWNLOAD_SIZE_HINT = "45 MB"
FETCH_ATTEMPTS = 2
"""The second one replaces jars that arrived damaged."""


@dataclass(frozen=True, kw_only=True)
class Jar:
    """One file of the class path as it was when it was checked."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    def unchanged(self) -> bool:
        """Size and time decide; the content is read only when the time differs (a copied cache)."""
        path = Path(self.path)
        try:
            stat = path.stat()
        except OSError:
            return False
        if stat.st_size != self.size:
            return False
        return stat.st_mtime_ns == self.mtime_ns or _sha256(path) == self.sha256


@dataclass(frozen=True, kw_only=True)
class KafkaJars:
    """A usable class path, and the folder for what is derived from it (start-up archives)."""

    version: str
    jars: tuple[Jar, ...]
    cache_dir: Path

    @property
    def class_path(self) -> str:
        return ":".join(jar.path for jar in self.jars)

    @property
    def fingerprint(self) -> str:
        # The JVM refuses an archive of classes when a jar's time has changed, so the time is part of it.
        text = "\n".join(f"{jar.path} {jar.size} {jar.mtime_ns}" for jar in self.jars)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def kafka_jars(
    version: str = KAFKA_VERSION, on_progress: Callable[[str], None] = lambda _: None
) -> KafkaJars:
    """The jars of this Kafka version, fetched when they are missing or changed.

    Raises JarsUnavailable: one line with what is wrong, where, and what to do.
    """
    cache_dir = _cache_dir()
    record = cache_dir / f"kafka-{version}.json"
    jars = _read_record(record)
    if jars and all(jar.unchanged() for jar in jars):
        return KafkaJars(version=version, jars=jars, cache_dir=cache_dir)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / "fetch.lock"):
            jars = _read_record(record)  # another process may have fetched while this one waited
            changed = [Path(jar.path) for jar in jars if not jar.unchanged()]
            if not jars or changed:
                on_progress(
                    f"kafka: replacing {len(changed)} missing or damaged jars of Apache Kafka {version}"
                    if changed
                    else f"kafka: fetching Apache Kafka {version} (first use, about {DOWNLOAD_SIZE_HINT})"
                )
                for path in changed:
                    path.unlink(missing_ok=True)
                jars = _fetch(version)
                write_atomically(record, json.dumps([asdict(jar) for jar in jars], indent=1))
    except OSError as error:
        raise JarsUnavailable(
            f"Kafka's jars cannot be kept: {one_line(error)}: make {cache_dir} writable or set JGO_CACHE_DIR"
        ) from error
    return KafkaJars(version=version, jars=jars, cache_dir=cache_dir)


def _cache_dir() -> Path:
    # jgo's own rule for where it caches, without importing it (its imports take 0.4 s).
    configured = os.environ.get("JGO_CACHE_DIR")
    return (Path(configured) if configured else Path.home() / ".cache" / "jgo") / "vnpulse"


def _read_record(record: Path) -> tuple[Jar, ...]:
    """Empty when there is no record or it cannot be understood."""
    try:
        return tuple(Jar(**entry) for entry in json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return ()


def _fetch(version: str) -> tuple[Jar, ...]:
    problems: list[str] = []
    for _ in range(FETCH_ATTEMPTS):
        with _checksum_complaints() as complaints:
            paths = _resolve(version)
        damaged = [
            path for path in paths if any(path.name in text for text in complaints) or not _intact(path)
        ]
        if not damaged:
            return tuple(_describe(path) for path in paths)
        for path in damaged:
            path.unlink(missing_ok=True)
        problems = [str(path) for path in damaged]
    raise JarsUnavailable(
        f"Kafka {version} arrived damaged twice ({one_line(', '.join(problems))}): "
        "the files were removed; check the network (a proxy that rewrites downloads?) and start again"
    )


def _resolve(version: str) -> list[Path]:
    """Local paths of Kafka's run-time jars, downloaded as needed. jgo resolves in pure Python."""
    import requests
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    settings = GlobalSettings.load()
    context = MavenContext(repo_cache=settings.repo_cache)
    context.remote_repos.update(settings.repositories)  # a mirror that the user gave jgo
    advice = (
        f"they are kept in {settings.repo_cache}; connect to the network once, "
        "or give the address of a running Kafka in the configuration"
    )
    try:
        kafka = context.project("org.apache.kafka", "kafka_2.13").at_version(version).artifact()
        inputs, transitive = context.resolver.resolve([_dependency(context, kafka)])
        artifacts = [dep.artifact for dep in [*inputs, *transitive] if dep.scope in ("compile", "runtime")]
        # Kafka logs through slf4j and ships the binding only in its tarball.
        log4j = next(a for a in artifacts if a.artifactId == "log4j-core")
        binding = context.project("org.apache.logging.log4j", "log4j-slf4j-impl").at_version(log4j.version)
        artifacts.append(binding.artifact())
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            return list(pool.map(lambda artifact: Path(artifact.resolve()), artifacts))
    except requests.RequestException as error:
        raise JarsUnavailable(
            f"Kafka {version} could not be fetched (no answer from the network, {type(error).__name__}): "
            f"{advice}"
        ) from error
    except Exception as error:  # jgo raises bare RuntimeError, ValueError, XML errors, AssertionError
        raise JarsUnavailable(
            f"Kafka {version} could not be fetched ({type(error).__name__}: {one_line(error)[:160]}): "
            f"{advice}"
        ) from error


def _dependency(context: Any, artifact: Any) -> Any:
    from jgo.maven import Dependency

    return Dependency(artifact, scope="compile")


@contextmanager
def _checksum_complaints() -> Iterator[list[str]]:
    """What jgo only warns about: a download whose SHA-1 differs from the published one."""
    complaints: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if "Checksum mismatch" in text:
                complaints.append(text)

    logger = logging.getLogger("jgo")
    listener, propagate = Listener(), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield complaints
    finally:
        logger.propagate = propagate
        logger.removeHandler(listener)


def _intact(path: Path) -> bool:
    """Whether every entry of the jar unpacks to its CRC: finds downloads that were cut short."""
    try:
        with zipfile.ZipFile(path) as jar:
            return jar.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError):
        return False
    except Exception:  # zlib.error and others: what cannot be unpacked is not intact
        return False


def _describe(path: Path) -> Jar:
    stat = path.stat()
    return Jar(path=str(path), size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=_sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
