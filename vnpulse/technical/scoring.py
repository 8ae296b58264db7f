"""The technical score: five components, weighed by how sure each is.

Every number below is in the ``details`` of a result, so a score can be recomputed by hand. A
component is made of two parts ``a`` and ``b`` in [-1, 1], positive to buy.

trend
    a = tanh((close - sma) / (TREND_CLOSE_ATR * atr)),  b = tanh((ema - sma) / (TREND_EMA_ATR * atr))
momentum
    a = tanh(macd_hist / (MOMENTUM_HIST_ATR * atr)),  b = tanh(rsi_change / MOMENTUM_RSI_POINTS)
mean_reversion
    a = (RSI_OVERSOLD - rsi) / RSI_REACH below RSI_OVERSOLD, (RSI_OVERBOUGHT - rsi) / RSI_REACH above
    RSI_OVERBOUGHT, 0 between; b, with z = 2 * percent_b - 1, so -1 and +1 are the bands:
    -(|z| - BAND_INSIDE) / (1 - BAND_INSIDE) in the direction of z, 0 while |z| < BAND_INSIDE; both
    cut off at -1 and +1
volatility: a break out of a narrow range, in its direction
    a = z, cut off at -1 and +1;  b = a * w, w = bandwidth / (bandwidth EXPANSION_BARS earlier) - 1,
    cut off at 0 and 1
volume: who pays for the volume
    a = (mfi - 50) / MFI_REACH, cut off at -1 and +1,  b = tanh((close - vwap) / (VWAP_ATR * atr))

    score of a component            s = (a + b) / 2; volatility: s = b
    confidence, trend and momentum  c = |a + b| / (|a| + |b|): 1 if the parts agree, 0 if they cancel
    confidence, mean reversion      c = |a + b| / 2: silent until the price is at an extreme
    confidence, volatility          c = w: silent while the bands do not widen
    confidence, volume              c = |a + b| / (|a| + |b|) / (1 + exp(-volume_z)): half of that on
                                    usual volume

A symbol locked at its ceiling is not overbought, nor one locked at its floor oversold: nobody can
trade through the limit, and the bands and the RSI only say that it is there. Mean reversion then
has the score 0 with the confidence 0.

Together, with the weights w and sums over the components that are ready:

    liveliness = min(1, activity / LIVELY_ACTIVITY)
    score      = liveliness * sum(w c s) / sum(w c)
    agreement  = |sum(w c s)| / sum(w c |s|)
    confidence = liveliness * agreement * sum(w c) / sum(w of all components, ready or not)

0 / 0 is 0 throughout: a flat or unready series scores 0 with confidence 0. Liveliness is 0 until
activity is ready. It keeps an illiquid symbol quiet: after many bars without a move one tick is
several average ranges, and would otherwise be the strongest signal of the day.

The scales are ours, set on one-minute bars of 48 liquid symbols (2024-10 to 2025-05). The
indicators behind them: see ``vnpulse.indicators``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled, compiled_for

VERSION = "2"
"""Raise it whenever a formula or a constant here changes: results carry it."""

COMPONENTS = ("trend", "momentum", "mean_reversion", "volatility", "volume")

TREND_CLOSE_ATR = 2.5
TREND_EMA_ATR = 1.25
MOMENTUM_HIST_ATR = 0.4
MOMENTUM_RSI_POINTS = 12.0
RSI_OVERSOLD = 30.0
RSI_OVERBOUGHT = 70.0
RSI_REACH = 20.0
BAND_INSIDE = 0.75
MFI_REACH = 40.0
VWAP_ATR = 5.0
LIVELY_ACTIVITY = 0.3

RSI_CHANGE_BARS = 3
"""The slope of the RSI is its change over so many bars."""
EXPANSION_BARS = 5

# Columns of the inputs: values of indicators, NaN where not ready.
(
    CLOSE, SMA, EMA, ATR, MACD_HIST, RSI, RSI_CHANGE, PERCENT_B, EXPANSION, MFI, VWAP, VOLUME_Z, ACTIVITY,
    LOCKED,
) = range(14)  # fmt: skip
INPUTS = 14
"""RSI_CHANGE over RSI_CHANGE_BARS; EXPANSION: w before it is cut off; LOCKED: 1 at the ceiling or
the floor, else 0."""

# Columns of a score table: these, then score and confidence of each component.
SCORE, CONFIDENCE, LIVELINESS = range(3)
FIRST_COMPONENT = 3
SCORE_COLUMNS = FIRST_COMPONENT + 2 * len(COMPONENTS)


@compiled
def _agreement(a: float, b: float) -> float:
    return abs(a + b) / (abs(a) + abs(b)) if abs(a) + abs(b) > 0.0 else 0.0


@compiled
def _within(value: float, low: float, high: float) -> float:
    # max() and min() would lose the NaN that says "not ready".
    if value < low:
        return low
    return high if value > high else value


@compiled
def trend(row: NDArray[np.float64]) -> tuple[float, float]:
    """Return (score, confidence), NaN if not ready."""
    if row[ATR] <= 0.0:
        return 0.0, 0.0
    a = math.tanh((row[CLOSE] - row[SMA]) / (TREND_CLOSE_ATR * row[ATR]))
    b = math.tanh((row[EMA] - row[SMA]) / (TREND_EMA_ATR * row[ATR]))
    return 0.5 * (a + b), _agreement(a, b)


@compiled
def momentum(row: NDArray[np.float64]) -> tuple[float, float]:
    """Return (score, confidence), NaN if not ready."""
    if row[ATR] <= 0.0:
        return 0.0, 0.0
    a = math.tanh(row[MACD_HIST] / (MOMENTUM_HIST_ATR * row[ATR]))
    b = math.tanh(row[RSI_CHANGE] / MOMENTUM_RSI_POINTS)
    return 0.5 * (a + b), _agreement(a, b)


@compiled
def mean_reversion(row: NDArray[np.float64]) -> tuple[float, float]:
    """Return (score, confidence), NaN if not ready."""
    a = row[RSI] * 0.0
    if row[RSI] < RSI_OVERSOLD:
        a = min(1.0, (RSI_OVERSOLD - row[RSI]) / RSI_REACH)
    elif row[RSI] > RSI_OVERBOUGHT:
        a = max(-1.0, (RSI_OVERBOUGHT - row[RSI]) / RSI_REACH)
    z = 2.0 * row[PERCENT_B] - 1.0
    b = z * 0.0
    if abs(z) > BAND_INSIDE:
        b = -math.copysign(min(1.0, (abs(z) - BAND_INSIDE) / (1.0 - BAND_INSIDE)), z)
    score = 0.5 * (a + b)
    if row[LOCKED] != 0.0:
        score *= 0.0
    return score, abs(score)


@compiled
def volatility(row: NDArray[np.float64]) -> tuple[float, float]:
    """Return (score, confidence), NaN if not ready."""
    widening = _within(row[EXPANSION], 0.0, 1.0)
    return _within(2.0 * row[PERCENT_B] - 1.0, -1.0, 1.0) * widening, widening


@compiled
def volume(row: NDArray[np.float64]) -> tuple[float, float]:
    """Return (score, confidence), NaN if not ready."""
    if row[ATR] <= 0.0:
        return 0.0, 0.0
    a = _within((row[MFI] - 50.0) / MFI_REACH, -1.0, 1.0)
    b = math.tanh((row[CLOSE] - row[VWAP]) / (VWAP_ATR * row[ATR]))
    return 0.5 * (a + b), _agreement(a, b) / (1.0 + math.exp(-row[VOLUME_Z]))


@compiled_for(types.float64[:, ::1](types.Array(types.float64, 2, "A", readonly=True), types.float64[::1]))
def score_rows(inputs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score n rows; ``inputs`` [n, INPUTS] with NaN where not ready, ``weights`` [5] as in COMPONENTS.

    Returns float64 [n, SCORE_COLUMNS]: score, confidence, liveliness, then score and confidence
    of each component, both NaN for a component that is not ready.
    """
    table = np.empty((inputs.shape[0], SCORE_COLUMNS), np.float64)
    for i in range(inputs.shape[0]):
        row = inputs[i]
        every_weight = 0.0
        sure = 0.0
        towards = 0.0
        magnitude = 0.0
        for component in range(len(COMPONENTS)):
            if component == 0:
                score, confidence = trend(row)
            elif component == 1:
                score, confidence = momentum(row)
            elif component == 2:
                score, confidence = mean_reversion(row)
            elif component == 3:
                score, confidence = volatility(row)
            else:
                score, confidence = volume(row)
            if math.isnan(score) or math.isnan(confidence):
                score = math.nan
                confidence = math.nan
            table[i, FIRST_COMPONENT + 2 * component] = score
            table[i, FIRST_COMPONENT + 2 * component + 1] = confidence
            every_weight += weights[component]
            if not math.isnan(score):
                sure += weights[component] * confidence
                towards += weights[component] * confidence * score
                magnitude += weights[component] * confidence * abs(score)
        activity = row[ACTIVITY]
        lively = 0.0 if math.isnan(activity) else min(1.0, activity / LIVELY_ACTIVITY)
        table[i, LIVELINESS] = lively
        table[i, SCORE] = 0.0
        table[i, CONFIDENCE] = 0.0
        if magnitude > 0.0:
            # The mean of numbers within +-1 may come out one ulp beyond.
            table[i, SCORE] = lively * max(-1.0, min(1.0, towards / sure))
            table[i, CONFIDENCE] = min(1.0, lively * abs(towards) / magnitude * sure / every_weight)
    return table
