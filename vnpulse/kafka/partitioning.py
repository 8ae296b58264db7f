"""Kafka's own partitioner, so that every client sends a symbol to the same partition.

Python's ``hash()`` is salted per process: the design document's ``hash(symbol) % n`` would send
one symbol to different partitions from different processes.
"""

from __future__ import annotations

from functools import lru_cache

from kafka.partitioner.default import murmur2


@lru_cache(maxsize=200_000)
def partition_of(key: str, partitions: int) -> int:
    """Return the partition (0 <= p < ``partitions``) that Kafka's default partitioner gives ``key``."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions
