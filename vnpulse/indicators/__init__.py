"""Technical indicators, one bar at a time, equal to TA-Lib's batch functions.

Two kinds, by what they remember:

* **recursive** (EMA, MACD, RSI, ATR): ``advance(state, at, ..., bar)`` updates the ``STATE_SIZE``
  floats ``state[at:]`` in place and returns the value after this bar. A state of zeros is "no bar
  seen". A copy of the floats is a copy of the indicator, which is how the bar that is still
  forming is computed again and again from the state as of the bar before it.
* **windowed** (SMA, Bollinger, activity): ``value(closes, slot, seen, ...)`` reads the last closes
  from a ring in which ``closes[slot]`` is the newest and ``seen`` counts the bars ever written.
  Nothing is summed over time, so nothing drifts.

A value that is not ready is NaN; outside of arrays it is None. ``warm_up(...)`` says how many bars
the first value needs, ``names(...)`` what the outputs are called.
"""
