"""The indicator kernels, compiled before anybody waits for them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

log = logging.getLogger("vnpulse.pipelines")

COMPILE_TIMEOUT_S = 900.0
"""One to two minutes of a core that nobody else wants, and meanwhile the version before does the work; a node
that takes longer compiles in its analyzer."""

ANSWER_TIMEOUT_S = 60.0


def compile_everywhere() -> None:
    """Have every node compile the kernels of this code; returns at once where that has been done.

    They are kept beside the code, and every upload is new code: without this each node's first
    technical analyzer of a new version would compile them while nobody does its work. Those that are
    the same as before, all of them where only settings have changed, are taken from the last upload,
    another node's if this one never had any.
    """
    began = time.monotonic()
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    kept: dict[str, dict[str, bytes]] = _on_each(_kept, dict.fromkeys(nodes, ()), ANSWER_TIMEOUT_S)
    somebodys = ray.put(next(filter(None, kept.values()), {}))
    compiled = _on_each(_compile, {node: (kept.get(node) or somebodys,) for node in nodes}, COMPILE_TIMEOUT_S)
    took_s = time.monotonic() - began
    log.info("indicator kernels are compiled on %d of %d nodes, %.0f s", len(compiled), len(nodes), took_s)


def _on_each(task: Any, arguments: Mapping[str, tuple[Any, ...]], timeout_s: float) -> dict[str, Any]:
    """Return, by node, what a task returns there; what takes longer or fails is cancelled and left out."""
    tasks = {}
    for node, given in arguments.items():
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        tasks[task.options(scheduling_strategy=there).remote(*given)] = node
    done, late = ray.wait(list(tasks), num_returns=len(tasks), timeout=timeout_s)
    for pending in late:
        ray.cancel(pending)
    answers = {}
    for pending in done:
        try:
            answers[tasks[pending]] = ray.get(pending)
        except RayError as error:
            reason = str(error).strip().rpartition("\n")[2]
            log.warning("indicator kernels on node %s: %s", tasks[pending], reason)
    return answers


@ray.remote(num_cpus=0, max_retries=0)
def _kept() -> dict[str, bytes]:
    return kept_by_last_upload(Path(__file__).parents[1])


@ray.remote(num_cpus=0, max_retries=0)
def _compile(kept: dict[str, bytes]) -> None:
    keep(kept, Path(__file__).parents[1])
    import vnpulse.technical.analyzer  # noqa: F401


def kept_by_last_upload(code: Path) -> dict[str, bytes]:
    """Return what numba keeps beside the code of the upload that this node got before ``code``, by path."""
    # Ray unpacks every upload into a folder of its own, beside the others.
    others = [other for other in code.parent.glob("_ray_pkg_*") if other != code]
    for last in sorted(others, key=lambda other: other.stat().st_mtime, reverse=True):
        files = last.glob("vnpulse/*/__pycache__/*.nb[ci]")
        if kept := {str(file.relative_to(last)): file.read_bytes() for file in files}:
            return kept
    return {}


def keep(kept: Mapping[str, bytes], code: Path) -> None:
    """Write what is not there yet beside ``code``.

    numba itself sees whether it is of the same source, for its own version and this processor.
    """
    for path in sorted(kept):  # an index after what is in it
        file = code / path
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            half = file.with_name(f"{file.name}.{os.getpid()}")
            half.write_bytes(kept[path])
            half.replace(file)
