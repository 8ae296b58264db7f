"""ControlStore on a real server."""

from __future__ import annotations

from tests.integration.trial import Trial
from vnpulse.store.control import ControlStore, Desired, PoolState

RUN, STORAGE = "supervisor/run", "supervisor/storage"


def test_of_a_new_deployment_nothing_is_wanted(trial: Trial) -> None:
    assert ControlStore(trial.database()).read(RUN) == Desired("", False, {}, ())


def test_the_latest_submission_owns_and_learns_whose_it_was(trial: Trial) -> None:
    control = ControlStore(trial.database())
    assert control.run(RUN, "first") == ""
    assert control.run(RUN, "second") == "first"
    assert control.read(RUN).owner == "second"
    assert control.read(STORAGE).owner == ""


def test_stop_is_for_all_until_one_runs_again(trial: Trial) -> None:
    control = ControlStore(trial.database())
    control.run(RUN, "a")
    control.run(STORAGE, "b")
    control.scale({"analysis": 2})
    control.stop()
    assert control.read(RUN).stopped
    control.run(STORAGE, "c")
    assert control.read(RUN).stopped
    assert not control.read(STORAGE).stopped


def test_one_can_be_stopped_by_itself(trial: Trial) -> None:
    control = ControlStore(trial.database())
    control.run(RUN, "a")
    control.run(STORAGE, "b")
    control.stop(STORAGE)
    assert not control.read(RUN).stopped
    assert control.read(STORAGE).stopped


def test_a_scale_stays_over_submissions_and_others_are_left_alone(trial: Trial) -> None:
    control = ControlStore(trial.database())
    control.scale({"analysis": 2, "technical": 3})
    control.scale({"analysis": 4})
    control.run(RUN, "a")
    assert control.read(RUN).scale == {"analysis": 4, "technical": 3}


def test_a_restart_is_wanted_until_it_was_set_off(trial: Trial) -> None:
    control = ControlStore(trial.database())
    control.restart(["b", "a"])
    control.restart(["b"])
    assert sorted(control.read(RUN).restart) == ["a", "b"]
    control.restarted(["a"])
    assert control.read(RUN).restart == ("b",)


def test_what_was_scaled_by_hand_can_be_given_back(trial: Trial) -> None:
    control = ControlStore(trial.database())
    control.unscale(["technical"])
    control.scale({"analysis": 2, "technical": 3})
    control.unscale(["technical", "news"])
    assert control.read(RUN).scale == {"analysis": 2}


def test_the_numbers_of_a_pool_are_kept_and_no_stop_touches_them(trial: Trial) -> None:
    control = ControlStore(trial.database())
    control.want("technical", 2)
    assert control.pool("technical") is None
    control.serve("technical", 1)
    control.stop()
    assert control.pool("technical") == (1, 2)
    assert control.pool("sentiment") is None
    control.serve("technical", 2)
    assert control.pool("technical") == PoolState(serving=2, wanted=2)
