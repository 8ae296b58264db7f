"""Machines that are not there: each a network, process, mount and host name space of its own, with an sshd.

Everything lives inside the name spaces of the test's own process (see the Makefile), so that all of it
ends with the test however that ends: processes with the process name space, interfaces with the
network, files with the mounts.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.waiting import eventually

DESK_ADDRESS = "10.77.0.1"
"""Of the machine that the test itself runs on: where people type ``ray up``, and Kafka and the store are."""

NETWORK = "10.77.0"
BRIDGE = "br-desk"
SHARED_MEMORY_MB = 200
"""Ray takes its object store's size from this: small, for three of them share one machine."""

HOME = "/run/home"
"""Of root on a host: the real one may hold the Python that everything runs with."""

ALL_PROTOCOLS = 3  # ETH_P_ALL
LISTEN_S = 0.2
DRIVER_DEADLINE_S = 45

UNSHARE = ("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
SSH = ("ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")

BOOT = """
set -e
echo here; read -r go
hostname {name}
mount -t tmpfs -o size={shm}m tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir /run/sshd {home}
cp {folder}/host_key /run/host_key
chmod 600 /run/host_key
mount -t overlay -o lowerdir=/etc,upperdir={folder}/etc,workdir={folder}/work overlay /etc
mount --bind {folder}/home {home}
mount --bind {folder}/tmp /tmp
cd /
# sshd is the name space's first process: it reaps what others leave behind.
exec /usr/sbin/sshd -D -e -f /dev/null -p 22 -o HostKey=/run/host_key -o PasswordAuthentication=no \
  -o UsePAM=no -o StrictModes=no -o PidFile=none -o MaxStartups=100 -o MaxSessions=100
"""


def run(*command: str) -> str:
    """Run a command and return its output; its error output is in the exception."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def make_network(folder: Path) -> Path:
    """Make the bridge with this machine on it; return the private key that opens every host."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{DESK_ADDRESS}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    key = folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    return key


@dataclass
class Host:
    """One machine. ``environment`` is what its administrator put into ~/vnpulse.env."""

    name: str
    number: int
    folder: Path
    key: Path
    environment: Mapping[str, str]
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        """Its address on the network of all hosts."""
        return f"{NETWORK}.{self.number}"

    def boot(self, names: Mapping[str, str]) -> None:
        """Start the machine; return when its sshd answers. ``names`` are all hosts' addresses."""
        self._lay_out(names)
        script = BOOT.format(name=self.name, folder=self.folder, home=HOME, shm=SHARED_MEMORY_MB)
        with (self.folder / "sshd.log").open("a") as log:
            self._process = subprocess.Popen(
                [*UNSHARE, "sh", "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "here\n"
        pid = str(self._process.pid)
        link = f"to-{self.name}"
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "link", "set", link, "up")
        self.plug_in()
        inside = ("nsenter", "--target", pid, "--net", "ip")
        run(*inside, "address", "add", f"{self.address}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        assert eventually(lambda: self.shell("true", check=False).returncode == 0), "sshd does not answer"

    def kill(self) -> None:
        """Pull the plug: every process of the machine ends at once, and its network with it. Idempotent."""
        if self._process is None:
            return
        self._process.kill()
        with self._process:  # waits, and closes the pipes
            self._process = None
        # The far end goes with the name space, and this one with it, only sometimes minutes later.
        link = f"to-{self.name}"
        with suppress(RuntimeError):  # it has gone meanwhile
            run("ip", "link", "delete", link)
        assert link not in {name for _, name in socket.if_nameindex()}

    def unplug(self) -> None:
        """Cut the machine's network: what it sends and is sent goes nowhere, and nobody is told."""
        run("ip", "link", "set", f"to-{self.name}", "nomaster")

    def plug_in(self) -> None:
        """Join its network to that of all hosts, again if need be."""
        run("ip", "link", "set", f"to-{self.name}", "master", BRIDGE)

    def processes(self) -> set[int]:
        """Return the ids, as the machine itself counts, of what runs on it; needs no network."""
        assert self._process is not None
        space = os.readlink(f"/proc/{self._process.pid}/ns/pid_for_children")
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                status = (folder / "status").read_text()
                if os.readlink(folder / "ns" / "pid") == space and "State:\tZ" not in status:
                    found.add(int(re.findall(r"(?m)^NSpid:.*\s(\d+)$", status)[0]))
        return found

    def shell(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine by ssh, as its user would; not for tests of ``ray`` itself."""
        return subprocess.run(
            [*SSH, "-i", str(self.key), f"root@{self.address}", command],
            capture_output=True,
            text=True,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def drives(self, environment: str = "", address: str = "auto") -> bool:
        """Say whether a driver on this host, in a changed ``environment``, can have the cluster work."""
        code = f"import ray; ray.init('{address}'); print(ray.get(ray.remote(lambda: 'in').remote()))"
        # Without what it needs it would go on trying for minutes.
        command = f'{environment} timeout {DRIVER_DEADLINE_S} python -c "{code}"'
        return "in\n" in self.shell(command, check=False).stdout

    def overhear(self, what: bytes, meanwhile: Callable[[], object]) -> bool:
        """Do something, and say whether ``what`` was to be read on this host's line meanwhile."""
        packets: list[bytes] = []
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as line:
            line.bind((f"to-{self.name}", ALL_PROTOCOLS))
            line.settimeout(LISTEN_S)
            listening = threading.Event()
            listening.set()

            def listen() -> None:
                while listening.is_set():
                    with suppress(TimeoutError):
                        packets.append(line.recv(1 << 17))

            thread = threading.Thread(target=listen)
            thread.start()
            try:
                meanwhile()
            finally:
                listening.clear()
                thread.join()
        assert packets
        return any(what in packet for packet in packets)

    def _lay_out(self, names: Mapping[str, str]) -> None:
        """Write the machine's files; a machine that boots again has lost what was in /tmp."""
        home, etc = self.folder / "home", self.folder / "etc"
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        for folder in (home / ".ssh", etc, self.folder / "work", self.folder / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        (home / ".ssh" / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        if not (self.folder / "host_key").exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "host_key"))
        lines = [f"{address} {name}" for name, address in names.items()]
        (etc / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        passwd = Path("/etc/passwd").read_text()
        (etc / "passwd").write_text(re.sub(r"(?m)^(root:.*:)[^:]*(:[^:]*)$", rf"\1{HOME}\2", passwd))
        environment = home / "vnpulse.env"
        environment.write_text("".join(f"{k}={shlex.quote(v)}\n" for k, v in self.environment.items()))
        environment.chmod(0o600)
        path = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH\n"
        (home / ".bashrc").write_text(f"{path}set -a; . ~/vnpulse.env; set +a\n")
        (home / ".profile").write_text(". ~/.bashrc\n")
