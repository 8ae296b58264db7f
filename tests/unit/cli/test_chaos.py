"""What can be asked of a storm."""

from __future__ import annotations

import pytest

from vnpulse.chaos.faults import OF_THE_STORE, Fault
from vnpulse.cli.chaos import fault_called, possible
from vnpulse.errors import UserError
from vnpulse.settings import Settings

OURS = Settings.model_validate({"embedded": {}})
NAMED = Settings.model_validate({"embedded": {}, "store": {"uri": "mongodb://elsewhere"}})


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_a_name(fault: Fault) -> None:
    assert fault_called(fault.value.replace(" ", "-").upper()) is fault


def test_an_unknown_one_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="was 'kill-cat', must be of kill-consumer, "):
        fault_called("kill-cat")


def test_all_are_possible_on_a_stack_of_our_own() -> None:
    assert possible([], OURS) == (list(Fault), {})
    assert possible([Fault.CUT_STORE], OURS) == ([Fault.CUT_STORE], {})


def test_a_store_that_is_not_ours_is_left_alone_and_that_is_said() -> None:
    faults, not_run = possible([], NAMED)
    assert set(faults) == set(Fault) - OF_THE_STORE
    assert not_run.keys() == {fault.value for fault in OF_THE_STORE}
    with pytest.raises(UserError, match="--only: kill-store: the store is not ours"):
        possible([Fault.KILL_BROKER, Fault.KILL_STORE], NAMED)
