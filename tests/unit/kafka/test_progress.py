from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.kafka.progress import Committed, Lanes, SoleProgress, lane_offset

NAMES = ("technical", "sentiment")


def test_the_only_loop_commits_its_offset_as_it_is() -> None:
    with SoleProgress().moving(0, 7) as committed:
        assert committed == Committed(7)
    assert SoleProgress().resumed(0, Committed(7, "whatever")) == 7


def test_a_loop_that_holds_something_back_commits_no_further_and_finds_its_note_again() -> None:
    progress = SoleProgress()
    progress.hold(0, 5, "read to 9")
    with progress.moving(0, 9) as committed, progress.moving(1, 9) as other:
        assert (committed, other) == (Committed(5, "read to 9"), Committed(9))
    assert not progress.moves(0, 12)
    progress.hold(0, None, "read to 12")
    assert progress.moves(0, 12)
    with progress.moving(0, 12) as committed:
        assert committed == Committed(12, "read to 12")
    successor = SoleProgress()
    assert successor.resumed(0, committed) == 12
    assert successor.found(0) == committed


def test_only_a_loop_that_is_alone_on_a_partition_may_hold_something_back() -> None:
    assert SoleProgress().holding is not None
    assert Lanes(NAMES).lane("technical").holding is None


@pytest.mark.parametrize(
    ("note", "offset"),
    [('{"technical":3,"sentiment":9}', 9), ("", 3), ("by hand", 3), ('{"technical":3}', 3)],
)
def test_how_far_a_lane_is_can_be_told_from_outside(note: str, offset: int) -> None:
    assert lane_offset(Committed(3, note), "sentiment") == offset


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.booleans()), max_size=30))
def test_after_any_moves_each_lane_resumes_where_it_was_and_the_slowest_is_committed(
    moves: list[tuple[str, int, bool]],
) -> None:
    lanes = Lanes(NAMES)
    kafka = Committed(100)
    reached = dict.fromkeys(NAMES, 100)
    for name in NAMES:
        assert lanes.lane(name).resumed(3, kafka) == 100
    for name, step, fails in moves:
        with contextlib.suppress(OSError), lanes.lane(name).moving(3, reached[name] + step) as committed:
            if fails:
                raise OSError
            kafka = committed
            reached[name] += step
        assert kafka.offset == min(reached.values())
    successor = Lanes(NAMES)
    assert {name: successor.lane(name).resumed(3, kafka) for name in NAMES} == reached


def test_an_offset_that_was_set_by_hand_counts_for_all() -> None:
    for metadata in ("", "by hand", '{"technical": 9}', '{"technical": 9, "sentiment": 8}', "[1]"):
        lanes = Lanes(NAMES)
        assert [lanes.lane(name).resumed(0, Committed(5, metadata)) for name in NAMES] == [5, 5]


def test_a_lane_that_reopens_takes_up_what_is_committed_and_leaves_the_other_alone() -> None:
    lanes = Lanes(NAMES)
    technical, sentiment = (lanes.lane(name) for name in NAMES)
    for lane in (technical, sentiment):
        lane.resumed(0, Committed(0))
    with technical.moving(0, 8):
        pass
    with sentiment.moving(0, 5) as committed:
        pass
    assert technical.resumed(0, committed) == 8
    with technical.moving(0, 9) as committed:
        assert committed.offset == 5
    # The answer to this one got lost, but it was committed.
    assert sentiment.resumed(0, Committed(7, '{"technical": 9, "sentiment": 7}')) == 7
    with technical.moving(0, 10) as committed:
        assert committed == Committed(7, '{"technical":10,"sentiment":7}')
