"""The indicator kernels, compiled before anybody waits for them."""

from __future__ import annotations

import logging
import time

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

log = logging.getLogger("vnpulse.pipelines")

COMPILE_TIMEOUT_S = 300.0
"""Half a minute of a core that nobody else wants; a node that takes longer compiles in its analyzer."""


def compile_everywhere() -> None:
    """Have every node compile the kernels of this code; returns at once where that has been done.

    They are kept beside the code, and every upload is new code: without this each node's first
    technical analyzer of a new version would compile them while nobody does its work.
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
    import vnpulse.technical.analyzer  # noqa: F401
