"""The two shells that own a socket: what they import, and what they leave open."""

import asyncio
import socket
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from msgstore.access import sync
from msgstore.access.aio import AccessClient
from msgstore.access.frames import Response, encode

CLIENT_NEEDS = {"msgpack", "msgspec", "idna", "PyNaCl", "cffi", "pycparser"}
"""Distributions beside this one; the last two come with PyNaCl."""

FLOORS = "admin auth config delivery mime scripts service sieve store telemetry wiring"
OWN_AND_HEAVY = {"accessd", "lmtpd", *(f"msgstore.{name}" for name in FLOORS.split(" "))}

PROGRAM = """
import sys

blocked = set(sys.argv[1].split(","))
found_anyway = blocked & set(sys.modules)


class Block:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"{name} is not installed here")


sys.meta_path.insert(0, Block())
for name in found_anyway:
    del sys.modules[name]
for module in sys.argv[2:]:
    __import__(module)
"""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def imported(*modules: str) -> "subprocess.CompletedProcess[str]":
    """Import modules where only what a client needs is installed."""
    others = {name for name, owners in packages_distributions().items() if not CLIENT_NEEDS & set(owners)}
    blocked = (others - {"msgstore"}) | OWN_AND_HEAVY
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(blocked), *modules], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("client", ["msgstore.access.aio", "msgstore.access.sync"])
def test_a_client_is_imported_where_nothing_of_the_daemons_is_installed(client: str) -> None:
    found = imported(client)

    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("module", ["accessd.server", "msgstore.store.memory", "prometheus_client"])
def test_the_daemons_are_not_there_in_that_proof(module: str) -> None:
    found = imported("msgstore.access.aio", module)

    assert "is not installed here" in found.stderr


async def test_a_call_given_up_before_it_was_sent_leaves_the_others_alone() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with there:
        here.setblocking(False)
        there.setblocking(False)
        client = AccessClient(here)
        large = asyncio.create_task(client.call("auth.lookup", address="x" * 1_000_000))
        waiting = asyncio.create_task(client.call("rpc.ping"))
        for _ in range(5):
            await asyncio.sleep(0)

        waiting.cancel()
        await asyncio.wait([waiting])
        sent = 0
        while sent < 1_000_000:
            sent += len(await loop.sock_recv(there, 65_536))
        await loop.sock_sendall(there, encode(Response(id=0, result="found")))
        found = await large
        client.close()

    assert waiting.cancelled()
    assert found == "found"


def test_half_a_call_ends_the_blocking_connection_and_no_octet_follows_it() -> None:
    here, there = socket.socketpair()
    with there:
        here.settimeout(0.05)
        client = sync.AccessClient(here)
        with pytest.raises(TimeoutError):
            client.call("auth.lookup", address="x" * 1_000_000)

        with pytest.raises(OSError, match="descriptor"):
            client.call("rpc.ping")
        there.settimeout(10)
        received = 0
        while octets := there.recv(65_536):
            received += len(octets)

    assert 0 < received < 1_000_000


@pytest.mark.parametrize("turns", range(6))
async def test_a_descriptor_is_closed_whenever_its_caller_gives_up(turns: int) -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with there:
        here.setblocking(False)
        there.setblocking(False)
        client = AccessClient(here)
        asking = asyncio.create_task(client.call("message.retrieve", session="s", uid=1))
        await loop.sock_recv(there, 1000)
        before = descriptors()

        socket.send_fds(there, [encode(Response(id=0, result={"fd": 0}))], [there.fileno()])
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        # What was sent before this answer has been read when it arrives.
        await loop.sock_sendall(there, encode(Response(id=1, result={"t": 1})) if asking.cancelled() else b"")
        if asking.cancelled():
            await client.call("rpc.ping")
        after = descriptors()
        client.close()

    assert after == before
