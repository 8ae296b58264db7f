"""Dates as the feeds write them."""

from __future__ import annotations

import pytest

from vnpulse.collection.feed_dates import parse_date


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Wed, 25 Nov 2026 09:05:00 +0700", "2026-11-25T09:05:00+07:00"),
        pytest.param("Wed, 25 Nov 26 09:05:00 +0700", "2026-11-25T09:05:00+07:00", id="a two-digit year"),
        pytest.param("Wed, 25 Nov 2026 02:05:00 GMT", "2026-11-25T02:05:00+00:00", id="GMT"),
        pytest.param("Wed, 25 Nov 2026 09:05:00 GMT+7", "2026-11-25T09:05:00+07:00", id="GMT+7"),
        pytest.param("Wed, 25 Nov 2026 09:05:00", "2026-11-25T09:05:00+07:00", id="no zone: Vietnamese"),
        pytest.param("11/20/2026 3:37:00 PM", "2026-11-20T15:37:00+07:00", id="American, AM and PM"),
        pytest.param("20/11/2026 15:37:00", "2026-11-20T15:37:00+07:00", id="the day first"),
        pytest.param("20/11/26 15:37", "2026-11-20T15:37:00+07:00", id="short"),
        pytest.param("Thứ tư, 25/11/2026, 09:05 (GMT+7)", None, id="more than a date"),
        pytest.param("Thứ tư, 25/11/2026, 09:05", "2026-11-25T09:05:00+07:00", id="a Vietnamese weekday"),
        ("2026-11-25T02:05:00Z", "2026-11-25T02:05:00+00:00"),
        ("2026-11-25 09:05:00", "2026-11-25T09:05:00+07:00"),
        pytest.param("yesterday", None, id="words"),
        pytest.param("32/13/2026 25:61", None, id="no date at all"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_dates(text: str, moment: str | None) -> None:
    parsed = parse_date(text)
    assert (parsed and parsed.isoformat()) == moment
