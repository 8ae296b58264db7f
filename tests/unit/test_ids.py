from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from vnpulse.ids import NAMESPACE, derived_id


@given(st.lists(st.text() | st.integers(), min_size=1, max_size=5))
def test_an_id_is_the_version_5_uuid_of_its_causes(causes: list[str | int]) -> None:
    assert derived_id(*causes) == str(uuid.uuid5(NAMESPACE, "\x1f".join(map(str, causes))))


def test_ids_are_the_same_in_every_process_and_run() -> None:
    assert derived_id("bar", "VCB", 7) == "41f89bab-0f3f-5c53-baed-1da758fe9061"


def test_where_one_cause_ends_and_the_next_begins_matters() -> None:
    assert len({derived_id("ab", "c"), derived_id("a", "bc"), derived_id("abc")}) == 3
