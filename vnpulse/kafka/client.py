"""The network client that our producers, consumers and admin clients are made with.

kafka-python 3.0 tries again until its deadline, and then says only that it could not bootstrap, when a
listener refuses a certificate or a password. A broker's answer to a wrong password it even loses: the
answer and the end of the connection arrive together. Here such a refusal is kept and raised at once; a
refusal by one broker is not a reason to ask it again with the same credentials.
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

from kafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket, create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

TLS_RECORD_TYPES = (0x15, 0x16)
"""Alert and handshake: how an answer begins that speaks TLS. Kafka's own begin with a length's zero byte."""

REFUSING_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "BAD_CERTIFICATE")

for _name in ("kafka.net.connection", "kafka.protocol.parser"):
    # At DEBUG they write every request out, and one of them is the password of PLAIN. A filter, not a
    # level: whoever quietens all of kafka quietens these too.
    logging.getLogger(_name).addFilter(lambda record: record.levelno > logging.DEBUG)


class ListenerRefused(SaslAuthenticationFailedError):
    """This listener and these settings cannot come together: another try would end the same way."""

    def __str__(self) -> str:
        return str(self.args[0])


class _LastWords:
    """A transport that hands over what came before the end of the connection."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        data, error = super()._sock_recv()  # type: ignore[misc]
        if data:
            # The end, or the error, shows again at the next read.
            return data, None
        refusal = _refusal_in(getattr(error, "args", ()))
        return data, refusal or error


class _Tls(_LastWords, KafkaSSLTransport):
    async def handshake(self, timeout_at: float | None = None) -> None:
        """kafka-python's own waits for ever where the network fails between two of its messages."""
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._net.wait_read(self._sock, timeout_at)
            except ssl.SSLWantWriteError:
                await self._net.wait_write(self._sock, timeout_at)
            else:
                return


class _Plain(_LastWords, KafkaTCPTransport):
    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        data, error = super()._sock_recv()
        if data and data[0] in TLS_RECORD_TYPES:
            return b"", ListenerRefused(
                "this listener speaks TLS: set kafka.security.protocol to SSL or SASL_SSL"
            )
        return data, error


class _Sockets(KafkaNetSocket):
    """Closes what cannot be connected: kafka-python leaves one open socket a try to the garbage collector."""

    SCHEMES = ("direct",)

    async def sock_connect(
        self, net: Any, sock: socket.socket, *arguments: Any, **named: Any
    ) -> socket.socket:
        try:
            connected: socket.socket = await super().sock_connect(net, sock, *arguments, **named)
        except BaseException:
            sock.close()
            raise
        return connected


class _Connections(KafkaConnectionManager):
    def bootstrap(self, timeout_ms: float | None = None, refresh: bool = True) -> None:
        try:
            super().bootstrap(timeout_ms, refresh)
        except BaseException:
            # Called by the constructor of a client that now nobody gets, and so nobody can close: its
            # thread and sockets would stay, one more for every try of a pipeline that waits.
            self.close()
            self._net.close()
            raise

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> KafkaTCPTransport:
        sock = await create_connection(
            self._net,
            node.host,
            node.port,
            self.config["socket_options"],
            # Chosen among kafka-python's kinds of socket by its scheme, as its proxies are.
            proxy_url=f"{_Sockets.SCHEMES[0]}:",
            timeout_at=timeout_at,
        )
        try:
            if not self.ssl_enabled:
                return _Plain(self._net, sock, host=node.host)
            transport = _Tls(self._net, sock, host=node.host, ssl_context=self.config["ssl_context"])
        except BaseException:
            sock.close()
            raise
        try:
            await transport.handshake(timeout_at)
        except BaseException as error:
            transport.close()
            if isinstance(error, OSError | KafkaTimeoutError):
                raise _refusal_in((error,)) or KafkaConnectionError(
                    f"TLS handshake failed: {error}"
                ) from error
            raise
        return transport

    async def _connect(self, node: Any, conn: Any, *arguments: Any, **named: Any) -> None:
        await super()._connect(node, conn, *arguments, **named)
        failure = conn.init_future.exception if conn.init_future.is_done else None
        if isinstance(failure, SaslAuthenticationFailedError | UnsupportedSaslMechanismError):
            self._auth_failures[node.node_id] = failure


class Client(KafkaNetClient):
    """What ``kafka_client`` of a KafkaProducer, KafkaConsumer or KafkaAdminClient is set to."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs)
        super().__init__(net=net, manager=_Connections(net, **configs), **configs)

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """Return whether the node can be sent to, once that is known.

        kafka-python's own raises where its caller, the producer's sender, expects False. The request
        that was to go to a dead coordinator is then neither sent nor kept, and its transaction waits
        for ever.
        """
        try:
            return bool(super().await_ready(node_id, timeout_ms))
        except KafkaConnectionError:
            return False


def _refusal_in(causes: tuple[Any, ...]) -> ListenerRefused | None:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ListenerRefused(f"the broker's certificate is not accepted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or ""
            if reason == "WRONG_VERSION_NUMBER":
                return ListenerRefused("this listener does not speak TLS: see kafka.security.protocol")
            if any(alert in reason for alert in REFUSING_ALERTS):
                return ListenerRefused(f"the broker does not accept our certificate: {_words(reason)}")
    return None


def _words(reason: str) -> str:
    return reason.removeprefix("TLSV13_").removeprefix("TLSV1_").replace("_", " ").lower()
