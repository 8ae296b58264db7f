from __future__ import annotations

from pathlib import Path

from tests.unit.training.tiny_weights import PIECES, write_weights
from training.e5 import read_encoder
from training.vocabulary import build_tokenizer, kept_pieces


def test_it_keeps_what_occurs_syllables_and_single_characters(tmp_path: Path) -> None:
    encoder = read_encoder(write_weights(tmp_path / "weights.bin"))
    bare = {PIECES[i] for i in kept_pieces(encoder, [])}
    assert bare == set(PIECES) - {"▁der"}
    assert len(kept_pieces(encoder, ["der Markt"])) == len(PIECES)


def test_its_tokenizer_folds_case_and_frames(tmp_path: Path) -> None:
    encoder = read_encoder(write_weights(tmp_path / "weights.bin"))
    tokenizer = build_tokenizer(encoder, kept_pieces(encoder, []))
    assert tokenizer("LÃI")["input_ids"] == tokenizer("lãi")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("lãi")["input_ids"]) == ["<s>", "▁lãi", "</s>"]
