"""The environment of its own that vnstock runs in: made once per user, and never imported from here."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vnpulse.errors import UserError

REQUIREMENTS = Path(__file__).with_name("vnstock_requirements.txt")

INSTALL_TIMEOUT_S = 600.0
"""200 MB of packages over a slow line; with a cache of wheels it takes three seconds."""


class VnstockUnavailable(UserError):
    """vnstock's environment is not there and cannot be made."""


def vnstock_python(configured: Path | None, say: Callable[[str], None] = lambda _: None) -> Path:
    """Return the Python that has vnstock; without one ``configured``, one of our own, made at first use.

    Raises VnstockUnavailable: one line with what is missing and what to do.
    """
    if configured is not None:
        if not os.access(configured, os.X_OK):
            raise VnstockUnavailable(f"vnstock.python: was {configured}, no such program")
        return configured
    folder = _cache_dir()
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if complete.exists() and python.exists():
        return python
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / "vnstock.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():  # another process may have made it while this one waited
                say(
                    f"vnstock: making its environment in {folder} (200 MB, once)."
                    " It is not open source: own use within its tier; see docs/collection.md"
                )
                shutil.rmtree(folder, ignore_errors=True)
                _make(folder, python)
                complete.touch()
    except OSError as error:
        raise VnstockUnavailable(
            f"vnstock: its environment cannot be kept in {folder}: {error.strerror}"
        ) from None
    return python


def _cache_dir() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = REQUIREMENTS.read_bytes() + f"{sys.version_info[:2]}".encode()
    return base / "vnpulse" / f"vnstock-{hashlib.sha256(made_of).hexdigest()[:12]}"


def _make(folder: Path, python: Path) -> None:
    if importlib.util.find_spec("uv") is None:
        raise VnstockUnavailable(
            "vnstock: making its environment needs uv: pip install uv, or name a Python that has vnstock"
            " in configs/sources.yaml (vnstock.python)"
        )
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    install = ["pip", "install", "--quiet", "--compile-bytecode", "--no-deps", "--python", str(python)]
    _run([*uv, *install, "-r", str(REQUIREMENTS)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise VnstockUnavailable(f"vnstock: installing took longer than {INSTALL_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise VnstockUnavailable(f"vnstock: its packages could not be installed (no network?): {reason}")
