from __future__ import annotations

from training.folds import seen, unseen
from training.headlines import Headline, Title
from training.recipe import Material

LABELLED = [
    Headline("a", "positive", "2021/a"),
    Headline("b", "neutral", "2025-11/VnExpress"),
    Headline("c", "negative", "2025-09/Tin Nhanh Chứng Khoán"),
    Headline("d", "negative", "2025-09/VnExpress"),
    Headline("e", "neutral", "2025-10/VnExpress"),
]


def test_a_run_sees_nothing_of_what_it_is_asked_about() -> None:
    titles = [Title("e", "2025-11/Vietstock"), Title("f", "2025-10/Vietstock")]
    left = seen(Material(own=[], labelled=LABELLED, titles=titles))
    assert [h.text for h in left.labelled] == ["d"]  # e was printed again in November
    assert [title.text for title in left.titles] == ["f"]


def test_what_is_unseen_has_a_name() -> None:
    parts = unseen(LABELLED)
    assert {name: [h.text for h in held] for name, held in parts.items()} == {
        "2021": ["a"],
        "November 2025": ["b"],
        "one newspaper of 2025": ["c"],
    }
    assert unseen(LABELLED[3:]) == {}
