"""The way of a person with three machines: up, submit, look, lose a machine, take it down.

One cluster for all of them, and the tests in the order of that way.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cluster.conftest import CANARY
from tests.cluster.desk import DASHBOARD, Desk, Running, reachable
from tests.cluster.hosts import Host
from tests.cluster.keepers import SECRET, TELL_ALL
from tests.cluster.metrics import ONLY_IN_TROUBLE, asked_of_ray, scrape
from tests.integration.decisions import expected_alerts
from tests.integration.market import article, bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, distinct_ids, stored
from tests.integration.trial import ROOT, Trial
from tests.integration.waiting import eventually
from vnpulse.cli.status import STALE_S
from vnpulse.messages import Alert, NewsItem, PriceBar
from vnpulse.store.alerts import AlertStore
from vnpulse.store.status import StatusStore
from vnpulse.topics import ALERTS, NEWS, PRICES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

JOB, NEXT_JOB, FOLLOWING_JOB = "trial", "next", "following"
SYMBOLS = [f"CL{i}" for i in range(12)]
BEFORE, WORKER_LOST, UPGRADED = range(20), range(20, 50), range(50, 90)
CUT_SHORT, CUT_LONG, HEAD_LOST = range(90, 110), range(110, 150), range(150, 180)
SUPERVISOR_CUT_OFF = range(180, 220)
"""The minutes of the market that are published in each part of the way."""

RECOVERY_DEADLINE_S = 500.0
MOMENT_S = 4.0
DESPAIR_S = 60.0
"""A supervisor gives up who has not answered three probes of ten seconds."""


def bars(minutes: Iterable[int]) -> list[PriceBar]:
    return [bar(symbol, number) for number in minutes for symbol in SYMBOLS]


def halves(minutes: range) -> tuple[list[PriceBar], list[PriceBar]]:
    middle = len(minutes) // 2
    return bars(minutes[:middle]), bars(minutes[middle:])


def rows(trial: Trial) -> dict[str, dict[str, Any]]:
    """Return what ``vnpulse status --json`` says, by actor."""
    return {row["actor"]: row for row in json.loads(trial.vnpulse("status", "--json").stdout)}


def all_run(trial: Trial) -> bool:
    """Say whether the supervisor has just seen every actor running."""
    found, now_s = StatusStore(trial.database()).read(), time.time()
    return bool(found) and all(
        row["status"] == "running" and now_s - row["updated_s"] < STALE_S for row in found
    )


def all_are_off(host: Host, before: dict[str, Running], desk: Desk, trial: Trial) -> bool:
    """Say whether all that ran ``before`` runs, and nothing of it on ``host``.

    Where the supervisor was there the last that it wrote may still look new.
    """
    now = desk.actors()
    return (
        host.address not in {r.node for r in now.values()} and before.keys() <= now.keys() and all_run(trial)
    )


def versions(trial: Trial) -> set[str]:
    return {row.get("version", "") for row in StatusStore(trial.database()).read()}


@pytest.fixture(scope="module")
def job(desk: Desk, trial: Trial, placed: Path) -> str:
    """The pipelines, submitted as a job from the desk; every actor runs."""
    desk.submit(JOB, ROOT, placed)
    if not eventually(lambda: all_run(trial), RECOVERY_DEADLINE_S):
        pytest.fail(f"{StatusStore(trial.database()).read()}\n{desk.job_log(JOB)}")
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
    """Consumers on every node, analyzers where the GPU is; aggregation spread too, but over what its label
    leaves."""
    where = {name: running.node for name, running in desk.actors().items()}
    assert nodes_of("storage/", where, "stock_prices_raw") == {host.address for host in hosts.values()}
    assert nodes_of("technical/", where) == nodes_of("sentiment/", where) == {hosts["gpu"].address}
    assert nodes_of("aggregation/", where) == {hosts["head"].address, hosts["gpu"].address}
    assert hosts["head"].address not in nodes_of("supervisor/", where)


def nodes_of(kind: str, where: dict[str, str], topic: str = "") -> set[str]:
    found = {address for name, address in where.items() if name.startswith(kind) and topic in name}
    assert found
    return found


def test_people_see_and_change_what_runs(job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]) -> None:
    found = rows(trial)
    assert found.keys() == desk.actors().keys()
    assert found["technical/0"]["gpus"] == ["0"]
    assert found["technical/0"]["node"] == hosts["gpu"].address
    table = trial.vnpulse("status")
    assert table.returncode == 0, table.stdout
    assert all(name in table.stdout for name in found)

    readers = [name for name in found if name.startswith("analysis/")]
    assert trial.vnpulse("scale", "analysis=3").returncode == 0
    assert eventually(lambda: sum(n.startswith("analysis/") for n in rows(trial)) == len(readers) + 1)
    assert eventually(lambda: all_run(trial))


def test_what_actors_measure_is_on_the_endpoints_of_their_nodes(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    trial.publish(PRICES, [*keyed(bars(BEFORE)), (SYMBOLS[0], b"no bar")])
    assert_nothing_lost(trial, bars(BEFORE))
    endpoints = desk.endpoints()
    assert {host.address for host in hosts.values()} <= {e.rpartition(":")[0] for e in endpoints}
    wanted = asked_of_ray() - ONLY_IN_TROUBLE

    def missing() -> set[str]:
        return wanted - {sample.name for sample in scrape(endpoints)}

    assert eventually(lambda: not missing()), missing()
    consumers = {name for name, row in rows(trial).items() if row["partitions"]}
    assert eventually(lambda: consumers <= {sample.labels["actor"] for sample in scrape(endpoints)})


def test_a_machine_that_dies_costs_nothing(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    before = desk.actors()
    first, second = halves(WORKER_LOST)
    trial.publish(PRICES, keyed(first))
    hosts["spot"].kill()
    trial.publish(PRICES, keyed(second))
    assert eventually(lambda: all_are_off(hosts["spot"], before, desk, trial), RECOVERY_DEADLINE_S)
    assert_nothing_lost(trial, bars(WORKER_LOST))


def assert_nothing_lost(trial: Trial, sent: list[PriceBar]) -> None:
    await_results(trial, sent)
    assert trial.drained()
    for symbol in SYMBOLS:
        mine = [b for b in sent if b.symbol == symbol]
        found, ids = stored(trial, symbol), distinct_ids(trial, symbol)
        assert {time: found[time] for time in as_stored(mine)} == as_stored(mine)
        assert [len(ids[b.time]) for b in mine] == [1] * len(mine)


def test_a_machine_that_comes_back_is_taken_in_again(desk: Desk, hosts: dict[str, Host]) -> None:
    hosts["spot"].boot({host.name: host.address for host in hosts.values()})
    assert eventually(lambda: hosts["spot"].address in desk.nodes(), RECOVERY_DEADLINE_S)


@pytest.fixture(scope="module")
def newer(folder: Path) -> Path:
    """A checkout of the next version."""
    newer = folder / "newer"
    for name in ("vnpulse", "actors", "pipelines", "configs"):
        shutil.copytree(ROOT / name, newer / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (newer / "configs" / "rules.yaml").open("a") as rules:
        rules.write("# The next version.\n")
    return newer


def test_a_new_version_takes_over_one_actor_after_the_other(
    job: str, desk: Desk, trial: Trial, placed: Path, newer: Path
) -> None:
    """While it does, the market goes on."""
    before, everybody = versions(trial), desk.actors().keys()
    desk.submit(NEXT_JOB, newer, placed)

    def upgraded() -> bool:
        return before.isdisjoint(versions(trial)) and all_run(trial)

    away: list[set[str]] = []
    minutes = iter(UPGRADED)

    def step() -> bool:
        if (number := next(minutes, None)) is not None:
            trial.publish(PRICES, keyed(bars([number])))
        away.append({name for name in everybody - desk.actors().keys() if not name.startswith("supervisor/")})
        return upgraded()

    assert eventually(step, RECOVERY_DEADLINE_S), f"{versions(trial)}\n{desk.job_log(NEXT_JOB)}"
    assert max(len(names) for names in away) <= 1, away
    assert len(set().union(*away)) > 1, "the actors were seen on their way"
    trial.publish(PRICES, keyed(bars(minutes)))
    assert_nothing_lost(trial, bars(UPGRADED))
    assert eventually(lambda: desk.job_status(job) == "SUCCEEDED")
    assert "another driver has taken over" in desk.job_log(job)
    assert "kernels are compiled on 3 of 3 nodes" in desk.job_log(NEXT_JOB)
    assert desk.job_status(NEXT_JOB) == "RUNNING"


def test_a_machine_that_is_cut_off_for_a_moment_is_waited_for(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    nodes, before = desk.nodes(), desk.actors()
    first, second = halves(CUT_SHORT)
    with unplugged(hosts["spot"]):
        trial.publish(PRICES, keyed(first))
        time.sleep(MOMENT_S)  # is the fault itself: Ray gives a node up after three times as long
    trial.publish(PRICES, keyed(second))
    assert_nothing_lost(trial, bars(CUT_SHORT))
    assert desk.actors() == before
    assert {row["node_id"] for row in desk.nodes().values()} == {row["node_id"] for row in nodes.values()}


def test_a_machine_that_is_cut_off_for_long_is_replaced_and_disturbs_nobody_when_it_returns(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    """Its actors live on, and so do others in their places: docs/cluster.md."""
    spot = hosts["spot"]
    before = desk.actors()
    zombies = {r.pid for r in before.values() if r.node == spot.address}
    assert zombies
    first, rest = halves(CUT_LONG)
    second, third = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    with unplugged(spot):
        trial.publish(PRICES, keyed(first))
        trial.publish(NEWS, keyed([scandal(symbol) for symbol in SYMBOLS[::2]]))
        assert eventually(lambda: all_are_off(spot, before, desk, trial), RECOVERY_DEADLINE_S)
        trial.publish(NEWS, keyed([scandal(symbol) for symbol in SYMBOLS[1::2]]))
        trial.publish(PRICES, keyed(second))
        assert_nothing_lost(trial, first + second)
        assert zombies <= spot.processes()
    trial.publish(PRICES, keyed(third))
    assert eventually(lambda: not zombies & spot.processes(), RECOVERY_DEADLINE_S)
    assert eventually(lambda: spot.address in desk.nodes(), RECOVERY_DEADLINE_S)
    assert_nothing_lost(trial, bars(CUT_LONG))
    assert_alerts_as_undisturbed(trial)


@contextmanager
def unplugged(host: Host) -> Iterator[None]:
    host.unplug()
    try:
        yield
    finally:
        host.plug_in()


def scandal(symbol: str) -> NewsItem:
    title = f"{symbol}: lãnh đạo bị khởi tố, bắt tạm giam vì thao túng giá cổ phiếu"
    return article(f"scandal-{symbol}", symbol, title)


def assert_alerts_as_undisturbed(trial: Trial) -> None:
    """Those that one process would have given for the same log, each once in the topic and in the store."""
    assert trial.drained()
    given = [msgspec.json.decode(r.value, type=Alert).alert_id for r in trial.records(ALERTS) if r.value]
    expected = expected_alerts(trial.settings, {r.result_id: r for r in trial.results()}.values())
    assert {alert.symbol for alert in expected.values()} == set(SYMBOLS)
    assert sorted(given) == sorted(expected)
    assert {a.alert_id for a in AlertStore(trial.database()).recent(0, 10_000)} == expected.keys()


def test_the_head_dies_and_the_workers_work_on(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host], placed: Path, newer: Path
) -> None:
    """Its storage outlives it: docs/cluster.md."""
    head, before = hosts["head"], desk.actors()
    first, second = halves(HEAD_LOST)
    desk.close()
    head.kill()
    trial.publish(PRICES, keyed(first))
    assert eventually(lambda: any(as_stored([b]).items() <= stored(trial, b.symbol).items() for b in first))
    head.boot({host.name: host.address for host in hosts.values()})
    desk.up()
    desk.open_dashboard()
    assert eventually(lambda: len(desk.nodes()) == len(hosts) and all_run(trial), RECOVERY_DEADLINE_S)
    assert eventually(lambda: before.keys() <= desk.actors().keys())
    after = desk.actors()
    assert [name for name, r in before.items() if r.node != head.address and after[name] != r] == []
    trial.publish(PRICES, keyed(second))
    assert_nothing_lost(trial, bars(HEAD_LOST))

    desk.submit(FOLLOWING_JOB, newer, placed)
    assert eventually(lambda: "runs this version already" in desk.job_log(FOLLOWING_JOB))
    # Ray looks after jobs again when one is submitted or a log is asked for, and not before.
    assert eventually(lambda: desk.job_status(NEXT_JOB) == "FAILED")


def test_a_supervisor_that_is_cut_off_is_replaced_and_kills_nobody_when_it_returns(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    """Cut off, it takes all others for dead."""
    before = desk.actors()
    supervisor = next(r for name, r in before.items() if name.startswith("supervisor/"))
    host = next(host for host in hosts.values() if host.address == supervisor.node)
    first, rest = halves(SUPERVISOR_CUT_OFF)
    second, third = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    with unplugged(host):
        trial.publish(PRICES, keyed(first))
        assert eventually(lambda: all_are_off(host, before, desk, trial), RECOVERY_DEADLINE_S)
        others = {name: r for name, r in desk.actors().items() if before.get(name) == r}
        assert others
        trial.publish(PRICES, keyed(second))
        assert_nothing_lost(trial, first + second)
        time.sleep(DESPAIR_S)  # is the fault itself
        zombies = {r.pid for r in before.values() if r.node == host.address}
        assert zombies <= host.processes()
    trial.publish(PRICES, keyed(third))
    assert eventually(lambda: not zombies & host.processes(), RECOVERY_DEADLINE_S)
    assert eventually(lambda: host.address in desk.nodes(), RECOVERY_DEADLINE_S)
    assert_nothing_lost(trial, bars(SUPERVISOR_CUT_OFF))
    assert {name: r for name, r in desk.actors().items() if name in others} == others


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
    shown += desk.ray("job", "list", "--address", DASHBOARD).stdout
    shown += desk.job_log(NEXT_JOB) + desk.job_log(FOLLOWING_JOB)
    assert FOLLOWING_JOB in shown
    assert CANARY not in shown


def test_the_job_stops_in_order_and_the_cluster_goes_down(
    job: str, desk: Desk, trial: Trial, hosts: dict[str, Host]
) -> None:
    desk.ray("job", "stop", "--address", DASHBOARD, FOLLOWING_JOB)
    assert eventually(lambda: not StatusStore(trial.database()).read())
    assert trial.lag() == 0
    desk.close()
    desk.ray("down", "--yes", desk.file)
    for host in hosts.values():
        if host is not hosts["head"]:
            # By themselves they leave when the time is up that they wait for their head.
            host.shell("ray stop")
        processes = "ps -eo args | grep -c '[r]aylet/raylet'"
        assert eventually(lambda p=processes, h=host: h.shell(p, check=False).stdout == "0\n")
