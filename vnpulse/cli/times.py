"""Times as people type them."""

from __future__ import annotations

import datetime as dt

from vnpulse.errors import UserError
from vnpulse.messages import VIETNAM


def epoch_ms(option: str, text: str) -> int:
    """Return epoch milliseconds of a date or time, which is market time without a zone. Raises UserError."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} was {text}, must be like 2025-07-28 or 2025-07-28T09:30") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM)).timestamp() * 1000)
