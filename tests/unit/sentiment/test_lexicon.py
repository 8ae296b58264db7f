from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.errors import SettingsError
from vnpulse.sentiment.lexicon import Lexicon
from vnpulse.sentiment.settings import SentimentSettings

LEXICON = Lexicon.load(SentimentSettings().lexicon)

GOOD = [
    # A bad thing that shrinks, ends or is left behind.
    "Lỗ thu hẹp đáng kể trong quý vừa qua",
    "Mức lỗ giảm quý thứ hai liên tiếp",
    "Công ty thoát diện cảnh báo sau soát xét",
    "Sở đưa mã này ra khỏi diện bị kiểm soát",
    "Nợ xấu giảm xuống dưới 1%",
    "Doanh nghiệp nhựa hưởng lợi khi giá nguyên liệu giảm",
    "Chi phí lãi vay hạ nhiệt",
    "Không còn lỗ, công ty lên kế hoạch chia thưởng",
    # A good thing that grows, comes or turns.
    "Lợi nhuận quý 3 tăng 20%",
    "Lãi 50 tỷ đồng, gấp 3 lần cùng kỳ",
    "Trình cổ tức tiền mặt 15%",
    "Khối ngoại trở lại mua ròng",
    "Phó chủ tịch đăng ký mua vào nửa triệu cổ phiếu",
    "VN-Index lấy lại mốc 1.500 điểm",
    "Doanh thu giảm nhưng lợi nhuận tăng mạnh",
    "Dù thị trường giảm sâu, cổ phiếu vẫn tăng trần",
]

BAD = [
    # A good thing that shrinks, ends or fails to come.
    "Không còn lãi từ mảng chứng khoán",
    "Hoãn cổ tức thêm một năm",
    "Tạm hoãn chi trả cổ tức tiền mặt",
    "Lợi nhuận quý 3 giảm 20%",
    "Lãi 50 tỷ đồng, giảm 40% so với cùng kỳ",
    "Biên lợi nhuận thu hẹp vì cạnh tranh",
    "Ban điều hành hạ kế hoạch lợi nhuận",
    # A bad thing that grows or comes.
    "Lỗ lũy kế phình to",
    "Nợ xấu tăng mạnh",
    "Chi phí vận hành tăng cao",
    "Mã này vào diện cảnh báo từ thứ hai",
    "Khối ngoại bán ròng phiên thứ năm",
    "VN-Index mất 40 điểm",
    "Nhà máy dừng sản xuất vì sự cố",
    "Doanh thu tăng nhưng lợi nhuận giảm mạnh",
    "Đà tăng hụt hơi về cuối ngày",
]

NEUTRAL = [
    "Thông báo thay đổi người phụ trách công bố thông tin",
    "Lịch sự kiện chứng khoán ngày 3/9",
    "Bổ nhiệm phó tổng giám đốc",
    "Kế hoạch kinh doanh giữ nguyên",
    "Chỉ số đi ngang trong phiên sáng",
    "Hướng dẫn tra cứu lịch sử lãi lỗ của tài khoản",
    "Người có liên quan của kế toán trưởng báo cáo giao dịch",
    "Vì sao giá thép tăng?",
    "",
    "   ",
    "HPG",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_news_for_a_holder(text: str) -> None:
    (answer,) = LEXICON.classify([text])
    assert (answer.label, answer.score > 0) == ("positive", True), answer


@pytest.mark.parametrize("text", BAD)
def test_bad_news_for_a_holder(text: str) -> None:
    (answer,) = LEXICON.classify([text])
    assert (answer.label, answer.score < 0) == ("negative", True), answer


@pytest.mark.parametrize("text", NEUTRAL)
def test_no_news_for_a_holder(text: str) -> None:
    (answer,) = LEXICON.classify([text])
    assert answer.label == "neutral", answer


def test_the_explanation_says_what_counted() -> None:
    (answer,) = LEXICON.classify(["Quý 2: Lợi nhuận sau thuế tăng mạnh, hoãn trả cổ tức"])
    assert [(p.text, p.value > 0) for p in answer.phrases] == [
        ("lợi nhuận sau thuế tăng mạnh", True),
        ("hoãn trả cổ tức", False),
    ]


def test_the_longest_phrase_wins() -> None:
    (answer,) = LEXICON.classify(["Hãng hàng không mở thêm đường bay"])
    assert [p.text for p in answer.phrases] == ["mở thêm"], "'không' inside 'hàng không' negates nothing"


def test_the_body_counts_less_than_the_headline() -> None:
    headline, body = LEXICON.classify(["Nợ xấu tăng mạnh", "Bản tin\nNợ xấu tăng mạnh"])
    assert headline.score < body.score < 0


def test_spelling_case_and_markup_do_not_matter() -> None:
    first, second = LEXICON.classify(["Xóa lỗ lũy kế", "<b>XOÁ  LỖ&nbsp;LUỸ KẾ</b>"])
    assert first == second


def test_the_version_names_the_content(tmp_path: Path) -> None:
    source = SentimentSettings().lexicon.read_text(encoding="utf-8")
    copy = tmp_path / "lexicon.yaml"
    copy.write_text(source, encoding="utf-8")
    assert Lexicon.load(copy).version == LEXICON.version
    assert LEXICON.version.startswith("lexicon/")
    copy.write_text(source + "\n# edited\n", encoding="utf-8")
    assert Lexicon.load(copy).version != LEXICON.version


def test_a_phrase_in_two_groups_is_one_clear_line(tmp_path: Path) -> None:
    source = SentimentSettings().lexicon.read_text(encoding="utf-8")
    copy = tmp_path / "lexicon.yaml"
    copy.write_text(source.replace("words: [lãi,", "words: [lỗ, lãi,", 1), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"'lỗ' is also in nouns\.earnings") as caught:
        Lexicon.load(copy)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        Lexicon.load(tmp_path / "none.yaml")


_VOCABULARY = "lỗ lãi giảm tăng không thoát hoãn cổ tức nhưng dù , . ? 12% vẫn nợ xấu mạnh VN-Index"
_words = st.lists(st.sampled_from(_VOCABULARY.split()), max_size=14).map(" ".join)


@given(st.one_of(_words, st.text(max_size=120)))
def test_probabilities_are_probabilities(text: str) -> None:
    (answer,) = LEXICON.classify([text])
    assert math.isclose(sum(answer.probabilities), 1.0)
    assert all(0 <= p <= 1 for p in answer.probabilities)
    assert -1 <= answer.score <= 1
    assert answer.score == pytest.approx(answer.probabilities[2] - answer.probabilities[0])


@given(st.lists(_words, max_size=5))
def test_a_text_is_read_alike_in_any_company(texts: list[str]) -> None:
    assert LEXICON.classify(texts) == [LEXICON.classify([text])[0] for text in texts]
