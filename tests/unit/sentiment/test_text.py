from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.sentiment.text import article_text, clean, fold


def test_html_goes_and_numbers_and_tickers_stay() -> None:
    raw = "<p>HPG&nbsp;tăng <b>5,2%</b> lên 27.500&#273;</p><script>var x = 1;</script><br/>(HOSE:&#160;HPG)"
    assert clean(raw) == "HPG tăng 5,2% lên 27.500đ\n(HOSE: HPG)"


def test_tags_that_were_escaped_go_too() -> None:
    assert clean("&lt;p&gt;Lãi &amp;lt;b&amp;gt;gấp đôi&lt;/p&gt;") == "Lãi gấp đôi"


def test_less_than_is_not_a_tag() -> None:
    assert clean("P/E < 10 và P/B > 1") == "P/E < 10 và P/B > 1"


def test_decomposed_accents_and_both_tone_placements_are_one_spelling() -> None:
    assert fold(unicodedata.normalize("NFD", "Hoà Phát xoá luỹ kế")) == "hòa phát xóa lũy kế"
    assert clean("HOÁ Thuỷ") == "HÓA Thủy"


def test_tone_marks_stay_where_only_one_place_is_right() -> None:
    assert clean("quý hoán toàn khoản quỹ") == "quý hoán toàn khoản quỹ"


def test_invisible_characters_do_not_split_words() -> None:
    assert fold("l\u200bỗ \ufeffgiảm") == "lỗ giảm"


def test_the_headline_is_the_first_line() -> None:
    assert article_text("Một\ntít", "<p>Hai</p>") == "Một tít\nHai"
    assert article_text("Một tít", " ") == "Một tít"


@given(st.text(max_size=200))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(alphabet="<>&;/pbr amplt#0 \n", max_size=60))
def test_cleaning_twice_changes_nothing_in_markup(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize("opening", ["<script>", "<style>", "<!-- "])
def test_what_is_opened_and_never_closed_goes_on_to_the_end(opening: str) -> None:
    assert clean(f"HPG tăng {opening}var x = 1") == "HPG tăng"
