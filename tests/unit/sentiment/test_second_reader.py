from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from vnpulse.clock import ManualClock
from vnpulse.sentiment.chat_endpoint import ChatEndpoint, NoAnswer
from vnpulse.sentiment.classification import Classification, from_probabilities
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.second_reader import FAILURES_BEFORE_REST, REST_MS, SecondReader
from vnpulse.sentiment.settings import Reads, SecondReaderSettings, SentimentSettings

GOOD = {"negative": 0.1, "neutral": 0.1, "positive": 0.8}


class Endpoint:
    """A server that answers as it is told and notes what it was asked."""

    def __init__(self) -> None:
        self.content: str | Callable[[], str] = json.dumps(GOOD)
        self.status = 200
        self.requests: list[tuple[str, str | None, dict[str, Any]]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append((self.path, self.headers.get("Authorization"), body))
                content = endpoint.content if isinstance(endpoint.content, str) else endpoint.content()
                answer = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def settings(self, **more: object) -> SecondReaderSettings:
        return SecondReaderSettings.model_validate({"url": self.url, "model": "m", **more})


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Endpoint()
    yield running
    running.close()


class FixedModel:
    """Wavers over texts with "?", is sure of those with "!", and is moderately neutral else."""

    version = "first/1"
    reads: Reads = "headline"

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        return [self.answer(text) for text in texts]

    @staticmethod
    def answer(text: str) -> Classification:
        if "?" in text:
            return from_probabilities(0.3, 0.4, 0.3)
        return from_probabilities(0.98, 0.02, 0.0) if "!" in text else from_probabilities(0.2, 0.7, 0.1)


def reader(settings: SecondReaderSettings, clock: ManualClock | None = None) -> SecondReader:
    ask = ChatEndpoint(settings).read
    return SecondReader(FixedModel(), ask, settings, clock or ManualClock(0))


def test_only_borderline_and_high_impact_articles_are_asked_about(endpoint: Endpoint) -> None:
    both = reader(endpoint.settings(api_key="k", patience_s=30))
    plain, wavering, sure = both.classify(["lịch nghỉ", "lãi hay lỗ?", "vỡ nợ!"])
    assert plain == FixedModel.answer("lịch nghỉ")
    assert plain.reader == ""
    for answer in (wavering, sure):
        assert answer.reader == "second/m"
        assert answer.label == "positive"
        assert answer.probabilities == pytest.approx((0.1, 0.1, 0.8))
    assert sorted(body["messages"][1]["content"] for _, _, body in endpoint.requests) == [
        "lãi hay lỗ?",
        "vỡ nợ!",
    ]
    path, authorization, body = endpoint.requests[0]
    assert (path, authorization) == ("/v1/chat/completions", "Bearer k")
    assert (body["model"], body["temperature"]) == ("m", 0)
    assert both.version == "first/1"
    assert both.reads == "headline"


@pytest.mark.parametrize(
    "content",
    [
        "positive",
        "{}",
        '{"negative": 0.1, "neutral": 0.1, "positive": 0.8, "note": "buy"}',
        '{"negative": 0.1, "neutral": 0.1, "positive": "0.8"}',
        '{"negative": 1.0, "neutral": 1.0, "positive": 1.0}',
        '{"negative": -1.0, "neutral": 1.0, "positive": 1.0}',
        "x" * 70_000,
    ],
)
def test_what_is_not_the_answer_asked_for_is_refused(endpoint: Endpoint, content: str) -> None:
    endpoint.content = content
    settings = endpoint.settings(patience_s=30)
    with pytest.raises(NoAnswer, match="second/m: "):
        ChatEndpoint(settings).read("tin")
    assert reader(settings).classify(["lãi hay lỗ?"]) == [FixedModel.answer("?")]


def test_an_endpoint_that_refuses_or_is_away_leaves_the_first_answer(endpoint: Endpoint) -> None:
    endpoint.status = 503
    assert reader(endpoint.settings(patience_s=30)).classify(["?"]) == [FixedModel.answer("?")]
    assert len(endpoint.requests) == 1
    away = SecondReaderSettings(url="http://127.0.0.1:9/v1", model="m", patience_s=30)
    assert reader(away).classify(["?"]) == [FixedModel.answer("?")]


def test_an_answer_that_comes_too_late_is_not_waited_for(endpoint: Endpoint) -> None:
    release = threading.Event()

    def late() -> str:
        release.wait(60)
        return json.dumps(GOOD)

    endpoint.content = late
    # It returns although the endpoint does not: otherwise the test would hang.
    assert reader(endpoint.settings(patience_s=0.05, timeout_s=60)).classify(["?"]) == [
        FixedModel.answer("?")
    ]
    release.set()


def test_cost_is_bounded_by_call_and_by_minute(endpoint: Endpoint) -> None:
    clock = ManualClock(0)
    settings = endpoint.settings(patience_s=30, max_requests_a_call=3, max_requests_a_minute=4)
    both = reader(settings, clock)
    texts = [f"{i}?" for i in range(20)]
    assert [bool(a.reader) for a in both.classify(texts)] == [True] * 3 + [False] * 17
    assert sum(bool(a.reader) for a in both.classify(texts)) == 1
    assert sum(bool(a.reader) for a in both.classify(texts)) == 0
    clock.advance(60_000)
    assert sum(bool(a.reader) for a in both.classify(texts)) == 3
    assert len(endpoint.requests) == 7


def test_after_failures_in_a_row_it_rests(endpoint: Endpoint) -> None:
    endpoint.status = 500
    clock = ManualClock(0)
    both = reader(endpoint.settings(patience_s=30), clock)
    for _ in range(FAILURES_BEFORE_REST + 2):
        both.classify(["?"])
    assert len(endpoint.requests) == FAILURES_BEFORE_REST
    clock.advance(REST_MS)
    endpoint.status = 200
    assert both.classify(["?"])[0].reader == "second/m"


def test_it_is_off_unless_an_endpoint_is_named(endpoint: Endpoint) -> None:
    assert not isinstance(load_model(SentimentSettings(model="lexicon")), SecondReader)
    settings = SentimentSettings(model="lexicon", second_reader=endpoint.settings())
    model = load_model(settings)
    assert isinstance(model, SecondReader)
    assert model.version.startswith("lexicon/")
    with pytest.raises(ValidationError, match="url needs model"):
        SecondReaderSettings(url=endpoint.url)
