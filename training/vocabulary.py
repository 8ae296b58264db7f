"""The pruned vocabulary and its tokenizer.

Of XLM-R's 250,000 pieces Vietnamese headlines use a few thousand. Kept are those that occur in
the texts given, all that are a Vietnamese syllable, and single characters to spell out what is
left. The text is folded to lower case: a headline in capitals reads as any other.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from training.e5 import Encoder

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""The first pieces; their ids are their places."""

MAX_TOKENS = 256

_MARKED = set("àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ")
_SYLLABLE = re.compile(
    r"▁?(b|ch?|d|đ|gh?|gi|kh?|l|m|ngh?|nh?|ph?|qu|r|s|th?|tr|v|x)?[aeiouyăâêôơư]{1,3}(ch|c|m|ng|nh|n|p|t)?"
)
"""Without tone marks: onset, up to three vowels, coda."""

_TONES = "\u0300\u0301\u0303\u0309\u0323"
_PLAIN = set(string.ascii_lowercase + string.digits + string.punctuation + "▁“”‘’–…")


def _tokenizer(pieces: list[tuple[str, float]]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=SPECIAL.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def kept_pieces(encoder: Encoder, texts: Iterable[str]) -> list[int]:
    """Return the ids to keep, ascending, the special pieces first."""
    full = _tokenizer(list(zip(encoder.pieces, encoder.scores, strict=True)))
    kept = set(range(len(SPECIAL)))
    for encoding in full.encode_batch(list(texts)):
        kept.update(encoding.ids)
    for i, piece in enumerate(encoder.pieces):
        spelling = len(piece.lstrip("▁")) <= 1 and set(piece) <= _PLAIN | _MARKED
        if spelling or _is_syllable(piece):
            kept.add(i)
    return sorted(kept)


def _is_syllable(piece: str) -> bool:
    # Without a mark of Vietnamese it may be of any language.
    if not set(piece) & _MARKED:
        return False
    bare = "".join(c for c in unicodedata.normalize("NFD", piece) if c not in _TONES)
    return _SYLLABLE.fullmatch(unicodedata.normalize("NFC", bare)) is not None


def build_tokenizer(encoder: Encoder, kept: list[int]) -> PreTrainedTokenizerFast:
    """Return the tokenizer over the pieces ``kept``, framed as ``<s> ... </s>``."""
    tokenizer = _tokenizer([(encoder.pieces[i], encoder.scores[i]) for i in kept])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )
