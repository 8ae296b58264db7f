"""The ``vnpulse`` command. Exit codes: 0 done, 1 failed, 2 the command or its input is wrong."""

from __future__ import annotations

import sys

from vnpulse.cli.app import app
from vnpulse.errors import UserError, VnpulseError

EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line; an error is one line on standard error, never a traceback."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except VnpulseError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # `vnpulse alerts tail | head`: the reader has what it wanted.
        sys.stderr.close()
        sys.exit(EXIT_FAILURE)
