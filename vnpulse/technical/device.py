"""On which device indicators are computed, as ``technical.device`` says."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Mapping

from vnpulse.errors import SettingsError
from vnpulse.market import Exchange, MarketRules
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings


def open_engine(
    settings: TechnicalSettings, market: MarketRules, exchange_of: Mapping[str, Exchange]
) -> TechnicalEngine:
    """Return an engine on the device of the settings; see ``TechnicalEngine`` for the arguments.

    Raises SettingsError if that is a GPU and this process has none, or not what it needs to use it.
    """
    if settings.device == "cpu":
        return TechnicalEngine(settings, market, exchange_of)
    problem = gpu_problem()
    if problem:
        raise SettingsError(
            f"technical.device was cuda, but on {socket.gethostname()} {problem}; place the analyzer on a"
            " node with a GPU (placement.technical.num_gpus above 0), or set technical.device: cpu"
        )
    # Imported here: it needs what gpu_problem looks for.
    from vnpulse.technical.cuda_engine import CudaTechnicalEngine

    return CudaTechnicalEngine(settings, market, exchange_of)


def gpu_problem() -> str:
    """Return why this process cannot compute on a GPU, "" if it can."""
    # The package named numba.cuda that numba itself brings is an old one, without what we use.
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed (pip install 'vnpulse[gpu]')"
    from numba import cuda

    if cuda.is_available():
        return ""
    error = cuda.cuda_error()
    reason = " ".join(str(error).split()) if error else "no GPU is visible to this process"
    return f"CUDA cannot be used ({reason.rstrip('.:')})"
