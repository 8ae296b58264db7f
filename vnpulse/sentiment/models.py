"""Which model the settings ask for."""

from __future__ import annotations

from vnpulse.clock import SystemClock
from vnpulse.sentiment.classification import SentimentModel
from vnpulse.sentiment.lexicon import Lexicon
from vnpulse.sentiment.settings import SentimentSettings

LEXICON = "lexicon"


def load_model(settings: SentimentSettings, threads: int | None = None) -> SentimentModel:
    """Return the model that ``settings.model`` names. Raises SettingsError if there is none.

    ``threads`` is how many CPU threads it may use where the settings do not say; None for as
    many as the machine has cores.
    """
    first = _first_reader(settings, threads)
    if settings.second_reader.url is None:
        return first
    from vnpulse.sentiment.chat_endpoint import ChatEndpoint
    from vnpulse.sentiment.second_reader import SecondReader

    endpoint = ChatEndpoint(settings.second_reader)
    return SecondReader(first, endpoint.read, settings.second_reader, SystemClock())


def _first_reader(settings: SentimentSettings, threads: int | None) -> SentimentModel:
    if settings.model == LEXICON:
        return Lexicon.load(settings.lexicon, settings.reads or "article")
    # torch takes seconds and hundreds of megabytes to import: only those who use it pay.
    from vnpulse.sentiment.checkpoint import Checkpoint

    return Checkpoint.load(settings, threads)
