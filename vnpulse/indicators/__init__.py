"""Technical indicators over arrays of bars, equal to TA-Lib's batch functions where it has them.

An indicator is a module:

========================== =====================================================================
``KIND``                   its name in configuration: ``rsi``
``PARAMETERS``             its parameters in order, each with default and range (``Parameter``)
``names(*p)``              the names of its outputs: ``("rsi_14",)``
``warm_up(*p)``            for each output, how many bars its first value needs; raises ValueError
                           for parameters that do not fit each other
``lookback(*p)``           how many bars before a row's own ``run`` reads from ``bars``
``state_size(*p)``         how many floats it keeps between runs
``run(...)``               computes rows, compiled
========================== =====================================================================

``run(bars, first, last, state, at, out, column, origin, *p)`` computes the rows ``first <= t <
last`` of one series, in order:

* ``bars`` float64 [6, n]: see ``vnpulse.indicators.columns``. Rows before ``first`` are the past:
  all of it, or at least ``lookback`` rows. Row 0 is the first bar of the series unless the past was cut.
* ``state`` float64, of which ``state[at : at + state_size]`` is this indicator's: zeros before the
  first bar, afterwards what it needs to know of the rows before ``first``. A copy of the floats is
  a copy of the indicator, which is how a bar that still forms is computed again from the state
  as of the bar before it.
* ``out`` float64 [outputs, m]: output ``k`` of row ``t`` goes to ``out[column + k, t - origin]``.
  A value that is not ready is NaN; outside of arrays it is None.

However rows are cut into runs, the values are the same, bit for bit.
"""
