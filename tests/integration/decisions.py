"""The alerts that results must give, decided by one process in the order of the raw log."""

from __future__ import annotations

from collections.abc import Iterable

from vnpulse.aggregation.aggregator import Aggregator, SymbolState
from vnpulse.aggregation.order import place_of
from vnpulse.aggregation.rules import load_rules
from vnpulse.market import load_market
from vnpulse.messages import Alert, AnalysisResult, RecordRef
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.settings import Settings


def expected_alerts(settings: Settings, results: Iterable[AnalysisResult]) -> dict[str, Alert]:
    """Return alerts by id, whatever order and however often ``results`` come in."""
    companies = SymbolFinder.load(settings.sentiment.companies).companies
    over = Aggregator(
        load_rules(settings.aggregation.rules),
        load_market(settings.aggregation.market),
        {symbol: company.exchange for symbol, company in companies.items()},
    )
    record = RecordRef(settings.kafka.topic("analysis_results"), 0, 0)
    states: dict[str, SymbolState] = {}
    alerts: dict[str, Alert] = {}
    for result in sorted(results, key=lambda result: place_of(result, record)):
        state = states.setdefault(result.symbol, SymbolState())
        fired = over.step(state, result, record)
        alerts |= {alert.alert_id: alert for alert in fired}
    return alerts
