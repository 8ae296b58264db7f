"""Which indicators there are, how configuration and the command line name them, and sets of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import dispatch
from vnpulse.indicators.parameter import Parameter


class Indicator(Protocol):
    """An indicator's module, as the package's docstring describes it."""

    KIND: str
    PARAMETERS: tuple[Parameter, ...]
    names: Callable[..., tuple[str, ...]]
    warm_up: Callable[..., tuple[int, ...]]
    lookback: Callable[..., int]
    state_size: Callable[..., int]


KINDS: dict[str, Indicator] = {module.KIND: cast(Indicator, module) for module in dispatch.MODULES}
"""Every indicator by its name in configuration, in the order of ``dispatch.MODULES``."""


SETTLED = 1e-9
"""When a recursive indicator counts as independent of where its series begins (relative)."""


class Spec(NamedTuple):
    """One indicator with its parameters: ``Spec("macd", (12, 26, 9))``."""

    kind: str
    parameters: tuple[float, ...] = ()

    def __str__(self) -> str:
        return ":".join([self.kind, *(f"{value:g}" for value in self.parameters)])


def parse(text: str) -> Spec:
    """Read ``kind`` or ``kind:parameter:...``, as in ``macd:12:26:9``; what is left out has its default.

    Raises ValueError that says what was wrong and what is allowed.
    """
    kind, *given = text.strip().split(":")
    indicator = KINDS.get(kind)
    if indicator is None:
        raise ValueError(f"indicator {kind!r} is not known; there are {', '.join(KINDS)}")
    parameters = indicator.PARAMETERS
    form = ":".join([kind, *(parameter.name.upper() for parameter in parameters)])
    if len(given) > len(parameters):
        raise ValueError(f"indicator {text!r} has too many parameters; the form is {form}")
    values: list[float] = []
    for position, parameter in enumerate(parameters):
        if position >= len(given):
            values.append(_number(parameter, parameter.default))
            continue
        try:
            value = _number(parameter, given[position])
        except ValueError:
            wanted = "a whole number" if parameter.whole else "a number"
            raise ValueError(
                f"indicator {text!r}: {parameter.name} was {given[position]!r}, must be {wanted}"
            ) from None
        if not parameter.low <= value <= parameter.high:
            raise ValueError(
                f"indicator {text!r}: {parameter.name} was {value:g},"
                f" must be from {parameter.low:g} to {parameter.high:g}"
            )
        values.append(value)
    try:
        indicator.warm_up(*values)
    except ValueError as error:
        raise ValueError(f"indicator {text!r}: {error}") from None
    return Spec(kind, tuple(values))


def _number(parameter: Parameter, value: str | float) -> float:
    return int(value) if parameter.whole else float(value)


def every_indicator() -> tuple[Spec, ...]:
    """Return each indicator once, with its default parameters."""
    return tuple(parse(kind) for kind in KINDS)


class IndicatorSet:
    """Indicators that are computed together: one column an output, one stretch of floats as state.

    ``output_names`` are those of all indicators, in their order; ``warm_up`` gives for each of
    them how many bars its first value needs; ``lookback`` is how many bars before its own a row
    reads; ``state_size`` floats, zeros at first, are the state of one series; after
    ``settled_bars`` the beginning of a series counts for less than SETTLED, except in what sums up
    from the first bar (OBV) or follows a path (parabolic SAR, Supertrend).
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        """Raises ValueError if two indicators have an output of the same name."""
        self.specs = tuple(specs)
        names: list[str] = []
        warm_up: list[int] = []
        program = np.zeros((len(self.specs), dispatch.PROGRAM_COLUMNS), np.int64)
        parameters = np.zeros((len(self.specs), dispatch.MOST_PARAMETERS))
        self.lookback = 0
        self.state_size = 0
        self.settled_bars = 0
        opcodes = {kind: opcode for opcode, kind in enumerate(KINDS)}
        for row, spec in enumerate(self.specs):
            indicator: Any = KINDS[spec.kind]
            program[row] = opcodes[spec.kind], self.state_size, len(names)
            parameters[row, : len(spec.parameters)] = spec.parameters
            names += indicator.names(*spec.parameters)
            warm_up += indicator.warm_up(*spec.parameters)
            self.lookback = max(self.lookback, indicator.lookback(*spec.parameters))
            size = indicator.state_size(*spec.parameters)
            self.state_size += size
            settled = max(indicator.warm_up(*spec.parameters))
            if size:
                # None forgets more slowly than Wilder's average over its longest period.
                periods = [2, *(int(p) for p in spec.parameters if p == int(p))]
                settled += math.ceil(math.log(SETTLED) / math.log(1 - 1 / max(periods)))
            self.settled_bars = max(self.settled_bars, settled)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two indicators have the output {repeated[0]}: name each only once")
        self.output_names = tuple(names)
        self.warm_up = dict(zip(names, warm_up, strict=True))
        self.program = program
        self.parameters = parameters

    def compute(self, bars: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs of a whole history, float64 [outputs, n], NaN where not ready.

        ``bars`` float64 [6, n] (``vnpulse.indicators.columns``), one series, ascending in time.
        """
        rows = bars.shape[1]
        out = np.empty((len(self.output_names), rows))
        state = np.zeros(self.state_size)
        dispatch.run_program(
            self.program, self.parameters, np.ascontiguousarray(bars), 0, rows, state, out, 0
        )
        return out
