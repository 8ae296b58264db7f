"""The rows of a ``bars`` array: float64 [6, n], a bar a column, so that each quantity lies side by side."""

OPEN, HIGH, LOW, CLOSE, VOLUME, TIME = range(6)
"""Prices in thousand VND, volume in shares, time in epoch milliseconds (exact in a float64)."""

BAR_ROWS = 6
