"""Where an actor runs, for people who look for it."""

from __future__ import annotations

import os
from typing import Any

import ray


def whereabouts() -> dict[str, Any]:
    """Return node address and id, process id and the GPUs that Ray gave to the calling actor."""
    if not ray.is_initialized():
        return {"node": "", "node_id": "", "pid": os.getpid(), "gpus": []}
    return {
        "node": ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]
        "node_id": ray.get_runtime_context().get_node_id(),
        "pid": os.getpid(),
        "gpus": [str(gpu) for gpu in ray.get_gpu_ids()],
    }
