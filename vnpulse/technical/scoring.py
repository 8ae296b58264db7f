"""The technical score: three components, weighed by how sure each is.

Every number below is in the ``details`` of a result, so a score can be recomputed by hand. A
component is the mean of two parts ``a`` and ``b`` in [-1, 1], positive to buy.

trend
    a = tanh((close - sma) / (TREND_CLOSE_ATR * atr)),  b = tanh((ema - sma) / (TREND_EMA_ATR * atr))
momentum
    a = tanh(macd_hist / (MOMENTUM_HIST_ATR * atr)),  b = tanh(rsi_change / MOMENTUM_RSI_POINTS)
mean_reversion
    a = (RSI_OVERSOLD - rsi) / RSI_REACH below RSI_OVERSOLD, (RSI_OVERBOUGHT - rsi) / RSI_REACH above
    RSI_OVERBOUGHT, 0 between; b, with z = (close - middle) / (upper - middle), so -1 and +1 are the
    bands (%B 0 and 1): -(|z| - BAND_INSIDE) / (1 - BAND_INSIDE) in the direction of z, 0 while
    |z| < BAND_INSIDE; both cut off at -1 and +1

    score of a component       s = (a + b) / 2
    confidence, trend and momentum  c = |a + b| / (|a| + |b|): 1 if the parts agree, 0 if they cancel
    confidence, mean reversion      c = |a + b| / 2: silent until the price is at an extreme

Together, with the weights w and sums over the components that are ready:

    liveliness = min(1, activity / LIVELY_ACTIVITY)
    score      = liveliness * sum(w c s) / sum(w c)
    agreement  = |sum(w c s)| / sum(w c |s|)
    confidence = liveliness * agreement * sum(w c) / sum(w of all components, ready or not)

0 / 0 is 0 throughout: a flat or unready series scores 0 with confidence 0. Liveliness is 0 until
activity is ready. It keeps an illiquid symbol quiet: after many bars without a move one tick is
several average ranges, and would otherwise be the strongest signal of the day.

The scales are ours, set on one-minute bars of 48 liquid symbols (2024-10 to 2025-05) so that about
one bar in twenty scores beyond +-0.6. The indicators behind them: see ``vnpulse.indicators``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled_for, compiled_within

VERSION = "1"
"""Raise it whenever a formula or a constant here changes: results carry it."""

COMPONENTS = ("trend", "momentum", "mean_reversion")

TREND_CLOSE_ATR = 2.5
TREND_EMA_ATR = 1.25
MOMENTUM_HIST_ATR = 0.4
MOMENTUM_RSI_POINTS = 12.0
RSI_OVERSOLD = 30.0
RSI_OVERBOUGHT = 70.0
RSI_REACH = 20.0
BAND_INSIDE = 0.75
LIVELY_ACTIVITY = 0.3

# Columns of a score table.
SCORE, CONFIDENCE, LIVELINESS = range(3)
TREND, TREND_SURE, MOMENTUM, MOMENTUM_SURE, REVERSION, REVERSION_SURE = range(3, 9)
SCORE_COLUMNS = 9


@compiled_within
def trend_parts(close: float, sma: float, ema: float, atr: float) -> tuple[float, float]:
    """Return (a, b) of the trend, NaN if not ready."""
    if atr <= 0.0:
        return 0.0, 0.0
    return math.tanh((close - sma) / (TREND_CLOSE_ATR * atr)), math.tanh((ema - sma) / (TREND_EMA_ATR * atr))


@compiled_within
def momentum_parts(macd_hist: float, rsi_change: float, atr: float) -> tuple[float, float]:
    """Return (a, b) of the momentum, NaN if not ready."""
    if atr <= 0.0:
        return 0.0, 0.0
    return math.tanh(macd_hist / (MOMENTUM_HIST_ATR * atr)), math.tanh(rsi_change / MOMENTUM_RSI_POINTS)


@compiled_within
def reversion_parts(close: float, rsi: float, upper: float, middle: float) -> tuple[float, float]:
    """Return (a, b) of the mean reversion, NaN if not ready."""
    a = 0.0
    if rsi < RSI_OVERSOLD:
        a = min(1.0, (RSI_OVERSOLD - rsi) / RSI_REACH)
    elif rsi > RSI_OVERBOUGHT:
        a = max(-1.0, (RSI_OVERBOUGHT - rsi) / RSI_REACH)
    elif math.isnan(rsi):
        a = math.nan
    if upper <= middle:
        return a, 0.0
    z = (close - middle) / (upper - middle)
    b = 0.0
    if abs(z) > BAND_INSIDE:
        b = -math.copysign(min(1.0, (abs(z) - BAND_INSIDE) / (1.0 - BAND_INSIDE)), z)
    elif math.isnan(z):
        b = math.nan
    return a, b


@compiled_for(
    types.float64[:, ::1](
        *[types.Array(types.float64, 1, "A", readonly=True)] * 10,
        types.Array(types.float64, 1, "C"),
    )
)
def score_rows(
    close: NDArray[np.float64],
    sma: NDArray[np.float64],
    ema: NDArray[np.float64],
    macd_hist: NDArray[np.float64],
    rsi: NDArray[np.float64],
    rsi_change: NDArray[np.float64],
    bb_upper: NDArray[np.float64],
    bb_middle: NDArray[np.float64],
    atr: NDArray[np.float64],
    activity: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Score n rows; inputs float64 [n] with NaN where not ready, ``weights`` [3] as in COMPONENTS.

    Returns float64 [n, 9]: score, confidence, liveliness, then score and confidence of each
    component, both NaN for a component that is not ready.
    """
    table = np.empty((close.shape[0], SCORE_COLUMNS), np.float64)
    for i in range(close.shape[0]):
        every_weight = 0.0
        sure = 0.0
        towards = 0.0
        magnitude = 0.0
        for component in range(3):
            if component == 0:
                a, b = trend_parts(close[i], sma[i], ema[i], atr[i])
            elif component == 1:
                a, b = momentum_parts(macd_hist[i], rsi_change[i], atr[i])
            else:
                a, b = reversion_parts(close[i], rsi[i], bb_upper[i], bb_middle[i])
            score = 0.5 * (a + b)
            confidence = abs(score)
            if component < 2 and abs(a) + abs(b) > 0.0:
                confidence = abs(a + b) / (abs(a) + abs(b))
            table[i, TREND + 2 * component] = score
            table[i, TREND_SURE + 2 * component] = confidence
            every_weight += weights[component]
            if not math.isnan(score):
                sure += weights[component] * confidence
                towards += weights[component] * confidence * score
                magnitude += weights[component] * confidence * abs(score)
        lively = 0.0 if math.isnan(activity[i]) else min(1.0, activity[i] / LIVELY_ACTIVITY)
        table[i, LIVELINESS] = lively
        table[i, SCORE] = 0.0
        table[i, CONFIDENCE] = 0.0
        if magnitude > 0.0:
            # The mean of numbers within +-1 may come out one ulp beyond.
            table[i, SCORE] = lively * max(-1.0, min(1.0, towards / sure))
            table[i, CONFIDENCE] = min(1.0, lively * abs(towards) / magnitude * sure / every_weight)
    return table
