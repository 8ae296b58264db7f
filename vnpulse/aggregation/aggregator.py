"""The aggregator: results of one symbol in, alerts out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from typing import Any

import msgspec

from vnpulse.aggregation.fusion import Fused, fuse
from vnpulse.aggregation.order import START, Place
from vnpulse.aggregation.rules import Episode, InputName, Rule, RuleBook
from vnpulse.ids import derived_id
from vnpulse.market import Exchange, MarketRules
from vnpulse.messages import INTERVAL_MS, VIETNAM, Alert, AlertData, AnalysisResult, AnalysisType, RecordRef

SESSION_MS = 225 * 60_000
"""Trading time of a day on HOSE without its auctions: 09:15-11:30 and 13:00-14:30."""

INPUTS_OF: dict[AnalysisType, tuple[InputName, ...]] = {
    "technical": ("final_score", "technical_score", "day_change_pct"),
    "sentiment": ("final_score", "sentiment_score"),
}
"""Which inputs a result of an analysis may change."""


class SymbolState(msgspec.Struct, omit_defaults=True):
    """All that the next alert of a symbol depends on; encoded as it is into the store."""

    latest: dict[AnalysisType, AnalysisResult] = {}
    episodes: dict[str, Episode] = {}
    taken: dict[AnalysisType, list[str]] = {}
    """Ids of the results of the latest moment: several may have the same timestamp."""
    decided: Place = START
    """Of the results that were stepped through, the last place."""

    def copied(self) -> SymbolState:
        """Return a copy that ``Aggregator.step`` can change without changing this."""
        return SymbolState(dict(self.latest), dict(self.episodes), dict(self.taken), self.decided)

    def takes(self, result: AnalysisResult) -> bool:
        """Whether ``result`` is news: not older than the last one of its kind, and not one of its moment."""
        previous = self.latest.get(result.analysis_type)
        if previous is None or result.timestamp > previous.timestamp:
            return True
        taken = self.taken.get(result.analysis_type, [])
        return result.timestamp == previous.timestamp and result.result_id not in taken


encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(SymbolState).decode


class Aggregator:
    """Fuses results, steps the rules' episodes and writes alerts. Pure: all state is passed in.

    Depends only on the results, on the order in which they are passed in (vnpulse.aggregation.order) and
    on event time, so the same log gives the same alerts with the same ids, live, replayed or redelivered.
    """

    def __init__(self, book: RuleBook, market: MarketRules, exchanges: Mapping[str, Exchange]) -> None:
        self._book = book
        self._market = market
        self._exchanges = exchanges
        self._readers: dict[AnalysisType, list[Rule]] = {
            kind: [rule for rule in book.rules if rule.input in inputs] for kind, inputs in INPUTS_OF.items()
        }

    def step(self, state: SymbolState, result: AnalysisResult, record: RecordRef) -> list[Alert]:
        """Take in ``result``, read from ``record``; update ``state`` and return the alerts it fires.

        A result that is the last one of its kind again, or older, changes nothing.
        """
        if not state.takes(result):
            return []
        kind = result.analysis_type
        previous = state.latest.get(kind)
        again = previous is not None and previous.timestamp == result.timestamp
        same_moment = state.taken.get(kind, []) if again else []
        latest = state.latest | {kind: result}
        now_ms = int(result.timestamp.timestamp() * 1000)
        fused = fuse(latest, self._book, now_ms)
        alerts = []
        stepped: dict[str, Episode] = {}
        for rule in self._readers[kind]:
            value, confidence = self._input(rule.input, latest, fused)
            if value is None:
                continue
            episode = stepped[rule.name] = copy(state.episodes.get(rule.name) or Episode())
            if episode.step(rule, value, confidence, now_ms):
                alerts.append(self._alert(rule, value, result, record, fused, latest))
        # Only now: a result that cannot be taken in leaves the state as it was.
        state.latest, state.taken[kind] = latest, [*same_moment, result.result_id]
        state.episodes |= stepped
        return alerts

    def _input(
        self, name: InputName, latest: Mapping[AnalysisType, AnalysisResult], fused: Fused
    ) -> tuple[float | None, float]:
        if name == "final_score":
            return fused.score, fused.confidence
        if name == "day_change_pct":
            return _day_change_pct(latest.get("technical")), 1.0
        result = latest.get("technical" if name == "technical_score" else "sentiment")
        return (result.results.score, result.results.confidence) if result else (None, 0.0)

    def _alert(
        self,
        rule: Rule,
        value: float,
        result: AnalysisResult,
        record: RecordRef,
        fused: Fused,
        latest: Mapping[AnalysisType, AnalysisResult],
    ) -> Alert:
        recommendation: str = "HOLD"
        if fused.score >= self._book.recommendation.buy_above:
            recommendation = "BUY"
        elif fused.score <= self._book.recommendation.sell_below:
            recommendation = "SELL"
        data = AlertData(
            final_score=round(fused.score, 6),
            recommendation=recommendation,  # type: ignore[arg-type]
            target_price=self._target(result.symbol, recommendation, latest.get("technical")),
            explanation=self._explain(rule, value, result, record, fused),
        )
        return Alert(
            alert_id=derived_id("alert", self._book.version, rule.name, result.symbol, result.result_id),
            symbol=result.symbol,
            alert_type=rule.alert_type,
            priority=rule.priority_of(value),
            timestamp=result.timestamp,
            message=_message(rule, value, fused, recommendation),
            data=data,
        )

    def _target(self, symbol: str, recommendation: str, technical: AnalysisResult | None) -> float | None:
        """Return close ± target_atr daily ATRs on the tick; None for indices, HOLD, or without any ATR.

        Without daily bars the daily ATR is estimated from that of the analysed bars by the square
        root of time: ATR x sqrt(trading minutes of a day / minutes of a bar).
        """
        exchange = self._exchanges.get(symbol)
        if (
            technical is None
            or exchange is None
            or symbol in self._market.indices
            or recommendation == "HOLD"
        ):
            return None
        details = technical.results.details
        close = details.get("close")
        atr = _atr(details.get("daily") or {})
        if atr is None:
            own = _atr(details.get("indicators", {}))
            bars_a_day = SESSION_MS / INTERVAL_MS[details.get("interval", "1d")]
            atr = own * math.sqrt(max(1.0, bars_a_day)) if own is not None else None
        if close is None or atr is None:
            return None
        distance = self._book.target_atr * atr
        raw = close + distance if recommendation == "BUY" else close - distance
        return self._market.round_to_tick(exchange, raw) if raw > 0 else None

    def _explain(
        self, rule: Rule, value: float, result: AnalysisResult, record: RecordRef, fused: Fused
    ) -> dict[str, Any]:
        comparison = ">=" if rule.fire_above is not None else "<="
        explanation: dict[str, Any] = {
            "rule": {
                "name": rule.name,
                "version": self._book.version,
                "condition": f"{rule.input} {comparison} {rule.threshold:g}",
                "value": round(value, 6),
                "for_results": rule.for_results,
            },
            "confidence": round(fused.confidence, 6),
            "components": {
                kind: {
                    "score": part.result.results.score,
                    "confidence": part.result.results.confidence,
                    "weight": part.weight,
                    "age_factor": round(part.age_factor, 6),
                    "share": round(part.share, 6),
                    "contribution": round(part.contribution, 6),
                    "as_of": part.result.timestamp.astimezone(VIETNAM).isoformat(),
                    "model_version": part.result.metadata.model_version,
                    "result_id": part.result.result_id,
                }
                for kind, part in fused.parts.items()
            },
        }
        technical = fused.parts.get("technical")
        if technical is not None:
            details = technical.result.results.details
            explanation["technical"] = {
                key: details[key]
                for key in ("interval", "bar_time", "close", "indicators", "components", "daily")
                if details.get(key) is not None
            }
        sentiment = fused.parts.get("sentiment")
        if sentiment is not None:
            explanation["articles"] = sentiment.result.results.details.get("articles", [])
        explanation["inputs"] = [
            msgspec.to_builtins(part.result.metadata.source)
            for part in fused.parts.values()
            if part.result.metadata.source is not None
        ] + [msgspec.to_builtins(record)]
        return explanation


def _atr(values: Mapping[str, Any]) -> float | None:
    """Return the average true range among ``values``, whatever its period ("atr_14")."""
    return next((value for name, value in values.items() if name.startswith("atr_")), None)


def _day_change_pct(technical: AnalysisResult | None) -> float | None:
    if technical is None:
        return None
    close = technical.results.details.get("close")
    reference = (technical.results.details.get("daily") or {}).get("close")
    return 100 * (close / reference - 1) if close and reference else None


_TITLES = {"buy_signal": "Buy signal", "sell_signal": "Sell signal", "risk_alert": "Risk"}


def _message(rule: Rule, value: float, fused: Fused, recommendation: str) -> str:
    """Return one line for people: what happened, and what speaks for it."""
    if rule.input == "day_change_pct":
        return f"{value:+.1f} % against the previous close"
    words = {
        kind: f"{kind} {part.result.results.score:+.2f} (confidence {part.result.results.confidence:.2f})"
        for kind, part in fused.parts.items()
    }
    if rule.input == "final_score":
        signs = {part.result.results.score > 0 for part in fused.parts.values() if part.result.results.score}
        together = len(fused.parts) > 1 and len(signs) == 1
        lead = "Technical and sentiment agree" if together else f"{_TITLES[rule.alert_type]}"
        return f"{lead}: score {fused.score:+.2f}, {', '.join(words.values())}"
    part = rule.input.removesuffix("_score")
    line = words.get(part, "")  # type: ignore[call-overload]
    articles = (
        fused.parts["sentiment"].result.results.details.get("articles", [])
        if part == "sentiment" and "sentiment" in fused.parts
        else []
    )
    title = f": {articles[0]['title']}" if articles else ""
    return f"{line}{title}"
