"""The sentiment engine against transformers' own pipeline, and what a news burst costs prices; JSON.

Run by hand on a quiet machine: ``.venv/bin/python benchmarks/sentiment.py``. Both engines read the
same texts with the same checkpoint, device and threads in one process, taking turns; the median of
the rounds counts. For the burst, articles are read in a process of their own, as in the system,
while this one applies and analyzes a minute of 48 symbols at a fixed pace.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.analyzers import SENTIMENT_NICENESS
from benchmarks.no_history import NoHistory
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch, PartitionBatch
from vnpulse.decoding import decode_bars
from vnpulse.demo.sample import DATA_DIR, Sample, load_sample
from vnpulse.messages import NewsItem, OffsetRange
from vnpulse.sentiment.headlines import read_records
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.sentiment.text import article_text

PIPELINE_BATCHES = (1, 8, 32)
PACE_S = 0.05
ALONE_STEPS = 400
REQUESTS_PER_CALL = 512


def headlines(count: int, file: Path | None) -> list[str]:
    """Return ``count`` distinct cleaned headlines: the sample's, numbered, or those of ``file``."""
    path = file or DATA_DIR / "news.jsonl"
    with path.open("rb") as lines:
        titles = [article_text(record.values[0], "") for record in read_records(str(path), lines, "title")]
    if file is not None:
        return list(dict.fromkeys(titles))[:count]
    return [f"{titles[i % len(titles)]} {i // len(titles) or ''}".strip() for i in range(count)]


def timed(read: Callable[[Sequence[str]], Any], texts: Sequence[str], size: int) -> list[float]:
    """Return the seconds of each call of ``read`` with ``size`` texts."""
    seconds = []
    for start in range(0, len(texts), size):
        began = time.perf_counter()
        read(texts[start : start + size])
        seconds.append(time.perf_counter() - began)
    return seconds


def figures(rounds: list[list[float]], texts: int) -> dict[str, float]:
    """Return throughput (median of the rounds) and latency of a call (all rounds)."""
    calls = np.array([s for seconds in rounds for s in seconds]) * 1000
    rate = statistics.median(texts / sum(seconds) for seconds in rounds)
    return {
        "headlines_per_s": round(rate, 1),
        "p50_ms": round(float(np.percentile(calls, 50)), 2),
        "p99_ms": round(float(np.percentile(calls, 99)), 2),
    }


