"""The cluster on a network that others use: what crosses it cannot be read, and nobody joins uninvited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import STORAGE, UP_DEADLINE_S
from tests.cluster.desk import Desk
from tests.cluster.hosts import Host, run
from tests.cluster.keepers import SECRET, TELL_ALL
from tests.integration.trial import ROOT
from tests.integration.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

FOLDER = "/etc/vnpulse/tls"
ENVIRONMENT = {
    "RAY_USE_TLS": "1",
    "RAY_TLS_CA_CERT": f"{FOLDER}/ca.pem",
    "RAY_TLS_SERVER_CERT": f"{FOLDER}/node.pem",
    "RAY_TLS_SERVER_KEY": f"{FOLDER}/node.key",
}


def certify(folder: Path, hosts: dict[str, Host]) -> None:
    """Give each host a certificate with the commands of docs/cluster.md."""
    folder.mkdir()
    ca = ("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial")
    new = ("-newkey", "rsa:3072", "-nodes")
    run(
        "openssl", "req", "-x509", *new, "-days", "2", "-subj", "/CN=vnpulse-ca",
        "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem",
    )  # fmt: skip
    for host in hosts.values():
        mine = host.folder / "home" / "tls"
        mine.mkdir()
        request, names = folder / "node.csr", folder / "names"
        names.write_text(f"subjectAltName=IP:{host.address},IP:127.0.0.1,DNS:localhost")
        run(
            "openssl", "req", *new, "-subj", f"/CN={host.address}",
            "-keyout", f"{mine}/node.key", "-out", str(request),
        )  # fmt: skip
        run(
            "openssl", "x509", "-req", "-in", str(request), *ca, "-days", "2",
            "-out", f"{mine}/node.pem", "-extfile", str(names),
        )  # fmt: skip
        (mine / "ca.pem").write_text((folder / "ca.pem").read_text())
        host.shell(f"mkdir -p {FOLDER} && cp -p ~/tls/* {FOLDER}/ && chmod 600 {FOLDER}/node.key")
        with (host.folder / "home" / "vnpulse.env").open("a") as lines:
            lines.writelines(f"{name}={value}\n" for name, value in ENVIRONMENT.items())


def all_joined(desk: Desk, hosts: dict[str, Host]) -> bool:
    table = desk.ray("exec", desk.file, "ray list nodes --filter state=ALIVE", check=False).stdout.partition(
        "Table:"
    )[2]
    return all(host.address in table for host in hosts.values())


@pytest.fixture(scope="module")
def tls_desk(folder: Path, hosts: dict[str, Host]) -> Iterator[Desk]:
    """`ray up configs/cluster/on-premise-tls.yaml`, and every host has joined."""
    certify(folder / "certificates", hosts)
    hosts["head"].shell(f"rm -rf {STORAGE}")  # of the cluster before
    file = ROOT / "configs" / "cluster" / "on-premise-tls.yaml"
    desk = Desk(folder / "tls", hosts["head"], [hosts["spot"], hosts["gpu"]], file)
    desk.up()
    assert eventually(lambda: all_joined(desk, hosts), UP_DEADLINE_S)
    yield desk
    desk.ray("down", "--yes", desk.file)


def test_actors_talk_and_nobody_can_read_along(tls_desk: Desk, hosts: dict[str, Host]) -> None:
    said: list[str] = []
    overheard = hosts["gpu"].overhear(SECRET, lambda: said.append(tls_desk.python(TELL_ALL)))
    assert str(sorted((host.address, True) for host in hosts.values())) in said[0]
    assert not overheard


def test_the_token_without_a_certificate_is_not_enough(tls_desk: Desk, hosts: dict[str, Host]) -> None:
    assert hosts["gpu"].drives()
    assert not hosts["gpu"].drives("RAY_USE_TLS=0")
