"""What operations put before a registry: TLS, a user and a password. Passes on what gets through."""

from __future__ import annotations

import base64
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from vnpulse.embedded.ports import LOOPBACK
from vnpulse.security.certificates import CertificateAuthority


@contextmanager
def guarded(
    url: str, authority: CertificateAuthority, folder: Path, username: str, password: str
) -> Iterator[str]:
    """Serve ``url`` over TLS to who knows the password; yield the address. Certificates go to ``folder``."""
    certificate, key = folder / "server.pem", folder / "server.key"
    for path, content in zip((certificate, key), authority.issue("registry", [LOOPBACK]), strict=True):
        path.write_bytes(content)
    target = urlsplit(url)
    token = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    class Guard(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != token:
                self._answer(401, b'{"error_code": 40101, "message": "Unauthorized"}')
                return
            request = urllib.request.Request(
                f"{target.scheme}://{target.netloc}{self.path}", body or None, method=self.command
            )
            request.add_header("Content-Type", self.headers.get("Content-Type", "application/json"))
            try:
                with urllib.request.urlopen(request) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _pass_on

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Guard)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://{LOOPBACK}:{server.server_port}{target.path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
