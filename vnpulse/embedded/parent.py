"""Ending with the process that started this one, for commands that somebody watches."""

from __future__ import annotations

import os
import signal
import threading
import time

POLL_S = 0.5


def end_with_parent() -> None:
    """Send this process SIGTERM once its parent has died, however that happened.

    Polled on a daemon thread: the kernel's own parent-death signal goes by the thread that
    started us, and a starter may end that one and live on.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
