"""A fake Ray for each test that wants one."""

from __future__ import annotations

import pytest

from tests.unit.actors.fake_ray import FakeRay


@pytest.fixture
def ray() -> FakeRay:
    return FakeRay()
