from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.kafka.partitioning import partition_of


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        # Kafka's own test vectors, UtilsTest.testMurmur2.
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
@pytest.mark.parametrize("partitions", [1, 3, 10, 2_147_483_647])
def test_a_key_goes_where_the_java_client_sends_it(key: str, murmur2: int, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


@given(st.text(max_size=20), st.integers(1, 100))
def test_a_partition_is_one_of_those_there_are(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
