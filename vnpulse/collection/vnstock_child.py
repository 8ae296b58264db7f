"""What runs in vnstock's own environment: one request a line in, one answer a line out.

Started by path with an isolated Python that has vnstock and nothing of ours, so this file uses the
standard library only. Requests and answers are JSON on two file descriptors of their own; what vnstock
prints goes wherever standard output and error were sent, and is read by nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from typing import Any

MESSAGE_CHARACTERS = 160
"""Enough for what failed; urllib3 wraps a reason in a reason in a reason."""


def columns_of(frame: Any) -> dict[str, list[Any]]:
    """Return a DataFrame as lists by column; levels are joined by a dot, times are ISO, NaN is None."""
    columns: dict[str, list[Any]] = {}
    for i, label in enumerate(frame.columns):
        name = ".".join(map(str, label)) if isinstance(label, tuple) else str(label)
        columns[name] = [_plain(value) for value in frame.iloc[:, i].tolist()]
    return columns


def _plain(value: Any) -> Any:
    if value is None or value != value:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) else str(value)


def answer(request: dict[str, Any]) -> Any:
    """Return the frame that ``request`` asks for."""
    import vnstock

    source, symbol = request["source"], request.get("symbol")
    if request["call"] == "board":
        trading = vnstock.Trading(source=source, show_log=False)
        return trading.price_board(symbols_list=request["symbols"])
    if request["call"] == "history":
        quote = vnstock.Quote(source=source, symbol=symbol, show_log=False)
        return quote.history(start=request["start"], end=request["end"], interval=request["interval"])
    if request["call"] == "news":
        return vnstock.Company(source=source, symbol=symbol, show_log=False).news()
    raise ValueError(f"unknown call {request['call']}")


def kind_of(error: BaseException) -> str:
    """Return what kind of failure this is, by the names of its classes: vnstock's own are not ours."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, SystemExit) or "RateLimitExceeded" in names:
        return "limit"
    if names & {"DataSourceBlockedError", "CircuitOpenError"}:
        return "blocked"
    if isinstance(error, ValueError) and "JSONDecodeError" not in names:
        return "nothing"
    return "unavailable"


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one request. Nothing that vnstock raises gets out, SystemExit included."""
    try:
        frame = answer(request)
        rows = {} if frame is None else columns_of(frame)
        return {"id": request["id"], "ok": True, "columns": rows}
    except BaseException as error:
        wait = getattr(error, "remaining", None) or getattr(error, "retry_after", None)
        return {
            "id": request["id"],
            "ok": False,
            "kind": kind_of(error),
            "message": f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS],
            "retry_after_s": wait if isinstance(wait, int | float) else None,
        }


def main() -> None:
    """Answer requests until the other side closes: then this process has no reason to live."""
    requests, answers = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), "w")
    waiting: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in requests:
            waiting.put(line)
        os._exit(0)  # also out of a call that hangs

    threading.Thread(target=read, daemon=True).start()
    while True:
        line = json.dumps(reply(json.loads(waiting.get())))
        with contextlib.suppress(BrokenPipeError):
            print(line, file=answers, flush=True)


if __name__ == "__main__":
    main()
