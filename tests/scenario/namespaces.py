"""Machines on one network, made of network namespaces: each has an address, and its cable can be pulled.

Processes are put into one by a command in front, `Node.inside`; Unix sockets are seen from all of them.
The switch between them is a namespace too, so nothing of the machine's own network is changed.
"""

import contextlib
import os
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.scenario.harness import required, required_root

NAMED: Final = Path("/run/netns")
PREFIX: Final = "msgstore"
NETWORK: Final = "192.0.2"
"""Addresses that are nobody's. RFC 5737 §3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine on the network."""

    namespace: str
    address: str
    switch: str
    port: str

    @property
    def inside(self) -> tuple[str, ...]:
        """The command that runs its arguments on this machine, under the process id it was started with."""
        return "ip", "netns", "exec", self.namespace

    def unplug(self) -> None:
        """Pull the cable: what is sent to and from it is lost, and nobody is told."""
        ip("-n", self.switch, "link", "set", self.port, "down")

    def plug_in(self) -> None:
        """Put the cable back.

        Who asked for this machine in vain may be told once more that there is no route: the answer to its last ARP
        request, sent before, is still missing. RFC 1122 §2.3.2.2.
        """
        ip("-n", self.switch, "link", "set", self.port, "up")


def ip(*arguments: str) -> None:
    """Run iproute2.

    Raises:
        AssertionError: It refuses; the text is its own.
    """
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}"


def required_namespaces() -> None:
    """Skip where there are no network namespaces for us; fail where there have to be."""
    required("ip")
    required_root()
    probe = f"{PREFIX}-{os.getpid()}-probe"
    try:
        ip("netns", "add", probe)
        ip("netns", "exec", probe, "true")
    except AssertionError as reason:
        if os.environ.get("MSGSTORE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no network namespaces: {reason}")
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=False, capture_output=True)


@contextlib.contextmanager
def network(*names: str) -> Generator[tuple[Node, ...]]:
    """Make machines with these names; end what runs on them before the block ends."""
    required_namespaces()
    sweep()
    ours = f"{PREFIX}-{os.getpid()}"
    switch = f"{ours}-switch"
    made: list[str] = []
    try:
        made.append(switch)
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        nodes: list[Node] = []
        for number, name in enumerate(names, start=1):
            made.append(f"{ours}-{name}")
            nodes.append(Node(namespace=made[-1], address=f"{NETWORK}.{number}", switch=switch, port=f"port{number}"))
            attach(nodes[-1])
        yield tuple(nodes)
    finally:
        for namespace in made:
            if (NAMED / namespace).exists():
                ip("netns", "del", namespace)


def attach(node: Node) -> None:
    """Make the namespace of a machine and its cable to the switch."""
    ip("netns", "add", node.namespace)
    ip("-n", node.switch, "link", "add", node.port, "type", "veth", "peer", "name", "eth0", "netns", node.namespace)
    ip("-n", node.namespace, "address", "add", f"{node.address}/24", "dev", "eth0")
    ip("-n", node.namespace, "link", "set", "lo", "up")
    ip("-n", node.namespace, "link", "set", "eth0", "up")
    ip("-n", node.switch, "link", "set", node.port, "master", "bridge", "up")


def sweep() -> None:
    """Remove what test processes that were killed have left: the names have their process ids."""
    for path in NAMED.glob(f"{PREFIX}-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True)
