"""Which shard of an analyzer a partition belongs to; few move when the number of shards changes."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1_000)
def owners(partitions: int, shards: int) -> tuple[int, ...]:
    """Return the shard (0 <= s < ``shards``) of each partition.

    One shard more takes one partition after the other from whoever has most, and nothing else
    moves: state stays where it is. Shards differ by at most one partition. A function of the two
    numbers alone, so that everybody who knows them agrees.
    """
    held: list[list[int]] = [list(range(partitions))]
    for _ in range(1, min(shards, max(partitions, 1))):
        taken: list[int] = []
        fair = partitions // (len(held) + 1)
        while len(taken) < fair:
            taken.append(max(held, key=len).pop())
        held.append(taken)
    owner = {partition: shard for shard, some in enumerate(held) for partition in some}
    return tuple(owner[partition] for partition in range(partitions))


def owned(shard: int, partitions: int, shards: int) -> frozenset[int]:
    """Return the partitions of one shard."""
    return frozenset(p for p, owner in enumerate(owners(partitions, shards)) if owner == shard)
