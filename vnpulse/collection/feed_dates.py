"""The dates that feeds write, in all their forms. A time without a zone is Vietnamese."""

from __future__ import annotations

import datetime as dt
import re
from email.utils import parsedate_to_datetime

from vnpulse.messages import VIETNAM

_GMT_OFFSET = re.compile(r"\b(?:GMT|UTC)\s*([+-])(\d{1,2}):?(\d{2})?$", re.IGNORECASE)
_WEEKDAY = re.compile(r"^(?:thứ\s+\S+|chủ\s+nhật)\s*,\s*", re.IGNORECASE)

FORMATS = (
    "%m/%d/%Y %I:%M:%S %p",  # with AM and PM the month comes first
    "%m/%d/%Y %I:%M %p",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y, %H:%M",
    "%d/%m/%y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d/%m/%Y",
)


def parse_date(text: str) -> dt.datetime | None:
    """Return the moment that ``text`` names, with a zone; None if it names none."""
    text = _WEEKDAY.sub("", " ".join(text.split()))
    offset = _GMT_OFFSET.search(text)
    if offset:
        sign, hours, minutes = offset.groups()
        text = f"{text[: offset.start()].rstrip()} {sign}{int(hours):02d}{minutes or '00'}"
    moment = _read(text)
    if moment is None:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=VIETNAM)


def _read(text: str) -> dt.datetime | None:
    for read in (dt.datetime.fromisoformat, parsedate_to_datetime):
        try:
            return read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    zone = re.search(r" ([+-]\d{4})$", text)
    for form in FORMATS:
        try:
            return dt.datetime.strptime(text, form + (" %z" if zone else ""))
        except ValueError:
            continue
    return None
