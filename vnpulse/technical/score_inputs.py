"""The inputs of the score, gathered from the outputs of a set of indicators."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.catalogue import KINDS, IndicatorSet
from vnpulse.indicators.columns import CLOSE
from vnpulse.technical import scoring
from vnpulse.technical.engine import TechnicalEngine

# Outputs of MACD and of the Bollinger bands, counted from the first.
_HISTOGRAM = 2
_PERCENT_B, _BANDWIDTH = 3, 4


class ScoreInputs:
    """Where the score's inputs are among the outputs of a set of indicators."""

    def __init__(self, indicators: IndicatorSet) -> None:
        first: dict[str, int] = {}
        column = 0
        for spec in indicators.specs:
            first.setdefault(spec.kind, column)
            column += len(KINDS[spec.kind].names(*spec.parameters))
        self.atr = first["atr"]
        self.vwap = first["vwap"]
        self._rsi = first["rsi"]
        self._bandwidth = first["bb"] + _BANDWIDTH
        names = indicators.output_names
        self.extra_names = (
            f"{names[self._rsi]}_change_{scoring.RSI_CHANGE_BARS}",
            f"{names[self._bandwidth]}_change_{scoring.EXPANSION_BARS}",
        )
        plain = {
            scoring.SMA: first["sma"],
            scoring.EMA: first["ema"],
            scoring.ATR: first["atr"],
            scoring.MACD_HIST: first["macd"] + _HISTOGRAM,
            scoring.RSI: first["rsi"],
            scoring.PERCENT_B: first["bb"] + _PERCENT_B,
            scoring.MFI: first["mfi"],
            scoring.VWAP: first["vwap"],
            scoring.VOLUME_Z: first["volume_z"],
            scoring.ACTIVITY: first["activity"],
        }
        self._inputs = list(plain)
        self._columns = list(plain.values())

    def gather(
        self, engine: TechnicalEngine, numbers: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the inputs of rows [n] as float64 [n, scoring.INPUTS]; LOCKED is left 0."""
        inputs = np.zeros((len(numbers), scoring.INPUTS))
        inputs[:, scoring.CLOSE] = engine.bars[numbers, CLOSE, slots]
        inputs[:, self._inputs] = engine.outputs[numbers[:, None], slots[:, None], self._columns]
        rsi = self._earlier(engine, numbers, slots, scoring.RSI_CHANGE_BARS, self._rsi)
        inputs[:, scoring.RSI_CHANGE] = inputs[:, scoring.RSI] - rsi
        narrow = self._earlier(engine, numbers, slots, scoring.EXPANSION_BARS, self._bandwidth)
        wide = engine.outputs[numbers, slots, self._bandwidth]
        # From no width at all, any width is as wide as can be; none is no change.
        with np.errstate(divide="ignore", invalid="ignore"):
            inputs[:, scoring.EXPANSION] = np.where((narrow == 0.0) & (wide == 0.0), 0.0, wide / narrow - 1.0)
        return inputs

    @staticmethod
    def _earlier(
        engine: TechnicalEngine, numbers: NDArray[np.int64], slots: NDArray[np.int64], bars: int, column: int
    ) -> NDArray[np.float64]:
        earlier = engine.outputs[numbers, np.maximum(slots - bars, 0), column]
        return np.where(slots >= bars, earlier, np.nan)
