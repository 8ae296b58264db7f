"""From an article to a result for each symbol that it names, and from results to one alert everywhere."""

from __future__ import annotations

import msgspec

from tests.integration.market import article, bar, keyed
from tests.integration.pipelines.outcome import await_results, technical
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.messages import Alert
from vnpulse.store.alerts import AlertStore
from vnpulse.store.news import NewsStore
from vnpulse.topics import ALERTS, NEWS, PRICES


def test_an_article_that_names_several_symbols_gives_a_result_for_each(running: Trial) -> None:
    item = article("several", "STB", "STB và VIB, TPB cùng lãi kỷ lục")
    running.publish(NEWS, keyed([item]))
    for symbol in ("STB", "VIB", "TPB"):
        assert eventually(lambda s=symbol: running.results(s, "sentiment")), symbol
        (result,) = running.results(symbol, "sentiment")
        assert [a["news_id"] for a in result.results.details["articles"]] == ["several"]
        assert result.results.score > 0
    assert "several" in NewsStore(running.database()).ids_since(0)


def test_an_article_about_no_company_is_about_the_market(running: Trial) -> None:
    running.publish(NEWS, keyed([article("market", None, "Thị trường giảm sàn hàng loạt, bán tháo")]))
    assert eventually(
        lambda: any(
            result.results.details["articles"][0]["news_id"] == "market"
            for result in running.results("VNINDEX", "sentiment")
        )
    )


def test_an_article_that_comes_again_gives_no_further_result(running: Trial) -> None:
    item = article("again", "BVH", "BVH lãi kỷ lục")
    running.publish(NEWS, keyed([item, item]))
    running.publish(NEWS, keyed([article("next", "BVH", "BVH tăng trưởng mạnh")]))
    assert eventually(lambda: len(running.results("BVH", "sentiment")) >= 2)
    assert running.drained()
    ids = [r.results.details["articles"][0]["news_id"] for r in running.results("BVH", "sentiment")]
    assert ids == ["again", "next"]


def test_an_alert_is_once_in_the_topic_the_store_and_the_file_and_explains_itself(running: Trial) -> None:
    bars = [bar("HSG", i) for i in range(30)]
    running.publish(PRICES, keyed(bars))
    await_results(running, bars)
    title = "HSG: lãnh đạo bị khởi tố, bắt tạm giam vì thao túng giá cổ phiếu"
    running.publish(NEWS, keyed([article("scandal", "HSG", title), article("scandal-2", "HSG", title)]))

    def in_the_topic() -> list[Alert]:
        return [
            msgspec.json.decode(record.value, type=Alert)
            for record in running.records(ALERTS)
            if record.value and record.key == b"HSG" and record.value.startswith(b'{"alert_id"')
        ]

    assert eventually(in_the_topic)
    assert running.drained()
    alerts = {alert.alert_id: alert for alert in in_the_topic()}
    assert len(in_the_topic()) == len(alerts)
    assert "risk_alert" in {alert.alert_type for alert in alerts.values()}
    store = AlertStore(running.database())
    assert {alert.alert_id: alert for alert in store.recent(0, 1_000, "HSG")} == alerts

    def in_the_file() -> list[str]:
        lines = running.alert_file.read_bytes().splitlines()
        decoded = [msgspec.json.decode(line, type=Alert) for line in lines]
        return sorted(alert.alert_id for alert in decoded if alert.symbol == "HSG")

    assert eventually(lambda: len(in_the_file()) >= len(alerts))
    assert in_the_file() == sorted(alerts)
    alert = next(a for a in alerts.values() if a.alert_type == "risk_alert")
    explanation = alert.data.explanation
    assert explanation["rule"]["name"] == "bad_news"
    assert explanation["articles"][0]["title"] == title
    assert explanation["components"].keys() == {"technical", "sentiment"}
    assert {record["topic"] for record in explanation["inputs"]} == {
        running.topic(name) for name in ("stock_prices_raw", "stock_news_raw", "analysis_results")
    }


def test_a_trigger_gives_a_result_for_the_latest_state(running: Trial) -> None:
    bars = [bar("TRG", i) for i in range(30)]
    running.publish(PRICES, keyed(bars))
    running.publish(NEWS, keyed([article("trg", "TRG", "TRG lãi kỷ lục")]))
    await_results(running, bars)
    assert eventually(lambda: running.results("TRG", "sentiment"))
    before = {result.result_id for result in running.results("TRG")}
    done = running.vnpulse("trigger", "TRG")
    assert done.returncode == 0, done.stderr
    assert eventually(lambda: len(running.results("TRG")) >= len(before) + 2)
    fresh = {r.analysis_type: r for r in running.results("TRG") if r.result_id not in before}
    assert fresh.keys() == {"technical", "sentiment"}
    last = next(
        r
        for r in running.results("TRG", "technical")
        if r.result_id in before and r.timestamp == fresh["technical"].timestamp
    )
    assert fresh["technical"].results == last.results
    assert technical(running, "TRG")[bars[-1].time].result_id == fresh["technical"].result_id
    assert fresh["sentiment"].results.details["articles"][0]["news_id"] == "trg"


def test_a_trigger_for_a_symbol_that_nobody_knows_gives_nothing_and_hurts_nobody(running: Trial) -> None:
    assert running.vnpulse("trigger", "NOBODY", "TRH").returncode == 0
    bars = [bar("TRH", i) for i in range(3)]
    running.publish(PRICES, keyed(bars))
    await_results(running, bars)
    assert running.drained()
    assert running.results("NOBODY") == []
