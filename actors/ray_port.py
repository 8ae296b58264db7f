"""All that the supervisor asks of Ray, behind an interface small enough to fake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import ray
from ray import ActorID
from ray._private.state import state
from ray.actor import ActorHandle
from ray.core.generated.gcs_pb2 import ActorTableData  # type: ignore[attr-defined]
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayActorError, RayError
from ray.util import list_named_actors
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from vnpulse.errors import RayUnavailable

CONTROL = "control"
CONTROL_THREADS = 3
"""Threads of each actor for the supervisor's calls, beside those that others keep busy: one may be
starting it while another asks how it is."""

KILL_TIMEOUT_S = 10.0
"""For the head to say that an actor may kill: less than elsewhere, for who is not killed is found again."""

NAME_FREE_TIMEOUT_S = 30.0
NAME_FREE_PERIOD_S = 0.1


@dataclass(frozen=True)
class ActorSpec:
    """An actor that should be running: a plain class, what to make it with, and its place in the order.

    ``stage`` orders starting (ascending: what others call comes first) and ``drain_rank`` orders
    stopping (ascending: who produces stops before who consumes that). ``version`` tells apart what
    is made from other code or settings: the class's ``health`` says it again.
    """

    name: str
    plain_class: type
    arguments: tuple[Any, ...]
    stage: int
    drain_rank: int
    version: str = ""
    num_cpus: float = 0.1
    num_gpus: float = 0.0
    max_concurrency: int = 4
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that the node must have."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray label selector: {"ray.io/market-type": "!spot"} keeps an actor off spot nodes."""
    spread: bool = False
    """Over as many nodes as there are, rather than packed on few."""
    shared: bool = False
    """Several drivers may use it; the last of them that stops ends it."""

    @property
    def amounts(self) -> dict[str, float]:
        """How much of each resource it asks of its node."""
        asked = {"CPU": self.num_cpus, "GPU": self.num_gpus, **self.resources}
        return {name: amount for name, amount in asked.items() if amount}

    @property
    def needs(self) -> str:
        """What it asks of its node, for people: "1 CPU, 0.25 GPU, ray.io/market-type !spot"."""
        amounts = [f"{amount:g} {name}" for name, amount in self.amounts.items()]
        return ", ".join([*amounts, *(f"{key} {wanted}" for key, wanted in self.node_labels.items())])


class ActorGone(Exception):
    """The actor's process is dead, or the name is not known."""


class NameTaken(Exception):
    """An actor of this name is running already."""


class Place(NamedTuple):
    """Whether Ray has found a node for an actor, and whether it was made for one with a GPU."""

    has_node: bool
    on_gpu: bool


class ActorPort(Protocol):
    """Creating, calling and ending actors. Handles and pending calls are opaque.

    ``create``, ``find``, ``names``, ``reserve``, ``release`` and an actor's ``kill`` ask Ray's head and wait
    for it: milliseconds, and where it is silent a minute at most, after which they raise RayUnavailable.
    Everything else returns at once.
    """

    def create(self, spec: ActorSpec) -> Any:
        """Start the actor's process. Raises NameTaken."""

    def find(self, name: str) -> Any:
        """Return the running actor of this name. Raises ActorGone."""

    def names(self) -> list[str]:
        """Return the names of all running actors, whoever made them."""

    def ask_node(self, handle: Any) -> Any:
        """Ask for the Place of an actor, whose calls wait until it has one; return the pending answer."""

    def ask_gpus(self) -> Any:
        """Ask how many GPUs each node has that has some, by node id; return the pending answer."""

    def reserve(self, spec: ActorSpec) -> Any:
        """Ask for room for one more actor like this; a cluster that grows by itself starts a node for it.

        The room is kept once it is there, until ``release``. It is given back too when the process
        that asked ends.
        """

    def ask_room(self, room: Any) -> Any:
        """Ask whether the room is there; return the pending answer."""

    def release(self, room: Any) -> None:
        """Want the room no more, or for something else. Harmless if it is given back already."""

    def call(self, handle: Any, method: str, *arguments: Any) -> Any:
        """Call a method; return the pending call at once."""

    def is_done(self, pending: Any) -> bool:
        """Say, without waiting, whether a pending call or question has an answer or an error."""

    def answer(self, pending: Any, timeout_s: float) -> Any:
        """Return the answer, waiting for it. Raises TimeoutError, ActorGone, or the method's own error."""

    def kill(self, handle: Any) -> None:
        """End the actor's process at once, without clean-up. Harmless if it is dead already.

        Raises RayUnavailable if the head has put another process in the place of the actor that asks: cut
        off, that one takes everybody for dead, and what it asks for then Ray would do when it is back.
        """