def compare(settings: SentimentSettings, texts: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Measure both engines on ``settings.device``."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from vnpulse.sentiment.presets import choose

    ours = load_model(settings, threads)
    choice = choose(settings)
    source = str(choice.folder or choice.hub)
    plain = pipeline(
        "text-classification",
        model=AutoModelForSequenceClassification.from_pretrained(source),
        tokenizer=AutoTokenizer.from_pretrained(source),
        device=settings.device,
        top_k=None,
    )
    prefixed = choice.prefix

    def by_pipeline(size: int) -> Callable[[Sequence[str]], Any]:
        return lambda some: plain(
            [prefixed + text for text in some],
            batch_size=size,
            truncation=True,
            max_length=choice.max_tokens,
        )

    ways: dict[str, tuple[Callable[[Sequence[str]], Any], int]] = {
        "vnpulse, one text a call": (ours.classify, 1),
        "vnpulse, all in one call": (ours.classify, len(texts)),
    }
    for size in PIPELINE_BATCHES:
        ways[f"transformers pipeline, batch {size}, {size} a call"] = (by_pipeline(size), size)
    for size in PIPELINE_BATCHES[1:]:
        ways[f"transformers pipeline, batch {size}, all in one call"] = (by_pipeline(size), len(texts))
    taken: dict[str, list[list[float]]] = {name: [] for name in ways}
    for read, size in ways.values():
        read(texts[: max(size, 8)])
    for _ in range(rounds):
        for name, (read, size) in ways.items():
            taken[name].append(timed(read, texts, size))
    by_label = [{row["label"]: row["score"] for row in rows} for rows in by_pipeline(8)(texts[:200])]
    answers = ours.classify(texts[:200])
    alone = [ours.classify([text])[0] for text in texts[:200]]
    return {
        "model": ours.version,
        "device": settings.device,
        "threads": torch.get_num_threads(),
        "texts": len(texts),
        "rounds": rounds,
        "engines": {name: figures(seconds, len(texts)) for name, seconds in taken.items()},
        "share_with_the_pipeline_s_answer": sum(
            abs(max(row.values()) - max(answer.probabilities)) < 1e-3
            for row, answer in zip(by_label, answers, strict=True)
        )
        / len(answers),
        "same_bits_alone_and_together": alone == answers,
    }


def minutes_of(sample: Sample) -> list[BarBatch]:
    """Return the sample's minutes as batches of one partition."""
    batches, offset = [], 0
    for records in sample.bars:
        n = len(records)
        raw = PartitionBatch(
            topic="prices",
            partition=0,
            start_offset=offset,
            next_offset=offset + n,
            values=[value for _, value in records],
            keys=[key.encode() for key, _ in records],
            offsets=np.arange(offset, offset + n),
            timestamps=np.zeros(n, dtype=np.int64),
        )
        batches.append(decode_bars(raw, time.time_ns() // 1_000_000)[0])
        offset += n
    return batches


class PriceSide:
    """Applies and analyzes a minute of all symbols at a fixed pace, and notes how long each took."""

    def __init__(self) -> None:
        # Here: the burst's own process has no use for compiled indicators.
        from vnpulse.market import load_market
        from vnpulse.technical.analyzer import TechnicalAnalyzer
        from vnpulse.technical.settings import TechnicalSettings

        self._minutes = iter(minutes_of(load_sample()))
        self._analyzer = TechnicalAnalyzer(TechnicalSettings(), NoHistory(), "prices", load_market(), {})
        self._analyzer.start()
        self.steps(20, lambda: False)

    def steps(self, most: int, ended: Callable[[], bool]) -> list[float]:
        """Return the milliseconds of each step, until ``most`` or ``ended``."""
        taken = []
        due = time.perf_counter()
        for minute in self._minutes:
            if len(taken) >= most or ended():
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            due = max(due + PACE_S, time.perf_counter())
            source = OffsetRange("prices", 0, minute.start_offset, minute.next_offset - 1)
            began = time.perf_counter()
            self._analyzer.update(minute)
            self._analyzer.analyze(
                [AnalysisRequest(series.symbol, "r", (source,)) for series in minute.series]
            )
            taken.append((time.perf_counter() - began) * 1000)
        return taken


def spread(milliseconds: list[float]) -> dict[str, float]:
    values = np.array(milliseconds)
    return {
        "steps": len(values),
        "p50_ms": round(float(np.percentile(values, 50)), 3),
        "p99_ms": round(float(np.percentile(values, 99)), 3),
        "max_ms": round(float(values.max()), 3),
    }


def burst_side(settings: SentimentSettings, texts: list[str], threads: int) -> None:
    """Read ``texts`` as one burst when told to on standard input; say when ready, and how long."""
    from vnpulse.sentiment.analyzer import SentimentAnalyzer

    os.nice(SENTIMENT_NICENESS)
    finder = SymbolFinder.load(settings.companies)
    model = load_model(settings, threads)
    # All of them are held, so all are read.
    settings = settings.model_copy(update={"history_articles": len(texts)})
    analyzer = SentimentAnalyzer(settings, model, NoHistory(), "news", finder.weights_of)
    analyzer.start()
    model.classify(texts[:8])
    now = dt.datetime.now(dt.UTC)
    items = [NewsItem(f"n{i}", None, text, "", "s", "u", now, now) for i, text in enumerate(texts)]
    symbols = [finder.symbols_of(item) for item in items]
    offsets = list(range(len(items)))
    batch = NewsBatch("news", 0, 0, len(items), items, symbols, offsets, [0] * len(items))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    analyzer.update(batch)
    source = OffsetRange("news", 0, 0, len(items) - 1)
    named = sorted({symbol for of_item in symbols for symbol in of_item})
    results = 0
    for start in range(0, len(named), REQUESTS_PER_CALL):
        requests = [AnalysisRequest(symbol, "r", (source,)) for symbol in named[start:][:REQUESTS_PER_CALL]]
        results += len(analyzer.analyze(requests))
    print(json.dumps({"seconds": round(time.perf_counter() - began, 2), "results": results}), flush=True)


def burst(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the price side alone and beside a burst."""
    prices = PriceSide()
    command = [sys.executable, __file__, "--burst-side", *sys.argv[1:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        alone = prices.steps(ALONE_STEPS // 2, lambda: False)
        child.stdin.write("go\n")
        child.stdin.flush()
        os.set_blocking(child.stdout.fileno(), False)
        answers: list[str] = []

        def ended() -> bool:
            answers.extend(line for line in [child.stdout.readline()] if line)  # type: ignore[union-attr]
            return bool(answers)

        beside = prices.steps(10_000, ended)
        os.set_blocking(child.stdout.fileno(), True)
        done = json.loads(answers[0] if answers else child.stdout.readline())
        alone += prices.steps(ALONE_STEPS // 2, lambda: False)
    return {
        "articles": arguments.burst,
        "burst": done,
        "pace_ms": PACE_S * 1000,
        "prices_alone": spread(alone),
        "prices_beside_the_burst": spread(beside),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--texts", type=int, default=512, help="headlines a round")
    parser.add_argument("--file", type=Path, help="headlines of your own: TSV or JSON lines with title")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of either engine")
    parser.add_argument("--burst", type=int, default=2_000, help="articles at once; 0: leave out")
    parser.add_argument("--burst-side", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settings = SentimentSettings(model=arguments.model, device="cpu")
    if arguments.burst_side:
        burst_side(settings, headlines(arguments.burst, arguments.file), arguments.threads)
        return
    import torch

    texts = headlines(arguments.texts, arguments.file)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    report = {
        "cores": os.cpu_count(),
        "runs": [
            compare(
                settings.model_copy(update={"device": device}), texts, arguments.rounds, arguments.threads
            )
            for device in devices
        ],
    }
    if arguments.burst:
        report["burst"] = burst(arguments)
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
