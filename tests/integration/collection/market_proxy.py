"""An HTTPS proxy on loopback that answers for the sources that vnstock asks, and misbehaves on demand.

vnstock runs unmodified: it connects through HTTPS_PROXY, the proxy ends the TLS with certificates of a
throw-away authority, and answers in the documented shapes. The figures were made up here.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

VCI, VCI_NEWS, KBS = "trading.vietcap.com.vn", "iq.vietcap.com.vn", "kbbuddywts.kbsec.com.vn"

SLOW_S = 30.0
"""Longer than any caller here waits; ends with the proxy."""

Answer = tuple[int, bytes]


class MarketProxy:
    """A CONNECT proxy. ``faults`` maps a host to what is wrong with its answers; ``requests`` counts them."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.faults: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.hosts: set[str] = set()
        self.bodies: list[Any] = []
        self._closing = threading.Event()
        self._contexts: dict[str, ssl.SSLContext] = {}
        for host in (VCI, VCI_NEWS, KBS):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """Return what makes a child use this proxy and trust its authority."""
        return {"HTTPS_PROXY": self.url, "NO_PROXY": "127.0.0.1", "REQUESTS_CA_BUNDLE": str(self.ca_file)}

    def close(self) -> None:
        self._closing.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = _read_head(connection)
            host = head.split(b" ")[1].decode().rpartition(":")[0]
            self.hosts.add(host)
            if host not in self._contexts:
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self._contexts[host].wrap_socket(connection, server_side=True) as secure:
                self._answer(host, secure)

    def _answer(self, host: str, connection: ssl.SSLSocket) -> None:
        head = _read_head(connection)
        _method, target, _version = head.split(b"\r\n", 1)[0].decode().split(" ")
        length = next(
            (int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0
        )
        body = b""
        while len(body) < length:
            body += connection.recv(65_536)
        self.requests[host] += 1
        given = json.loads(body) if body else {}
        self.bodies.append(given)
        fault = self.faults.get(host)
        if fault == "slow":
            self._closing.wait(SLOW_S)
            return
        status, content = _FAULTS[fault](host) if fault in _FAULTS else _respond(host, target, given)
        header = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
        connection.sendall(f"{header}Content-Length: {len(content)}\r\n\r\n".encode())
        connection.sendall(content[: len(content) // 2] if fault == "cut" else content)


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(1)
        if not part:
            raise OSError("closed")
        head += part
    return head


_FAULTS: dict[str | None, Callable[[str], Answer]] = {
    "500": lambda _: (500, b"{}"),
    "403": lambda _: (403, b"Access denied"),
    "429": lambda _: (429, b"Too many requests"),
    "garbage": lambda _: (200, b"<html>maintenance</html>"),
    "empty": lambda _: (200, b"[]"),
}


def _respond(host: str, target: str, given: dict[str, Any]) -> Answer:
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    if host == VCI_NEWS:
        return 200, json.dumps({"data": {"content": news(query["ticker"])}}).encode()
    if host == VCI and url.path.endswith("/getList"):
        return 200, json.dumps([vci_row(symbol) for symbol in given["symbols"]]).encode()
    if host == VCI:
        return 200, json.dumps([vci_history(given)]).encode()
    if url.path.endswith("/stock/iss"):
        return 200, json.dumps([kbs_row(symbol) for symbol in given["code"].split(",")]).encode()
    return 200, json.dumps(kbs_history(url.path, query)).encode()


VOLUMES = {"VCB": 1_234_500, "SHS": 9_100}


def vci_row(symbol: str) -> dict[str, Any]:
    """One symbol of the VCI board: VND, cumulative volume, the exchange by its old name."""
    return {
        "listingInfo": {
            "symbol": symbol,
            "code": symbol,
            "board": "HSX",
            "ceiling": 91_400,
            "floor": 79_600,
            "refPrice": 85_500,
            "organName": "X",
        },
        "bidAsk": {
            "code": symbol,
            "symbol": symbol,
            "session": "LO",
            "bidPrices": [{"price": 86_000, "volume": 100}],
            "askPrices": [{"price": 86_100, "volume": 200}],
        },
        "matchPrice": {
            "code": symbol,
            "symbol": symbol,
            "matchPrice": 86_000,
            "matchVol": 100,
            "openPrice": 85_600,
            "highest": 86_200,
            "lowest": 85_400,
            "accumulatedVolume": VOLUMES.get(symbol, 0),
            "accumulatedValue": 105_000,
            "session": "LO",
        },
    }


def kbs_row(symbol: str) -> dict[str, Any]:
    """One symbol of the KBS board: VND, and when the row changed."""
    return {
        "SB": symbol,
        "t": 1_753_668_900_000,
        "EX": "HOSE",
        "CL": 91_400,
        "FL": 79_600,
        "RE": 85_500,
        "OP": 85_600,
        "HI": 86_200,
        "LO": 85_400,
        "CP": 86_000,
        "CV": 100,
        "TT": VOLUMES.get(symbol, 0),
        "TV": 1,
        "AP": 85_900,
        "CH": 500,
        "CHP": 0.58,
    }


HISTORY_DAY = dt.date(2025, 7, 28)


def vci_history(given: dict[str, Any]) -> dict[str, Any]:
    """Bars up to ``to``, ``countBack`` of them, whatever the start that was asked for; in VND."""
    step = 60 if given["timeFrame"] == "ONE_MINUTE" else 86_400
    vietnam = dt.timezone(dt.timedelta(hours=7))
    if step == 60:
        last = int(dt.datetime(2025, 7, 28, 9, 17, tzinfo=vietnam).timestamp())
        times = [last - step * n for n in range(5)][::-1]
    else:
        times = [int(dt.datetime(2025, 7, day, tzinfo=vietnam).timestamp()) for day in (23, 24, 25, 28, 29)]
    return {
        "symbol": given["symbols"][0],
        "o": [85_500 + 10 * i for i in range(5)],
        "h": [86_000 + 10 * i for i in range(5)],
        "l": [85_000 + 10 * i for i in range(5)],
        "c": [85_600 + 10 * i for i in range(5)],
        "v": [1_000 * (i + 1) for i in range(5)],
        "t": [str(time) for time in times],
    }


def kbs_history(path: str, query: dict[str, str]) -> dict[str, Any]:
    """Newest first; daily bars at 07:00."""
    key = path.rpartition("/")[2]
    clock = "07:00" if key == "data_day" else "09:16"
    days = ("2025-07-29", "2025-07-28", "2025-07-25")
    return {
        key: [
            {"t": f"{day} {clock}", "o": 85_500, "h": 86_000, "l": 85_000, "c": 85_600, "v": 100}
            for day in days
        ]
    }


def news(symbol: str) -> list[dict[str, Any]]:
    """Company news with HTML in it."""
    return [
        {
            "id": "8801",
            "organCode": symbol,
            "newsTitle": f"{symbol}: Nghị quyết HĐQT về trả cổ tức",
            "newsShortContent": "<p>Ngày đăng ký cuối cùng: 15/8</p>",
            "newsFullContent": "<p>Ngày đăng ký cuối cùng: <b>15/8</b></p><script>x()</script>",
            "newsSource": "HOSE",
            "newsSourceLink": "https://example.org/8801",
            "publicDate": "2025-07-28T08:15:00",
        }
    ]