@contextmanager
def _asking_the_head() -> Iterator[None]:
    try:
        yield
    except GetTimeoutError as error:
        raise RayUnavailable("Ray's head gives no answer") from error


class RayPort:
    """The real thing. Actors live in ``namespace`` and outlive whoever made them."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        # Where these questions wait for the head nobody is in their way: Ray itself never gives them up.
        self._questions = ThreadPoolExecutor(1, "ask-ray")

    @_asking_the_head()
    def create(self, spec: ActorSpec, *, max_restarts: int = 0) -> ActorHandle:
        """Start the actor's process. Raises NameTaken."""
        # max_restarts=0: the supervisor replaces what died. Ray's own restart would rerun the
        # constructor behind its back and leave an actor that nobody has started. The supervisor
        # itself has nobody above it: Ray restarts it.
        options: dict[str, Any] = {
            "name": spec.name,
            "namespace": self._namespace,
            "lifetime": "detached",
            "num_cpus": spec.num_cpus,
            "num_gpus": spec.num_gpus,
            "max_concurrency": spec.max_concurrency,
            "max_restarts": max_restarts,
            "max_task_retries": 0,
        }
        if spec.resources:
            options["resources"] = spec.resources
        if spec.node_labels:
            options["label_selector"] = spec.node_labels
        if spec.spread:
            options["scheduling_strategy"] = "SPREAD"
        try:
            remote: Any = ray.remote  # whose annotations leave the groups out
            remote_class = remote(concurrency_groups={CONTROL: CONTROL_THREADS})(spec.plain_class)
            return remote_class.options(**options).remote(*spec.arguments)
        except ActorAlreadyExistsError as error:
            raise NameTaken(spec.name) from error

    def create_when_free(self, spec: ActorSpec, *, max_restarts: int) -> ActorHandle:
        """Start an actor whose name a dead one may still hold for a moment. Raises NameTaken."""
        give_up_at = time.monotonic() + NAME_FREE_TIMEOUT_S
        while True:
            try:
                return self.create(spec, max_restarts=max_restarts)
            except NameTaken:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(NAME_FREE_PERIOD_S)

    @_asking_the_head()
    def find(self, name: str) -> ActorHandle:
        """Return the running actor of this name. Raises ActorGone."""
        try:
            return ray.get_actor(name, namespace=self._namespace)
        except ValueError as error:
            raise ActorGone(name) from error

    @_asking_the_head()
    def names(self) -> list[str]:
        """Return the names of all running actors, whoever made them."""
        rows: list[dict[str, str]] = list_named_actors(all_namespaces=True)
        return sorted(row["name"] for row in rows if row["namespace"] == self._namespace)

    def ask_node(self, handle: ActorHandle) -> Future[Place]:
        """Ask for the Place of an actor, whose calls wait until it has one; return the pending answer."""
        return self._questions.submit(_place_of, handle)

    def ask_gpus(self) -> Future[dict[str, float]]:
        """Ask how many GPUs each node has that has some, by node id; return the pending answer."""
        return self._questions.submit(_gpus_by_node)

    @_asking_the_head()
    def reserve(self, spec: ActorSpec) -> PlacementGroup | None:
        """Ask for room for one more actor like this; a cluster that grows by itself starts a node for it.

        The room is kept once it is there, until ``release``. It is given back too when the process
        that asked ends.
        """
        # A placement group, because it waits like an actor, shows in `ray status` and in the demand that
        # Ray's autoscaler sees, labels included, and is no process. (request_resources says how large the
        # whole cluster is to be, whoever uses it, and overwrites what others requested.)
        if not spec.amounts:
            return None
        labels = [spec.node_labels] if spec.node_labels else None
        return placement_group([spec.amounts], bundle_label_selector=labels)

    def ask_room(self, room: PlacementGroup | None) -> Future[bool]:
        """Ask whether the room is there; return the pending answer."""
        return self._questions.submit(_is_there, room)

    @_asking_the_head()
    def release(self, room: PlacementGroup | None) -> None:
        """Want the room no more, or for something else. Harmless if it is given back already."""
        if room is not None:
            remove_placement_group(room)

    def call(self, handle: ActorHandle, method: str, *arguments: Any) -> ray.ObjectRef:
        """Call a method; return the pending call at once."""
        return getattr(handle, method).options(concurrency_group=CONTROL).remote(*arguments)

    def is_done(self, pending: ray.ObjectRef | Future[Any]) -> bool:
        """Say, without waiting, whether a pending call or question has an answer or an error."""
        if isinstance(pending, Future):
            return pending.done()
        ready, _ = ray.wait([pending], timeout=0)
        return bool(ready)

    def answer(self, pending: ray.ObjectRef | Future[Any], timeout_s: float) -> Any:
        """Return the answer, waiting for it. Raises TimeoutError, ActorGone, or the method's own error."""
        if isinstance(pending, Future):
            return pending.result(timeout_s)
        try:
            return ray.get(pending, timeout=timeout_s)
        except GetTimeoutError as error:
            raise TimeoutError(str(error)) from error
        except RayActorError as error:
            raise ActorGone(str(error).splitlines()[0]) from error

    def kill(self, handle: ActorHandle) -> None:
        """End the actor's process at once, without clean-up. Harmless if it is dead already.

        Raises RayUnavailable: see ActorPort.
        """
        self._require_own_place()
        with suppress(RayError):  # it was dead
            ray.kill(handle, no_restart=True)

    def _require_own_place(self) -> None:
        """Raise RayUnavailable if this is an actor's process, and the head does not say that it still is."""
        own = ray.get_runtime_context()
        actor_id = own.get_actor_id()
        if actor_id is None:
            return
        try:
            process = self._questions.submit(_process_of, actor_id).result(KILL_TIMEOUT_S)
        except TimeoutError:
            raise RayUnavailable("Ray's head gives no answer") from None
        if process != own.get_worker_id():
            raise RayUnavailable("Ray has given this process up and made another in its place")


def _known(actor_id: ActorID) -> ActorTableData:
    """Return what the head knows of an actor. Ray's own `actors()` leaves out what it asks for."""
    found: bytes | None = state._connect_and_get_accessor().get_actor_info(actor_id)
    return ActorTableData.FromString(found or b"")


def _process_of(actor_id: str) -> str:
    """Return the worker that is this actor now, if the head knows one."""
    worker: bytes = _known(ActorID.from_hex(actor_id)).address.worker_id
    return worker.hex()


def _place_of(handle: ActorHandle) -> Place:
    actor = _known(handle._actor_id)
    pending = bool(actor.actor_id) and actor.state == ActorTableData.PENDING_CREATION
    # Where it waits for what others use it has the address of a node that could have it, without a process.
    return Place(not pending or bool(actor.address.worker_id), "GPU" in actor.required_resources)


def _gpus_by_node() -> dict[str, float]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    found = {node["NodeID"]: node["Resources"].get("GPU", 0.0) for node in nodes if node["Alive"]}
    return {node: gpus for node, gpus in found.items() if gpus}


def _is_there(room: PlacementGroup | None) -> bool:
    return room is None or placement_group_table(room)["state"] == "CREATED"
