"""A second opinion on the few articles where it may matter, by a large model, if it comes in time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from vnpulse.clock import Clock
from vnpulse.errors import VnpulseError
from vnpulse.sentiment.classification import Classification, SentimentModel
from vnpulse.sentiment.request_budget import RequestBudget
from vnpulse.sentiment.settings import Reads, SecondReaderSettings

log = logging.getLogger(__name__)

THREADS = 4
FAILURES_BEFORE_REST = 3
REST_MS = 60_000
"""An endpoint that failed so often in a row is left alone for so long."""


class SecondReader:
    """A ``SentimentModel``: the first reader's answers, some of them replaced by the second's.

    Asked are articles on which the first reader wavers (its two likeliest labels are within
    ``margin``) or which would move a score most (its score is at least ``impact`` either way), as
    far as the budget goes. One call waits at most ``patience_s`` for all answers together; what
    has not come by then, or is not an answer, stays the first reader's. An answer that comes too
    late is dropped. ``Classification.reader`` says whose an answer is.
    """

    def __init__(
        self,
        first: SentimentModel,
        ask: Callable[[str], Classification],
        settings: SecondReaderSettings,
        clock: Clock,
    ) -> None:
        """``ask`` reads one text, in any thread; it raises VnpulseError if it cannot."""
        self._first = first
        self._ask = ask
        self._settings = settings
        self._clock = clock
        self._budget = RequestBudget(settings.max_requests_a_minute, settings.max_requests_a_day, clock)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="second-reader")
        self._unfinished: set[Future[Classification]] = set()
        self._failures = 0
        self._resting_until_ms = 0

    @property
    def version(self) -> str:
        """The first reader's version; which answers are the second's is said with each."""
        return self._first.version

    @property
    def reads(self) -> Reads:
        """What the first reader wants to be given; the second gets the same."""
        return self._first.reads

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Return one classification a text, in order."""
        answers = dict(zip(texts, self._first.classify(texts), strict=True))
        asked = self._submit([text for text, answer in answers.items() if self._matters(answer)])
        wait(asked.values(), timeout=self._settings.patience_s)
        for text, opinion in asked.items():
            if not opinion.done():
                opinion.cancel()
                self._note(f"no answer within {self._settings.patience_s:g} s")
                continue
            try:
                answers[text] = opinion.result()
                self._failures = 0
            except VnpulseError as error:
                self._note(str(error))
        return [answers[text] for text in texts]

    def _matters(self, answer: Classification) -> bool:
        likeliest, next_likeliest = sorted(answer.probabilities, reverse=True)[:2]
        return (
            likeliest - next_likeliest <= self._settings.margin or abs(answer.score) >= self._settings.impact
        )

    def _submit(self, texts: Sequence[str]) -> dict[str, Future[Classification]]:
        """Ask about as many of ``texts`` as budget and threads allow; nothing queues up."""
        self._unfinished = {opinion for opinion in self._unfinished if not opinion.done()}
        asked: dict[str, Future[Classification]] = {}
        if self._clock.now_ms() < self._resting_until_ms:
            return asked
        # Requests given up on still occupy their threads until their own timeout.
        room = self._settings.max_requests_a_call - len(self._unfinished)
        for text in texts[: max(0, room)]:
            if not self._budget.take():
                break
            asked[text] = self._threads.submit(self._ask, text)
        self._unfinished |= set(asked.values())
        return asked

    def _note(self, what: str) -> None:
        self._failures += 1
        if self._failures >= FAILURES_BEFORE_REST:
            self._failures = 0
            self._resting_until_ms = self._clock.now_ms() + REST_MS
            log.warning("second reader rests for %d s: %s", REST_MS // 1000, what)
        else:
            log.info("second reader: %s", what)
