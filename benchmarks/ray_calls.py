"""What the supervisor's calls to actors cost through Ray, as JSON.

``.venv/bin/python benchmarks/ray_calls.py [--actors 16] [--rounds 300]`` starts a Ray of its own and
asks all of its actors for their health, flat out, and then as the supervisor does: once a step, taking
the answers at the next. ``call_cpu_ms`` is the processor time of the asking process, ``all_cpu_ms``
that of all of Ray's processes together, for one call with its answer; a look whether it is answered is
apart. ``--busy`` adds processes that take all the time that they get.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from typing import Any

import psutil

os.environ |= {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

import ray

from actors.ray_port import ActorSpec, RayPort
from actors.supervisor_actor import STEP_PERIOD_S

OBJECT_STORE_BYTES = 80_000_000
LOOKS = 20_000


class Asked:
    """Answers as long as a consumer does."""

    def health(self) -> dict[str, Any]:
        positions = {str(partition): 1_000_000 + partition for partition in range(10)}
        return {"alive": True, "error": "", "version": "0" * 12, "positions": positions, "records": 1}


def _spin() -> None:
    while True:
        pass


def _cpu_s() -> float:
    """Return the processor time so far of this process and all below it."""
    me = psutil.Process()
    times = [process.cpu_times() for process in [me, *me.children(recursive=True)]]
    return sum(t.user + t.system for t in times)


def _ask(port: RayPort, handles: list[Any], pause_s: float) -> None:
    pending = [port.call(handle, "health") for handle in handles]
    time.sleep(pause_s)
    for call in pending:
        port.answer(call, timeout_s=60)


def measure(actors: int, rounds: int) -> dict[str, float]:
    """Ask every actor ``rounds`` times; return what a call cost."""
    port = RayPort("calls")
    specs = [ActorSpec(f"asked/{n}", Asked, (), stage=0, drain_rank=0, num_cpus=0) for n in range(actors)]
    handles = [port.create(spec) for spec in specs]
    for handle in handles:
        port.answer(port.call(handle, "health"), timeout_s=60)
    began = time.perf_counter()
    for _ in range(rounds):
        _ask(port, handles, pause_s=0.0)
    wall = time.perf_counter() - began
    own, everybody = time.process_time(), _cpu_s()
    for _ in range(rounds // 4):
        _ask(port, handles, pause_s=STEP_PERIOD_S)
    calls = actors * (rounds // 4)
    report = {
        "flat_out_calls_a_second": round(actors * rounds / wall),
        "call_cpu_ms": round(1e3 * (time.process_time() - own) / calls, 3),
        "all_cpu_ms": round(1e3 * (_cpu_s() - everybody) / calls, 3),
    }
    answered = port.call(handles[0], "health")
    port.answer(answered, timeout_s=60)
    own = time.process_time()
    for _ in range(LOOKS):
        port.is_done(answered)
    report["look_cpu_us"] = round(1e6 * (time.process_time() - own) / LOOKS, 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actors", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--busy", type=int, default=0, help="processes that take all the time they get")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vnr-") as folder:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            num_cpus=4,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=folder,
        )
        busy = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(arguments.busy)]
        for process in busy:
            process.start()
        try:
            print(json.dumps(measure(arguments.actors, arguments.rounds), indent=2))
        finally:
            for process in busy:
                process.kill()
            ray.shutdown()


if __name__ == "__main__":
    main()
