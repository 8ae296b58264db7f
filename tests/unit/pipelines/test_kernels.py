"""Kernels that an earlier upload has compiled."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.kernels import keep, kept_by_last_upload

CACHE = Path("vnpulse/technical/__pycache__")


def upload(uploads: Path, name: str, *kept: str, unpacked_at: float = 0.0) -> Path:
    """Unpack one as Ray does, with some files of numba's in it."""
    cache = uploads / f"_ray_pkg_{name}" / CACHE
    cache.parent.mkdir(parents=True)
    for file in kept:
        cache.mkdir(exist_ok=True)
        (cache / file).write_text(name)
    os.utime(uploads / f"_ray_pkg_{name}", (unpacked_at, unpacked_at))
    return uploads / f"_ray_pkg_{name}"


def names(kept: dict[str, bytes]) -> dict[str, str]:
    assert {Path(path).parent for path in kept} <= {CACHE}
    return {Path(path).name: content.decode() for path, content in kept.items()}


def test_those_of_the_last_upload_are_taken_that_has_some(tmp_path: Path) -> None:
    upload(tmp_path, "none", unpacked_at=3.0)
    upload(tmp_path, "last", "k.py311.1.nbc", "k.py311.nbi", "kernel.pyc", unpacked_at=2.0)
    upload(tmp_path, "before", "k.py311.nbi", "another.py311.nbi", unpacked_at=1.0)
    code = upload(tmp_path, "new", "new.py311.nbi", unpacked_at=4.0)
    assert names(kept_by_last_upload(code)) == {"k.py311.1.nbc": "last", "k.py311.nbi": "last"}


def test_code_that_is_no_upload_takes_nothing(tmp_path: Path) -> None:
    upload(tmp_path / "elsewhere", "old", "k.py311.nbi")
    assert kept_by_last_upload(tmp_path / "clone") == {}


def test_what_is_there_stays(tmp_path: Path) -> None:
    upload(tmp_path, "old", "k.py311.1.nbc", "k.py311.nbi")
    code = upload(tmp_path, "new", "k.py311.nbi")
    keep(kept_by_last_upload(code), code)
    found = {file.name: file.read_text() for file in (code / CACHE).iterdir()}
    assert found == {"k.py311.1.nbc": "old", "k.py311.nbi": "new"}
