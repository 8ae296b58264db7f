"""Room for one more actor, asked of Ray before the actor is made."""

from __future__ import annotations

from typing import Any

from actors.ray_port import ActorPort, ActorSpec


class Room:
    """What an actor asks of its node: wanted, and once it is there kept, until it is released.

    Raises RayUnavailable where Ray's head gives no answer; see ActorPort.
    """

    def __init__(self, port: ActorPort, spec: ActorSpec) -> None:
        self._port = port
        self._held = port.reserve(spec)
        self._question: Any = None

    def is_there(self) -> bool | None:
        """Say whether it is; None, without waiting, while Ray has not answered."""
        if self._question is None:
            self._question = self._port.ask_room(self._held)
        if not self._port.is_done(self._question):
            return None
        question, self._question = self._question, None
        there: bool = self._port.answer(question, timeout_s=0)
        return there

    def release(self) -> None:
        """Want it no more, or for something else. May be repeated."""
        self._port.release(self._held)
