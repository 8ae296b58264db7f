from __future__ import annotations

import json
from pathlib import Path

import pytest

import vnpulse
from vnpulse.sentiment.classification import LABELS, SentimentModel
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.settings import SentimentSettings

FOLDER = Path(vnpulse.__file__).parent / "sentiment" / "shipped"

MOST_BYTES = 26_000_000
"""What a repository and a wheel can carry for one model."""


@pytest.fixture(scope="module")
def shipped() -> SentimentModel:
    return load_model(SentimentSettings(model=str(FOLDER), device="cpu"))


def test_the_folder_is_small_and_complete() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


def test_it_loads_as_any_checkpoint_in_single_precision() -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, report = AutoModelForSequenceClassification.from_pretrained(
        FOLDER, local_files_only=True, output_loading_info=True
    )
    assert model.dtype == torch.float32
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.config.id2label == dict(enumerate(LABELS))
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    assert tokenizer.model_max_length <= model.config.max_position_embeddings
    ids = tokenizer("Lãi tăng")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


def test_every_vietnamese_syllable_letter_and_digit_can_be_written() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    text = "Quỹ ngoại gom 1.234.567,89 cổ phiếu (ABC, XYZ) “kịch trần” – nghoèo khuỷu thuở; 50%/năm?"
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


GOLDEN = {
    "positive": [
        "Công ty cảng báo lãi quý cao nhất từ khi niêm yết",
        "Có lãi trở lại sau ba quý thua lỗ",
        "Cổ phiếu thoát diện cảnh báo từ ngày mai",
        "Khối ngoại mua ròng phiên thứ năm liên tiếp",
        "Doanh nghiệp hoàn thành kế hoạch lợi nhuận năm sớm ba tháng",
        "Ngân hàng trả cổ tức tiền mặt 20%",
        "VN-Index bật tăng 15 điểm, thanh khoản cải thiện",
    ],
    "negative": [
        "Công ty thép lỗ nặng, cổ phiếu giảm sàn",
        "Không còn lãi đột biến, lợi nhuận rơi 80%",
        "Hoãn trả cổ tức vì thiếu tiền",
        "Cổ phiếu bị cắt margin do lỗ bán niên",
        "Khối ngoại bán ròng hơn nghìn tỷ đồng",
        "Chủ tịch đăng ký bán toàn bộ cổ phiếu",
        "VN-Index lao dốc cuối phiên, mất mốc hỗ trợ",
        "Kế hoạch bán vốn đổ bể vì đối tác rút lui",
    ],
    "neutral": [
        "Thông báo ngày đăng ký cuối cùng dự đại hội cổ đông",
        "Công ty bổ nhiệm kế toán trưởng",
        "Cách đọc báo cáo lưu chuyển tiền tệ",
        "VN-Index giằng co quanh tham chiếu",
        "Lịch sự kiện chứng khoán trong tuần",
    ],
}


def test_it_reads_plain_headlines(shipped: SentimentModel) -> None:
    cases = [(text, label) for label, texts in GOLDEN.items() for text in texts]
    answers = shipped.classify([text for text, _ in cases])
    wrong = [
        (text, answer.label)
        for (text, label), answer in zip(cases, answers, strict=True)
        if answer.label != label
    ]
    assert not wrong


def test_a_loss_that_shrinks_is_good(shipped: SentimentModel) -> None:
    (answer,) = shipped.classify(["Lỗ quý này thu hẹp còn một nửa so với năm trước"])
    assert answer.label == "positive"


def test_a_sale_that_is_called_off_is_good(shipped: SentimentModel) -> None:
    (answer,) = shipped.classify(["Chủ tịch rút đơn đăng ký bán cổ phiếu"])
    assert answer.label == "positive"


def test_capitals_and_other_forms_of_a_letter_change_nothing(shipped: SentimentModel) -> None:
    import unicodedata

    text = "Ngân hàng báo lãi gấp đôi"
    plain, capitals, decomposed = shipped.classify([text, text.upper(), unicodedata.normalize("NFD", text)])
    assert capitals.probabilities == pytest.approx(plain.probabilities, abs=1e-4)
    assert decomposed.probabilities == pytest.approx(plain.probabilities, abs=1e-4)


def test_a_very_long_text_is_read(shipped: SentimentModel) -> None:
    (answer,) = shipped.classify(["Lợi nhuận tăng mạnh. " * 500])
    assert sum(answer.probabilities) == pytest.approx(1)


def test_the_card_has_its_figures() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "macro-F1" in card
    assert "<!-- figures -->" not in card
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "float32"
