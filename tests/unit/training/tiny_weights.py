"""A file of the format that ``training.e5`` reads, small enough for a test."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

HIDDEN, LAYERS, HEADS, INNER, POSITIONS, TYPES = 32, 1, 2, 64, 300, 2

PIECES = (
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    *"abcdefghijklmnopqrstuvwxyz0123456789",
    "▁lãi",
    "▁lỗ",
    "▁der",
)


def write_weights(path: Path) -> Path:
    """Write random weights over ``PIECES``; the word embeddings are i / 8 for piece i up to 15."""
    rng = np.random.default_rng(7)
    tensors: dict[str, bytes] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        tensors[name] = packed(rng.integers(0, 16, (rows * columns // 32, 32)), 0.02)

    def vector(name: str, size: int, value: float = 0.0) -> None:
        tensors[name] = np.full(size, value, "<f4").tobytes()

    tensors["emb.word"] = packed(np.arange(len(PIECES)).clip(0, 15)[:, None].repeat(32, axis=1), 0.125)
    vector("emb.pos", POSITIONS * HIDDEN)
    vector("emb.type", TYPES * HIDDEN)
    for norm in ("emb.ln", *(f"l{i}.{n}" for i in range(LAYERS) for n in ("aln", "oln"))):
        vector(f"{norm}.w", HIDDEN, 1.0)
        vector(f"{norm}.b", HIDDEN)
    for i in range(LAYERS):
        for part in ("q", "k", "v", "ao", "fi", "fo"):
            rows, columns = {"fi": (INNER, HIDDEN), "fo": (HIDDEN, INNER)}.get(part, (HIDDEN, HIDDEN))
            matrix(f"l{i}.{part}.w", rows, columns)
            vector(f"l{i}.{part}.b", rows)

    texts = [piece.encode() for piece in PIECES]
    bounds = np.cumsum([0, *(len(text) for text in texts)]).astype("<u4").tobytes()
    scores = np.linspace(-1, -10, len(PIECES)).astype("<f4").tobytes()
    head = struct.pack("<7i", HIDDEN, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, TYPES)
    head += struct.pack("<fi", 1e-12, 0) + struct.pack("<5i", len(PIECES), 0, 2, 1, 3)
    text = b"".join(texts)
    head += struct.pack("<Q", len(text))
    start = b"E5S1\x01\x00\x00\x00" + head + bounds + scores + text + struct.pack("<iI", 0, 0)
    index_bytes = sum(23 + len(name) for name in tensors)
    offset = len(start) + 4 + index_bytes
    index, blobs = b"", b""
    for name, blob in tensors.items():
        index += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 0, offset, len(blob))
        blobs += blob
        offset += len(blob)
    path.write_bytes(start + struct.pack("<i", len(tensors)) + index + blobs)
    return path


def packed(nibbles: np.ndarray, scale: float) -> bytes:
    """Return blocks [n, 32] of values 0 to 15 as the file has them; they mean (value - 8) * scale."""
    low, high = nibbles[:, :16], nibbles[:, 16:]
    scales = np.full((len(nibbles), 1), scale, "<f2").view(np.uint8)
    return np.concatenate([scales, (low | high << 4).astype(np.uint8)], axis=1).tobytes()
