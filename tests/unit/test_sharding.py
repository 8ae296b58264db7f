"""Partitions stay where they are when the number of shards changes, as far as they can."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vnpulse.sharding import owned, owners


@given(st.integers(1, 200), st.integers(1, 60))
def test_shards_have_equally_many_and_one_more_takes_only_what_it_needs(partitions: int, shards: int) -> None:
    before, after = owners(partitions, shards), owners(partitions, shards + 1)
    for owner, of in ((before, shards), (after, shards + 1)):
        sizes = [Counter(owner)[shard] for shard in range(min(of, partitions))]
        assert sum(sizes) == partitions
        assert max(sizes) - min(sizes) <= 1
    moved = [p for p in range(partitions) if before[p] != after[p]]
    assert {after[p] for p in moved} <= {shards}
    assert len(moved) <= partitions // (shards + 1)


def test_each_shard_knows_its_own() -> None:
    assert owners(10, 1) == (0,) * 10
    assert sorted(p for shard in range(4) for p in owned(shard, 10, 4)) == list(range(10))
    assert owned(7, 3, 8) == frozenset()
