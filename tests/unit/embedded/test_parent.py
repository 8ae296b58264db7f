"""A process that ends with its parent, whatever killed that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

CHILD = """
import signal
from vnpulse.embedded.parent import end_with_parent
end_with_parent()
print("up", flush=True)
signal.pause()
"""

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_killed_parent_takes_the_process_with_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as output:
        assert output.readline() == "up\n"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        # The pipe closes when its last holder, the child, is gone.
        assert output.read() == ""
