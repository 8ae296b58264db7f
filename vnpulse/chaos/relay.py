"""A network that can be cut: a relay in front of a server, between it and its clients.

Any user can run it, where a firewall or a network name space wants root. What it does is what
processes see of a cut line: what was sent stays under way, neither end is told, and new connections
get no answer. When the line is whole again everything arrives late, also requests whose senders have
long given up and asked again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 65_536
BACKLOG = 128
NO_BACKLOG = 0
"""The kernel then answers one more connection, and drops further attempts as a cut network would."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST."""


class Relay:
    """Listens on a port of its own from construction until `close`; passes on to ``target()``'s port.

    ``target`` is asked for each connection: a server may come back elsewhere. A connection that its
    server does not take is reset. `cut`, `mend` and `reset` may be called from any thread and more
    than once.
    """

    def __init__(self, name: str, target: Callable[[], int]) -> None:
        self._target = target
        self._listener = socket.create_server((LOOPBACK, 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._whole = asyncio.Event()
        self._whole.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._accepting = self._loop.create_task(self._accept())
        self._thread = threading.Thread(target=self._run, name=f"relay-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_cut(self) -> bool:
        """Whether nothing gets through now."""
        return not self._whole.is_set()

    def cut(self) -> None:
        """Let nothing through any more, and say so to nobody."""
        self._do(self._set_whole(False))

    def mend(self) -> None:
        """Let everything through again, first what was held up."""
        self._do(self._set_whole(True))

    def reset(self) -> None:
        """Break every connection with an RST to both ends, as a firewall that was restarted does."""
        self._do(self._break_all())

    def close(self) -> None:
        """End it, and every connection. Idempotent."""
        if not self._loop.is_closed():
            self._do(self._break_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._listener.close()
            self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()
        self._accepting.cancel()
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._accepting)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _set_whole(self, whole: bool) -> None:
        if whole:
            self._whole.set()
        else:
            self._whole.clear()
        self._listener.listen(BACKLOG if whole else NO_BACKLOG)

    async def _break_all(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            await self._whole.wait()
            client, _ = await self._loop.sock_accept(self._listener)
            connection = self._loop.create_task(self._serve(client))
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)

    async def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        ends = client, server
        try:
            for end in ends:
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._whole.wait()
            await self._loop.sock_connect(server, (LOOPBACK, self._target()))
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(client, server))
                ways.create_task(self._pass(server, client))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            for end in ends:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        finally:
            for end in ends:
                end.close()

    async def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, CHUNK_BYTES):
            await self._whole.wait()
            await self._loop.sock_sendall(sink, data)
        await self._whole.wait()
        with suppress(OSError):  # the other way may have ended it already
            sink.shutdown(socket.SHUT_WR)
