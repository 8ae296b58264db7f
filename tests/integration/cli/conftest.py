"""The command on a deployment without pipelines, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.trial import Trial


@pytest.fixture(scope="module")
def quiet(make_trial: Callable[[], Trial]) -> Trial:
    """Topics and nothing that runs."""
    trial = make_trial()
    trial.apply_topics()
    return trial
