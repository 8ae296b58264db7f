"""One running deployment for all tests that need one; each test uses symbols of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.trial import Trial


@pytest.fixture(scope="session")
def running(make_trial: Callable[[], Trial]) -> Trial:
    """All pipelines in one driver, as `vnpulse up` runs them."""
    trial = make_trial()
    trial.apply_topics()
    trial.run_pipelines("run")
    return trial
