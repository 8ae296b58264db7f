"""The two networks: a teacher that is as good as we can make it, a student that ships."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from training.vocabulary import MAX_TOKENS
from vnpulse.sentiment.classification import LABELS

STUDENT_LAYERS = (0, 3, 7, 11)
"""Which of the teacher's layers the student starts from."""


class Teacher(nn.Module):
    """The whole encoder, its outputs averaged over the tokens, and one linear layer."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.encoder.embeddings.requires_grad_(False)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(encoder.config.hidden_size, len(LABELS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [batch, 3] for ids and mask [batch, length]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        logits: Tensor = self.classifier(self.dropout(mean))
        return logits


class Student(nn.Module):
    """An ordinary ``BertForSequenceClassification`` of a few of the teacher's layers."""

    def __init__(self, teacher: Teacher, layers: Sequence[int] = STUDENT_LAYERS) -> None:
        super().__init__()
        whole = teacher.encoder
        settings = whole.config.to_dict()
        settings |= {
            "num_hidden_layers": len(layers),
            "max_position_embeddings": MAX_TOKENS + 2,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "id2label": dict(enumerate(LABELS)),
            "label2id": {label: i for i, label in enumerate(LABELS)},
        }
        self.model = BertForSequenceClassification(BertConfig(**settings))
        state = {}
        for name, value in whole.state_dict().items():
            parts = name.split(".")
            if parts[:2] == ["encoder", "layer"]:
                if int(parts[2]) not in layers:
                    continue
                parts[2] = str(layers.index(int(parts[2])))
            state[".".join(parts)] = value
        state["embeddings.position_embeddings.weight"] = state["embeddings.position_embeddings.weight"][
            : MAX_TOKENS + 2
        ]
        state["embeddings.token_type_embeddings.weight"] = state["embeddings.token_type_embeddings.weight"][
            :1
        ]
        unknown = self.model.bert.load_state_dict(state, strict=False)
        if {name.split(".")[0] for name in unknown.missing_keys} - {"pooler"} or unknown.unexpected_keys:
            raise ValueError(f"the teacher does not fit the student: {unknown}")

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [batch, 3] for ids and mask [batch, length]."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits
