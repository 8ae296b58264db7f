"""Which model the settings ask for."""

from __future__ import annotations

from vnpulse.sentiment.classification import SentimentModel
from vnpulse.sentiment.lexicon import Lexicon
from vnpulse.sentiment.settings import SentimentSettings


def load_model(settings: SentimentSettings) -> SentimentModel:
    """Return the model that ``settings.model`` names. Raises SettingsError if there is none."""
    if settings.model == "lexicon":
        return Lexicon.load(settings.lexicon)
    # torch takes seconds and hundreds of megabytes to import: only those who use it pay.
    from vnpulse.sentiment.checkpoint import Checkpoint

    return Checkpoint.load(settings)
