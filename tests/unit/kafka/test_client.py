"""Connections that never come about: each try gives back what it opened."""

from __future__ import annotations

import gc
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from vnpulse.kafka.client import Client

HANGS_MS = 600_000
"""Longer than a test may take."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Whatever is open now stays so until somebody closes it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def open_sockets() -> set[str]:
    """The sockets of this process, by inode."""
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.add(os.readlink(descriptor))
        except FileNotFoundError:
            continue  # the folder's own
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.usefixtures("uncollected")
def test_sockets_that_were_refused_are_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
    before = open_sockets()
    with pytest.raises(KafkaError):
        KafkaAdminClient(kafka_client=Client, bootstrap_servers=[f"{host}:{port}"], bootstrap_timeout_ms=400)
    assert open_sockets() <= before


@pytest.mark.usefixtures("uncollected")
def test_a_broker_that_is_silent_in_the_middle_of_a_handshake_is_given_up() -> None:
    before = open_sockets()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        client = Client(
            bootstrap_servers=[f"{host}:{port}"],
            security_protocol="SSL",
            ssl_context=ssl.create_default_context(),
            socket_connection_setup_timeout_ms=50,
        )
        assert not client.await_ready("bootstrap-0", timeout_ms=HANGS_MS)
        client.close()
    assert open_sockets() <= before
