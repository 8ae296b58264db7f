"""Mistakes in the configuration and addresses where nobody answers: one line, no traceback, an end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.integration.trial import Trial

MISTAKES = {
    "unknown key": ("kafka:\n  bootstrap_server: x\n", 2, "did you mean bootstrap_servers?"),
    "out of range": (
        "embedded: {}\nkafka:\n  consumer:\n    max_poll_records: 0\n",
        4,
        "kafka.consumer.max_poll_records: was 0",
    ),
    "wrong type": (
        "embedded: {}\nstore:\n  database: 5\n",
        3,
        "store.database: was 5",
    ),
    "not YAML": ("kafka:\n  bootstrap_servers: [x\n", None, "not valid YAML"),
    "no addresses": ("technical:\n  history_bars: 512\n", None, "kafka.bootstrap_servers"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_named_with_its_line(
    trial: Trial, tmp_path: Path, mistake: str
) -> None:
    content, line, message = MISTAKES[mistake]
    file = tmp_path / "wrong.yaml"
    file.write_text(content)
    done = trial.vnpulse("lag", config=file, env={"MONGODB_URI": ""})
    assert (done.returncode, done.stdout) == (2, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"{file}:{line}: " if line else f"{file}:")
    assert message in said


def test_a_configuration_that_is_not_there_is_named(trial: Trial, tmp_path: Path) -> None:
    done = trial.vnpulse("health", config=tmp_path / "nowhere.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"{tmp_path / 'nowhere.yaml'}: no such file\n",
    )


def test_an_embedded_stack_that_does_not_run_is_said(trial: Trial, tmp_path: Path) -> None:
    file = tmp_path / "embedded.yaml"
    file.write_text(yaml.safe_dump({"embedded": {"state_dir": str(tmp_path / "state")}}))
    done = trial.vnpulse("lag", config=file)
    assert done.stdout == ""
    assert done.returncode != 0
    (said,) = done.stderr.splitlines()
    assert "vnpulse up" in said


def elsewhere(trial: Trial, file: Path, **sections: dict[str, object]) -> Path:
    """Write the trial's settings with parts of some sections replaced."""
    document = yaml.safe_load(trial.config.read_text())
    for name, changes in sections.items():
        document[name] |= changes
    file.write_text(yaml.safe_dump(document))
    return file


COMMANDS = {
    "broker": ("topics", "diff"),
    "sending": ("trigger", "VCB"),
    "store": ("alerts", "list"),
    "everything": ("health",),
}


@pytest.fixture(scope="module")
def unanswered(
    make_trial: Callable[[], Trial], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, subprocess.CompletedProcess[str]]:
    """Commands that talk to addresses where nobody is; they mostly wait, so all at the same time."""
    trial = make_trial()
    file = elsewhere(
        trial,
        tmp_path_factory.mktemp("elsewhere") / "wrong.yaml",
        kafka={"bootstrap_servers": ["127.0.0.1:1"]},
        store={"uri": "mongodb://u:geheim@127.0.0.1:1"},
        ray={"dashboard_url": "http://127.0.0.1:1"},
    )
    with ThreadPoolExecutor(len(COMMANDS)) as pool:
        pending = {
            name: pool.submit(trial.vnpulse, *command, config=file, env={"MONGODB_URI": ""})
            for name, command in COMMANDS.items()
        }
        return {name: future.result() for name, future in pending.items()}


@pytest.mark.parametrize("command", ["broker", "sending"])
def test_a_broker_that_does_not_answer_is_one_line(
    unanswered: dict[str, subprocess.CompletedProcess[str]], command: str
) -> None:
    done = unanswered[command]
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    assert "127.0.0.1:1" in said
    assert "does not answer" in said


def test_a_store_that_does_not_answer_is_one_line_without_the_password(
    unanswered: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    done = unanswered["store"]
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    assert "the document store does not answer" in said
    assert "geheim" not in said


def test_health_with_everything_away_still_ends_and_lists_each_part(
    unanswered: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    done = unanswered["everything"]
    assert done.returncode == 1
    assert done.stdout.count("FAIL") == 7
    assert "Traceback" not in done.stderr
    assert "geheim" not in done.stdout


def test_pipelines_without_their_topics_say_how_to_make_them(trial: Trial) -> None:
    driver = trial.driver("storage")
    driver.start()
    assert driver.process.wait(60) == 2
    (said,) = driver.log().splitlines()
    assert said.startswith("topics are missing: ")
    assert said.endswith("run: vnpulse topics apply")


def test_pipelines_without_a_ray_cluster_say_where_they_looked(deployment: Trial) -> None:
    ray = {"address": "127.0.0.1:1", "namespace": deployment.name}
    document = yaml.safe_load(deployment.config.read_text()) | {"ray": ray}
    deployment.config.write_text(yaml.safe_dump(document))
    driver = deployment.driver("storage")
    driver.start()
    assert driver.process.wait(120) == 2
    said = driver.log().splitlines()[-1]
    assert "127.0.0.1:1" in said
    assert "Traceback" not in driver.log()
