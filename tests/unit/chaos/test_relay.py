"""The relay is to its clients what a network is that is cut, and mended again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from vnpulse.chaos.relay import LOOPBACK, Relay

ANSWER_TIMEOUT_S = 10.0
SILENCE_S = 0.2


class Echo:
    """A server that sends back what it gets, and keeps what it got."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.got = b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1024):
                    self.got += data
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    with Relay("test", lambda: echo.port) as relay:
        yield relay


@pytest.fixture
def client(relay: Relay) -> Iterator[socket.socket]:
    with connected(relay) as client:
        yield client


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection((LOOPBACK, relay.port), ANSWER_TIMEOUT_S)


def says(client: socket.socket, what: bytes) -> bytes:
    client.sendall(what)
    return client.recv(1024)


def silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE_S)
    try:
        client.recv(1024)
    except TimeoutError:
        return True
    finally:
        client.settimeout(ANSWER_TIMEOUT_S)
    return False


def test_it_passes_both_ways(client: socket.socket) -> None:
    assert says(client, b"hello") == b"hello"


def test_more_than_a_chunk_arrives_whole(client: socket.socket) -> None:
    sent = bytes(range(256)) * 1000
    threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
    got = b""
    while len(got) < len(sent):
        got += client.recv(65_536)
    assert got == sent


def test_the_end_of_one_side_reaches_the_other(client: socket.socket) -> None:
    assert says(client, b"last") == b"last"
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1024) == b""


def test_a_cut_is_silence_and_what_was_sent_comes_late(relay: Relay, client: socket.socket) -> None:
    assert says(client, b"before") == b"before"
    relay.cut()
    client.sendall(b"during")
    assert silent(client)
    assert relay.is_cut
    relay.mend()
    assert not relay.is_cut
    assert client.recv(1024) == b"during"


def test_a_request_whose_sender_has_gone_arrives_after_all(
    relay: Relay, echo: Echo, client: socket.socket
) -> None:
    assert says(client, b"before") == b"before"
    relay.cut()
    client.sendall(b"abandoned")
    client.shutdown(socket.SHUT_WR)
    assert silent(client)
    relay.mend()
    assert client.recv(1024) == b"abandoned"
    assert echo.got == b"beforeabandoned"


def test_who_connects_during_a_cut_is_served_after_it(relay: Relay) -> None:
    relay.cut()
    with connected(relay) as late:
        late.sendall(b"anybody?")
        assert silent(late)
        relay.mend()
        assert late.recv(1024) == b"anybody?"


def test_a_reset_breaks_what_is_open_and_lets_in_what_comes(relay: Relay, client: socket.socket) -> None:
    assert says(client, b"before") == b"before"
    relay.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1024)
    with connected(relay) as new:
        assert says(new, b"after") == b"after"


def test_without_a_server_connections_are_reset() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Relay("test", lambda: port) as relay,
        # Already by connecting, if this thread looks no sooner whether it was successful.
        pytest.raises(ConnectionResetError),
        connected(relay) as client,
    ):
        client.recv(1024)
