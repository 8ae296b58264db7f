"""What a source of articles knows of those that it gave: it counts once they are safe."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

_State = TypeVar("_State", bound=msgspec.Struct)


class RememberingSource(Generic[_State]):
    """The part of a NewsSource that does not depend on where articles come from.

    ``fetch`` reads ``_state`` and sets ``_unconfirmed``, which takes its place when it is confirmed.
    """

    def __init__(self, state: _State) -> None:
        self._state = state
        self._unconfirmed: _State | None = None

    def confirm(self) -> None:
        """The articles of the last fetch are safe."""
        if self._unconfirmed is not None:
            self._state, self._unconfirmed = self._unconfirmed, None

    def dump(self) -> bytes:
        """Return what is known."""
        return msgspec.msgpack.encode(self._state)

    def load(self, state: bytes) -> None:
        """Go on from what ``dump`` returned."""
        self._state = msgspec.msgpack.decode(state, type=type(self._state))
