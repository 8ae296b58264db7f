"""One running deployment for all tests that need one; each test uses symbols of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.trial import StackUnderTest, Trial


@pytest.fixture(scope="session")
def running(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """All pipelines in one driver, as `vnpulse up` runs them."""
    trial = Trial(stack, tmp_path_factory.mktemp("running"))
    trial.apply_topics()
    trial.run_pipelines("run")
    yield trial
    trial.close()
