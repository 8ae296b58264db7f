from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from vnpulse.indicators import dispatch
from vnpulse.indicators.catalogue import KINDS, IndicatorSet, Spec, every_indicator, parse


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("rsi", Spec("rsi", (14,))),
        ("rsi:7", Spec("rsi", (7,))),
        (" macd:5:35 ", Spec("macd", (5, 35, 9))),
        ("bb:20:2.5", Spec("bb", (20, 2.5))),
    ],
)
def test_what_is_left_out_has_its_default(text: str, spec: Spec) -> None:
    assert parse(text) == spec
    assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rsii", "indicator 'rsii' is not known; there are sma, ema"),
        ("", "indicator '' is not known"),
        ("rsi:", "indicator 'rsi:': period was '', must be a whole number"),
        ("rsi:x", "indicator 'rsi:x': period was 'x', must be a whole number"),
        ("rsi:14.5", "period was '14.5', must be a whole number"),
        ("rsi:1", "indicator 'rsi:1': period was 1, must be from 2 to 400"),
        ("bb:20:nan", "deviations was nan, must be from 0.1 to 10"),
        ("rsi:14:3", "indicator 'rsi:14:3' has too many parameters; the form is rsi:PERIOD"),
        ("macd:26:12", r"indicator 'macd:26:12': fast was 26, must be below slow (12)"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_interpreter_runs_the_indicator_that_the_catalogue_means(
    walk: Any, compute: Any, kind: str
) -> None:
    bars = walk(11, 700, step_ms=86_400_000)
    spec = parse(kind)
    alone = IndicatorSet([spec])
    direct = compute(dispatch.MODULES[list(KINDS).index(kind)], bars, *spec.parameters)
    assert alone.compute(bars).tobytes() == direct.tobytes()
    assert len(alone.output_names) == len(alone.warm_up) == len(direct)


def test_a_set_gives_each_indicator_what_it_gives_alone(walk: Any) -> None:
    bars = walk(12, 600)
    every = IndicatorSet(every_indicator())
    rows = iter(every.compute(bars))
    for spec in every.specs:
        for row in IndicatorSet([spec]).compute(bars):
            assert row.tobytes() == next(rows).tobytes()
    assert len(set(every.output_names)) == len(every.output_names)


def test_the_same_kind_may_stand_there_with_other_parameters(walk: Any) -> None:
    bars = walk(13, 100)
    both = IndicatorSet([parse("sma:20"), parse("sma:5")])
    assert both.output_names == ("sma_20", "sma_5")
    assert both.warm_up == {"sma_20": 20, "sma_5": 5}
    np.testing.assert_array_equal(both.compute(bars)[1], IndicatorSet([parse("sma:5")]).compute(bars)[0])


def test_an_output_has_one_source() -> None:
    with pytest.raises(ValueError, match="two indicators have the output rsi_14: name each only once"):
        IndicatorSet([parse("rsi"), parse("rsi:14")])


def test_no_bars_give_no_rows() -> None:
    assert IndicatorSet([parse("rsi")]).compute(np.empty((6, 0))).shape == (1, 0)
