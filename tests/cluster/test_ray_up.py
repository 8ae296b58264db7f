"""The way of a person with three machines: up, submit, look, lose a machine, take it down.

One cluster for all of them, and the tests in the order of that way.
"""

from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest

from tests.cluster.conftest import CANARY
from tests.cluster.desk import DASHBOARD, Desk, reachable
from tests.cluster.hosts import Host
from tests.cluster.keepers import SECRET, TELL_ALL
from tests.integration.market import bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, distinct_ids, stored
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.messages import PriceBar
from vnpulse.store.status import StatusStore
from vnpulse.topics import PRICES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

JOB = "trial"
MINUTES = 120
SYMBOLS = [f"CL{i}" for i in range(12)]
RECOVERY_DEADLINE_S = 180.0


def bars(first: int, last: int) -> list[PriceBar]:
    return [bar(symbol, number) for number in range(first, last) for symbol in SYMBOLS]


def all_run(trial: Trial) -> bool:
    rows = StatusStore(trial.database()).read()
    return bool(rows) and all(row["status"] == "running" for row in rows)


@pytest.fixture(scope="module")
def job(desk: Desk, trial: Trial, placed: Path) -> str:
    """The pipelines, submitted as a job from the desk; every actor runs."""
    desk.ray("rsync-up", desk.file, placed, "~/placed.yaml")
    desk.ray(
        "job", "submit", "--address", DASHBOARD, "--submission-id", JOB, "--no-wait", "--working-dir", ".",
        "--", "python", "-m", "pipelines.run", "--config", "/run/home/placed.yaml",
    )  # fmt: skip
    if not eventually(lambda: all_run(trial), RECOVERY_DEADLINE_S):
        log = desk.ray("job", "logs", "--address", DASHBOARD, JOB, check=False).stdout
        pytest.fail(f"{StatusStore(trial.database()).read()}\n{log}")
    return JOB


def test_every_host_is_a_node_with_its_labels(desk: Desk, hosts: dict[str, Host]) -> None:
    nodes = desk.nodes()
    assert nodes[hosts["head"].address]["is_head_node"]
    assert nodes[hosts["spot"].address]["labels"]["ray.io/market-type"] == "spot"
    assert nodes[hosts["gpu"].address]["resources_total"]["GPU"] == 1


def test_commands_run_on_the_head(desk: Desk) -> None:
    assert "\nhead\n" in desk.ray("exec", desk.file, "hostname").stdout
    assert desk.ray("exec", desk.file, "false", check=False).returncode != 0


def test_a_stranger_gets_nothing(desk: Desk, hosts: dict[str, Host]) -> None:
    """Neither the dashboard, nor a job, nor code on a node without the token."""
    assert not reachable(hosts["head"].address, 8265)
    with pytest.raises(urllib.error.HTTPError) as refused:
        desk.get("/api/v0/nodes", token=False)
    refused.value.close()
    assert refused.value.code == 401
    job = desk.ray("job", "submit", "--address", DASHBOARD, "--", "id", token=False, check=False)
    assert job.returncode != 0
    assert "uid=" not in job.stdout
    assert hosts["gpu"].drives()
    assert not hosts["gpu"].drives("RAY_AUTH_MODE=disabled")
    assert not hosts["gpu"].drives("RAY_AUTH_TOKEN=wrong")
    client_port = f"ray://{hosts['head'].address}:10001"
    assert hosts["gpu"].drives(address=client_port)
    assert not hosts["gpu"].drives("RAY_AUTH_MODE=disabled", client_port)


def test_without_tls_what_actors_are_told_can_be_read_on_the_line(desk: Desk, hosts: dict[str, Host]) -> None:
    """docs/cluster.md says so; and it shows that test_tls.py would notice."""
    assert hosts["gpu"].overhear(SECRET, lambda: desk.python(TELL_ALL))


def test_actors_are_where_the_settings_want_them(job: str, desk: Desk, hosts: dict[str, Host]) -> None:
    where = desk.actors()
    prices = {address for name, address in where.items() if "stock_prices_raw" in name}
    assert prices == {host.address for host in hosts.values()}
    assert where["sentiment/0"] == hosts["gpu"].address
    steady = [a for name, a in where.items() if name.startswith(("aggregation/", "supervisor/"))]
    assert len(steady) == 3
    assert hosts["spot"].address not in steady


def test_a_machine_that_dies_costs_nothing(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    trial.publish(PRICES, keyed(bars(0, MINUTES // 2)))
    hosts["spot"].kill()
    lost = hosts["spot"].address
    trial.publish(PRICES, keyed(bars(MINUTES // 2, MINUTES)))
    assert eventually(lambda: lost not in desk.actors().values() and all_run(trial), RECOVERY_DEADLINE_S)
    assert_nothing_lost(trial, bars(0, MINUTES))


def assert_nothing_lost(trial: Trial, sent: list[PriceBar]) -> None:
    await_results(trial, sent)
    assert trial.drained()
    for symbol in SYMBOLS:
        mine = [b for b in sent if b.symbol == symbol]
        assert stored(trial, symbol) == as_stored(mine)
        ids = distinct_ids(trial, symbol)
        assert ids.keys() == {b.time for b in mine}
        assert {len(of_bar) for of_bar in ids.values()} == {1}


def test_a_machine_that_comes_back_is_taken_in_again(desk: Desk, hosts: dict[str, Host]) -> None:
    hosts["spot"].boot({host.name: host.address for host in hosts.values()})
    assert eventually(lambda: hosts["spot"].address in desk.nodes(), RECOVERY_DEADLINE_S)


SEARCHES = {
    "the arguments of any process": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    "Ray's logs and other files": "cat $(find /tmp/ray -type f)",
}


@pytest.mark.parametrize("place", SEARCHES)
def test_secrets_are_not_in(place: str, job: str, hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        # Not in the arguments of the search itself.
        (host.folder / "home" / "canary").write_text(f"{CANARY}\n")
        search = "grep --text --count --file ~/canary"
        assert host.shell(f"{search} ~/vnpulse.env").stdout != "0\n"
        assert host.shell(f"{SEARCHES[place]} | {search}", check=False).stdout == "0\n"


def test_secrets_are_not_shown_with_the_job(job: str, desk: Desk) -> None:
    shown = str(desk.get("/api/jobs/")) + str(desk.get("/api/v0/actors?detail=true"))
    shown += desk.ray("job", "logs", "--address", DASHBOARD, job).stdout
    assert job in shown
    assert CANARY not in shown


def test_the_job_stops_in_order_and_the_cluster_goes_down(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    desk.ray("job", "stop", "--address", DASHBOARD, job)
    assert eventually(lambda: not StatusStore(trial.database()).read())
    assert trial.lag() == 0
    desk.close()
    desk.ray("down", "--yes", desk.file)
    for host in hosts.values():
        processes = "ps -eo args | grep -c '[r]aylet/raylet'"
        assert eventually(lambda p=processes, h=host: h.shell(p, check=False).stdout == "0\n", 120)
