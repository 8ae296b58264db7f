"""The isolated process that vnstock runs in: HOME, working directory, environment and output of its own."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vnpulse.clock import Clock
from vnpulse.collection import vnstock_child
from vnpulse.collection.pace import TokenBucket
from vnpulse.collection.settings import VnstockSettings
from vnpulse.collection.sources import NothingThere, SourceBlocked, SourceUnavailable
from vnpulse.collection.vnstock_environment import VnstockUnavailable, vnstock_python

log = logging.getLogger(__name__)

INHERITED = ("PATH", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""All that the process gets of our environment."""

RETRIES_OF_ITS_OWN = 2
"""vnstock asks up to three times before it reports a failure, and each try counts against its limit."""

LIMIT_WAIT_S = 60.0
"""At its limit vnstock counts over the last minute."""

OUTPUT_BYTES = 1_000_000
ANSWER_BYTES = 64_000_000


class _ChildDied(SourceUnavailable):
    """The child is gone."""


class VnstockProcess:
    """One child, started when it is first needed and again after it died or was too slow.

    The child can write to the scratch folder only in so far as vnstock keeps to HOME and its working
    directory; its standard output and error go to ``output.log`` there, which nobody parses. It ends when
    this process does, however that happens: its requests end. Calls take turns and are paced together,
    because vnstock's limit is one for all its sources.
    """

    def __init__(
        self,
        settings: VnstockSettings,
        bucket: TokenBucket,
        clock: Clock,
        say: Callable[[str], None] = log.warning,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``say`` gets one line when an environment for vnstock has to be made."""
        self._settings = settings
        self._bucket = bucket
        self._clock = clock
        self._say = say
        self.asked_ms = 0
        """When the last request went out, after the wait for its turn."""
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None
        self._requests: IO[bytes] | None = None
        self._answers = -1
        self._received = b""
        self._last_id = 0
        self._turn = threading.Lock()

    def call(self, call: str, source: str, **arguments: Any) -> dict[str, list[Any]]:
        """Return the columns of the frame that vnstock answers with, as it has them.

        Raises SourceUnavailable, also while its environment cannot be made, SourceBlocked or NothingThere.
        """
        with self._turn:
            self._bucket.take()
            self._last_id += 1
            self.asked_ms = self._clock.now_ms()
            request = {"id": self._last_id, "call": call, "source": source, **arguments}
            answer = self._ask(request)
        if answer["ok"]:
            columns: dict[str, list[Any]] = answer["columns"]
            return columns
        where = f"{source.lower()}: {call}"
        message = f"{where}: {answer['message']}"
        if answer["kind"] == "nothing":
            raise NothingThere(message)
        if answer["kind"] == "limit":
            raise SourceBlocked(f"{where}: vnstock's own limit was reached", LIMIT_WAIT_S)
        if answer["kind"] == "blocked":
            raise SourceBlocked(message, answer["retry_after_s"])
        self._bucket.charge(RETRIES_OF_ITS_OWN)
        raise SourceUnavailable(message)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; a child that died since the last call, unnoticed, costs no call."""
        was_there = self._child is not None
        try:
            return self._exchange(request)
        except _ChildDied:
            self._end()
            if not was_there:
                raise
        except SourceUnavailable:
            self._end()
            raise
        try:
            return self._exchange(request)
        except SourceUnavailable:
            self._end()
            raise

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._child is None or self._child.poll() is not None:
            self._end()
            self._start()
        assert self._requests is not None
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except OSError as error:
            raise _ChildDied(f"vnstock: its process does not take requests: {error}") from None
        give_up_at = time.monotonic() + self._settings.call_timeout_s
        while b"\n" not in self._received:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0 or not select.select([self._answers], [], [], left_s)[0]:
                raise SourceUnavailable(
                    f"{request['source'].lower()}: {request['call']}: no answer within"
                    f" {self._settings.call_timeout_s:g} s; vnstock's process was ended"
                )
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise _ChildDied("vnstock: its process died in the middle of a call")
            if len(self._received) > ANSWER_BYTES:
                raise SourceUnavailable(f"vnstock: an answer of more than {ANSWER_BYTES} bytes")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise SourceUnavailable("vnstock: its process answered something else than JSON") from None
        return answer

    def _start(self) -> None:
        try:
            python = vnstock_python(self._settings.python, self._say)
        except VnstockUnavailable as error:
            # A network that is away for now must not end a collector that has other sources.
            raise SourceUnavailable(str(error)) from None
        scratch = self._settings.scratch
        folder = scratch / "work"
        folder.mkdir(parents=True, exist_ok=True)
        output_path = scratch / "output.log"
        if output_path.exists() and output_path.stat().st_size > OUTPUT_BYTES:
            output_path.unlink()
        requests_read, requests_write = os.pipe()
        answers_read, answers_write = os.pipe()
        try:
            with output_path.open("ab") as output:
                self._child = subprocess.Popen(
                    # -I: neither our environment nor the working directory can lend it modules.
                    [python, "-I", "-B", vnstock_child.__file__, str(requests_read), str(answers_write)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                    env=child_environment(scratch, self._settings, self._environment),
                    pass_fds=(requests_read, answers_write),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(requests_write)
            os.close(answers_read)
            raise SourceUnavailable(f"vnstock: {python} cannot be started: {error.strerror}") from None
        finally:
            os.close(requests_read)
            os.close(answers_write)
        self._requests, self._answers, self._received = os.fdopen(requests_write, "wb"), answers_read, b""

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        if self._requests is not None:
            with suppress(OSError):  # what was not written has nobody to read it
                self._requests.close()
        os.close(self._answers)

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End the child. It is started again by the next call."""
        with self._turn:
            self._end()


def child_environment(
    scratch: Path, settings: VnstockSettings, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return all that the child gets to see: what it must not do is switched off before it is imported."""
    given = {name: environment[name] for name in INHERITED if name in environment}
    key = settings.api_key
    return given | {
        "HOME": str(scratch),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "MPLCONFIGDIR": str(scratch / "matplotlib"),
        "TMPDIR": str(scratch),
        "TZ": "Asia/Ho_Chi_Minh",
        "VNSTOCK_DISABLE_AGENT_SETUP": "1",
        "VNSTOCK_DISABLE_GLOBAL_AGENT": "1",
        "VNSTOCK_AGENT_TARGETS": "none",
        "VNSTOCK_TELEMETRY": "off",
        **({"VNSTOCK_API_KEY": key.get_secret_value()} if key is not None else {}),
    }
