"""The founding verbs over the stores that keep mail, through the client that porters use."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from accessd.calls import LoginRules
from accessd.server import AccessServer
from msgstore.access.codes import AccessError
from msgstore.access.sync import AccessClient
from msgstore.auth.keyaccess import KeyAccess
from msgstore.config.schema import AccessSettings
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import AuthProvider, DeliveryAgent, Filing, MessageStore
from msgstore.service.offload import Offload
from msgstore.store.clock import SystemClock
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from msgstore.store.requests import RequestLog
from tests.accessd_room import ALICE, ANYBODY, Doorman, Tally
from tests.clocks import HandClock

USER = str(ALICE)
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * (25 << 16)
"""A little over 25 MiB."""


def made(kind: str, root: Path) -> MessageStore:
    if kind == "memory":
        return MemoryStore(clock=SystemClock())
    return MaildirStore(str(root), layout_for=lambda _: Layout(), hostname="test.example")


def deliver(store: MessageStore, *texts: bytes) -> None:
    for text in texts:
        with store.stage() as staged:
            staged.write(text)
            list(store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))


@asynccontextmanager
async def served(
    store: MessageStore,
    path: Path,
    *,
    auth: AuthProvider | None = None,
    agent: DeliveryAgent | None = None,
    requests: RequestLog | None = None,
    keys: KeyAccess | None = None,
    opens_keys: bool = False,
) -> AsyncGenerator[str]:
    offload, passwords = Offload(4, 64), Offload(1, 8)
    server = AccessServer(
        AccessSettings(grace_seconds=0.5, open_keys=opens_keys),
        store=store,
        auth=Doorman() if auth is None else auth,
        agent=agent,
        requests=requests,
        keys=keys,
        offload=offload,
        passwords=passwords,
        clock=HandClock(),
        peers=ANYBODY,
        login=LoginRules(failure_seconds=0.0),
        counters=Tally(),
    )
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(8)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([listening]))
            yield str(path)
            await server.stop()
            await serving
    for threads in (offload, passwords):
        await asyncio.to_thread(threads.close)


@pytest.mark.parametrize("kind", ["memory", "maildir"])
async def test_the_five_verbs_work_and_marks_end_with_their_session(tmp_path: Path, kind: str) -> None:
    store = made(kind, tmp_path)
    deliver(store, b"Subject: 1\r\n\r\none\r\n", b"Subject: 2\n\ntwo\n", b"Subject: 3\r\n\r\nthree\r\n")

    def talk(path: str) -> list[object]:
        with AccessClient.connect(path) as client:
            session = client.login(USER, "secret", service="pop3")
            rows = session.list()
            with session.retrieve(rows[1].uid) as body:
                text = body.read()
            session.delete(rows[0].uid)
        with AccessClient.connect(path) as client:
            session = client.login(USER, "secret", service="pop3")
            session.open()
            before = session.stat().messages
            session.delete(rows[1].uid)
            gone = session.expunge().expunged
            after = [row.uid for row in session.list()]
        return [[row.uid for row in rows], text.replace(b"\r\n", b"\n"), before, gone, after]

    async with served(store, tmp_path / "sock") as path:
        found = await asyncio.to_thread(talk, path)

    assert found[:3] == [[1, 2, 3], b"Subject: 2\n\ntwo\n", 3]
    assert found[4] == [1, 3]
    assert [info.uid for info in store.folder(ALICE, INBOX).list()] == [1, 3]
    store.close()


@pytest.mark.parametrize("kind", ["memory", "maildir"])
@pytest.mark.parametrize("way", ["fd", None])
async def test_a_large_body_arrives_exactly_by_descriptor_and_in_pieces(
    tmp_path: Path, kind: str, way: str | None
) -> None:
    store = made(kind, tmp_path)
    deliver(store, LARGE)

    def talk(path: str) -> bytes:
        with AccessClient.connect(path) as client:
            session = client.login(USER, "secret", service="pop3")
            with session.retrieve(1, way=way) as body:
                return body.read()

    async with served(store, tmp_path / "sock") as path:
        text = await asyncio.to_thread(talk, path)

    assert text == LARGE
    store.close()


async def test_a_maildrop_is_held_against_the_sessions_of_another_server_too(tmp_path: Path) -> None:
    first, second = made("maildir", tmp_path), made("maildir", tmp_path)
    deliver(first, b"Subject: 1\r\n\r\n")

    def talk(one: str, other: str) -> list[str]:
        codes: list[str] = []
        with AccessClient.connect(other) as waiting:
            late = waiting.login(USER, "secret", service="pop3")
            with AccessClient.connect(one) as holding:
                holding.login(USER, "secret", service="pop3").open()
                for attempt in (late.open, late.expunge):
                    try:
                        if attempt == late.expunge:
                            late.delete(1)
                        attempt()
                    except AccessError as error:
                        codes.append(error.code)
            codes.append(str(late.open(wait_ms=5000).messages))
        return codes

    async with served(first, tmp_path / "one") as one, served(second, tmp_path / "two") as other:
        codes = await asyncio.to_thread(talk, one, other)

    assert codes == ["LOCKED", "LOCKED", "1"]
    first.close()
    second.close()
