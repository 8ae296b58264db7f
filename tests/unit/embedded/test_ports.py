from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vnpulse.embedded.errors import PortTaken
from vnpulse.embedded.ports import FIRST_PORT, LAST_PORT, LOOPBACK, PortBook


def listener(port: int = 0) -> socket.socket:
    return socket.create_server((LOOPBACK, port))


def test_a_port_is_remembered_across_starts(tmp_path: Path) -> None:
    port = PortBook(tmp_path / "ports.json").port_for("kafka")
    assert FIRST_PORT <= port <= LAST_PORT
    assert PortBook(tmp_path / "ports.json").port_for("kafka") == port


def test_names_never_share_a_port(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    assert len({book.port_for(f"name-{n}") for n in range(20)}) == 20


def test_a_remembered_port_in_use_is_replaced(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    port = book.port_for("kafka")
    with listener(port):
        replacement = book.port_for("kafka")
    assert replacement != port
    assert book.port_for("kafka") == replacement


def test_a_configured_port_in_use_is_an_error_that_names_it(tmp_path: Path) -> None:
    with listener() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} for kafka is in use"):
            PortBook(tmp_path / "ports.json").port_for("kafka", port)


def test_a_damaged_book_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("[1, 2")
    assert PortBook(tmp_path / "ports.json").port_for("kafka") >= FIRST_PORT
