"""``vnpulse metrics``."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from prometheus_client import start_http_server

from vnpulse.cli.options import DEFAULT, ConfigOption, out, running_settings
from vnpulse.cli.stack import stop_on_signals
from vnpulse.errors import UserError
from vnpulse.exporter import Exporter
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore

DEFAULT_PORT = 9_309
DEFAULT_PERIOD_S = 5.0


def metrics(
    config: ConfigOption = DEFAULT,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    period: Annotated[
        float, typer.Option(min=1, max=300, help="Seconds between two readings of the broker.")
    ] = DEFAULT_PERIOD_S,
) -> None:
    """Serve lag, topics, dead letters and actors to Prometheus, until Ctrl-C."""
    settings = running_settings(config)
    exporter = Exporter(settings.kafka, StatusStore(connect(settings.store)))
    stopping = stop_on_signals()
    try:
        server, thread = start_http_server(port, host, exporter.registry())
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    out.print(f"http://{host}:{server.server_port}/metrics")
    reading = threading.Thread(target=exporter.run, args=(period, stopping), daemon=True)
    reading.start()
    stopping.wait()
    server.shutdown()
    server.server_close()
    thread.join()
    reading.join(period)
