"""The GPU's engine gives the numbers of the CPU's, bit for bit.

Without a GPU two things are shown: that its kernels and what moves data around them are right, in
numba's simulator, where they run as Python; and that they compile for one, without fused operations.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba import cuda

from tests.unit.technical.cuda_scenario import SETTINGS, Step, trace
from vnpulse.errors import SettingsError
from vnpulse.indicators import dispatch
from vnpulse.indicators.catalogue import IndicatorSet, parse
from vnpulse.market import load_market
from vnpulse.technical import cuda_kernels, layout
from vnpulse.technical.device import open_engine
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

ROOT = Path(__file__).parents[3]
SYMBOLS, MINUTES = 2, 250
AMPERE = (8, 0)


def _simulate(file: Path, symbols: int, minutes: int) -> subprocess.Popen[bytes]:
    """Begin to write what the engine makes of the scenario; see ``cuda_scenario``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.technical.cuda_scenario", file, str(symbols), str(minutes)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"},
    )


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Begins to simulate: it takes a core for a while that is there beside the one that compiles."""
    file = tmp_path_factory.mktemp("simulated") / "trace"
    process = _simulate(file, SYMBOLS, MINUTES)
    yield process, file
    process.kill()
    process.wait()


def _held(known: dict[str, Any], name: str) -> Any:
    """Return an array of a snapshot with zeros in the slots that hold no row of their series any more."""
    values = known[name].copy()
    rows = known["counts"][:, layout.SEEN] - known["counts"][:, layout.DROPPED]
    for number, held in enumerate(rows):
        if name == "bars":
            values[number, :, held:] = 0.0
        elif name in ("marks", "outputs"):
            values[number, held:] = 0
    return values


def _compare(made: Sequence[Step], expected: Sequence[Step], close: Sequence[str] = ()) -> None:
    """All is the same to the last bit; outputs named in ``close``, and what is kept for them, nearly."""
    indicators = IndicatorSet([parse(text) for text in SETTINGS.indicators])
    rough = {"outputs": np.isin(indicators.output_names, close)}
    starts = [*indicators.program[:, dispatch.STATE_AT], indicators.state_size]
    rough["_memory"] = np.zeros(indicators.state_size, np.bool_)
    for row, first in enumerate(indicators.program[:, dispatch.COLUMN]):
        rough["_memory"][starts[row] : starts[row + 1]] = indicators.output_names[first] in close
    for batch, (step, wanted) in enumerate(zip(made, expected, strict=True)):
        assert step[:2] == wanted[:2], f"batch {batch}"
        for name in wanted[2]:
            given, values = (_held(known, name) for known in (step[2], wanted[2]))
            assert given.shape == values.shape
            if name in rough:
                np.testing.assert_allclose(
                    given[..., rough[name]], values[..., rough[name]], rtol=1e-12, atol=1e-15
                )
                given, values = given[..., ~rough[name]], values[..., ~rough[name]]
            assert given.tobytes() == values.tobytes(), f"{name} after batch {batch}"


@pytest.mark.usefixtures("simulation")
def test_the_kernels_compile_for_a_gpu_without_fused_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    # Although it is told what to compile for, numba-cuda asks the driver when a kernel calls a function.
    monkeypatch.setattr(
        "numba.cuda.dispatcher.get_current_device", lambda: SimpleNamespace(compute_capability=AMPERE)
    )
    fused = {}
    for function, signature in zip(cuda_kernels.FUNCTIONS, cuda_kernels.SIGNATURES, strict=True):
        with cuda_kernels.unfused():
            text, _ = cuda.compile(function, signature, device=False, abi="numba", cc=AMPERE)
        assert ".target sm_80" in text
        fused[function.__name__] = len(re.findall(r"\bfma\.rn\.f64\b", text))
    # NVIDIA's logarithm is made of them, for realised volatility alone.
    assert fused == {"copy_series": 0, "store_bars": 0, "compute": 16}


def test_in_the_simulator_every_number_is_that_of_the_cpu(
    simulation: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, file = simulation
    assert process.wait(timeout=280) == 0
    made = pickle.loads(file.read_bytes())
    assert [len(status) for status, _, _ in made] == [463, 2, 2, 2, 2, 4, 2, 11, 1]
    # The first batch was more than there is room for: rows waited, and old ones were dropped.
    assert made[0][2]["counts"][:, layout.DROPPED].max() > 0
    _compare(made, trace(TechnicalEngine, SYMBOLS, MINUTES))


@pytest.mark.simulator
def test_in_the_simulator_days_of_many_symbols_are_those_of_the_cpu(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with _simulate(file, 48, 600) as process:
        assert process.wait() == 0
    _compare(pickle.loads(file.read_bytes()), trace(TechnicalEngine, 48, 600))


@pytest.mark.gpu
@pytest.mark.parametrize(("symbols", "minutes"), [(1, 250), (48, 680)])
def test_on_a_gpu_every_number_is_that_of_the_cpu(symbols: int, minutes: int) -> None:
    from vnpulse.technical.cuda_engine import CudaTechnicalEngine

    _compare(
        trace(CudaTechnicalEngine, symbols, minutes), trace(TechnicalEngine, symbols, minutes), ["rv_20"]
    )


@pytest.mark.parametrize(
    ("installed", "says"),
    [
        (True, r"CUDA cannot be used \(no driver here\); place the analyzer on a node with a GPU"),
        (False, r"numba-cuda is not installed \(pip install 'vnpulse\[gpu\]'\); place"),
    ],
)
def test_where_no_gpu_can_be_used_one_line_says_what_to_do(
    installed: bool, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "vnpulse.technical.device.importlib.util.find_spec", lambda name: object() if installed else None
    )
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda, "cuda_error", lambda: "\nno driver\nhere:\n")
    with pytest.raises(SettingsError, match=says) as caught:
        open_engine(TechnicalSettings(device="cuda"), load_market(), {})
    assert "\n" not in str(caught.value)


def test_the_device_is_no_part_of_what_the_numbers_mean(engine_of: Any) -> None:
    assert TechnicalSettings(device="cuda").digest() == TechnicalSettings().digest()
    assert TechnicalSettings(late_bars=9).digest() != TechnicalSettings().digest()
