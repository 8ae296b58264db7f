"""The indicator kernels, compiled before anybody waits for them."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

log = logging.getLogger("vnpulse.pipelines")

COMPILE_TIMEOUT_S = 900.0
"""One to two minutes of a core that nobody else wants, and meanwhile the version before does the work; a node
that takes longer compiles in its analyzer."""


def compile_everywhere() -> None:
    """Have every node compile the kernels of this code; returns at once where that has been done.

    They are kept beside the code, and every upload is new code: without this each node's first
    technical analyzer of a new version would compile them while nobody does its work. Those that are
    the same as before, all of them where only settings have changed, are taken from the last upload.
    """
    began = time.monotonic()
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    compiling = [
        _compile.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in nodes
    ]
    done, late = ray.wait(compiling, num_returns=len(compiling), timeout=COMPILE_TIMEOUT_S)
    took_s = time.monotonic() - began
    log.info("indicator kernels are compiled on %d of %d nodes, %.0f s", len(done), len(nodes), took_s)
    for task in late:
        ray.cancel(task)


@ray.remote(num_cpus=0, max_retries=0)
def _compile() -> None:
    take_from_last_upload(Path(__file__).parents[1])
    import vnpulse.technical.analyzer  # noqa: F401


def take_from_last_upload(code: Path) -> None:
    """Copy what numba keeps beside the code of the upload that this node got before ``code``.

    numba itself sees whether it is of the same source, for its own version and this processor.
    """
    # Ray unpacks every upload into a folder of its own, beside the others.
    others = [other for other in code.parent.glob("_ray_pkg_*") if other != code]
    kept: list[Path] = []
    while others and not kept:
        last = max(others, key=lambda other: other.stat().st_mtime)
        others.remove(last)
        kept = sorted(last.glob("vnpulse/*/__pycache__/*.nb[ci]"))  # the index after what is in it
    for file in kept:
        copy = code / file.relative_to(last)
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            half = copy.with_name(f"{copy.name}.{os.getpid()}")
            shutil.copyfile(file, half)
            half.replace(copy)
