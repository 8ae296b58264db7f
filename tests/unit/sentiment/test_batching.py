from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vnpulse.sentiment.batching import LENGTH_STEP, padded_length, plan


def test_lengths_are_padded_in_steps() -> None:
    assert [padded_length(n, 256) for n in (1, 8, 9, 63, 64, 65, 120, 129, 250, 999)] == [
        8, 8, 16, 64, 64, 80, 128, 160, 256, 256,
    ]  # fmt: skip


@given(
    st.lists(st.integers(min_value=0, max_value=300), max_size=80),
    st.integers(min_value=8, max_value=4_096),
)
def test_every_text_is_in_one_batch_that_fits_it_and_the_budget(lengths: list[int], budget: int) -> None:
    limit = 256
    batches = plan([min(n, limit) for n in lengths], limit, budget)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(lengths)))
    for rows, length in batches:
        assert length % LENGTH_STEP == 0
        assert all(min(lengths[row], limit) <= length for row in rows)
        assert len(rows) == 1 or len(rows) * length <= budget


def test_the_padded_length_does_not_depend_on_the_others() -> None:
    alone = plan([20], 64, 1_000)[0].length
    assert {b.length for b in plan([20, 3, 60, 20], 64, 1_000) if 0 in b.rows} == {alone}
