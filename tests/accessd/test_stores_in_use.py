"""What porters lean on, over the Maildir: descriptors in a row, connections that break, names that last."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from msgstore.access.conversation import Answer, Conversation
from msgstore.access.sync import AccessClient, Session, receive_from
from msgstore.model.folder import INBOX
from tests.accessd.test_real_stores import USER, deliver, made, served
from tests.accessd_room import ALICE

STEPS: tuple[Callable[[Session], object], ...] = (
    Session.open,
    Session.list,
    lambda session: session.retrieve(1).close(),
    lambda session: session.delete(1),
    Session.undelete,
    lambda session: session.delete(1, 2),
)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def talk_many(path: str, asks: int, *, takes: int) -> list[bytes]:
    """Ask for many bodies in one write, take some answers, and leave."""
    conversation, texts = Conversation(), list[bytes]()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(path)

        def answers(*calls: tuple[int, bytes | bytearray]) -> dict[int, Answer]:
            raw.sendall(b"".join(octets for _, octets in calls))
            found: dict[int, Answer] = {}
            while len(found) < min(len(calls), takes):
                items = conversation.receive(*receive_from(raw))
                found |= {item.id: item for item in items if isinstance(item, Answer)}
            return {call_id: found[call_id] for call_id, _ in calls if call_id in found}

        answers(conversation.call("rpc.hello", {"features": ["fd"]}))
        login = conversation.call("auth.login", {"user": USER, "password": "secret", "service": "pop3"})
        opened = cast("dict[str, object]", answers(login)[login[0]].result)
        where = {"session": opened["session"], "mailbox": USER, "folder": "INBOX", "as": "fd"}
        calls = [conversation.call("message.retrieve", {**where, "uid": 1 + at % 3}) for at in range(asks)]
        for answer in answers(*calls).values():
            assert answer.descriptor is not None
            texts.append(os.pread(answer.descriptor, 1000, 0))
            os.close(answer.descriptor)
        for left in conversation.unclaimed():
            os.close(left)
    return texts


async def test_each_of_many_answers_in_a_row_brings_its_own_descriptor(tmp_path: Path) -> None:
    store = made("maildir", tmp_path)
    deliver(store, *(b"Subject: %d\r\n\r\n" % number for number in range(3)))

    async with served(store, tmp_path / "sock") as path:
        texts = await asyncio.to_thread(talk_many, path, 60, takes=60)

    store.close()
    assert [text.partition(b"Subject: ")[2][:1] for text in texts] == [b"0", b"1", b"2"] * 20


async def test_descriptors_that_nobody_took_are_closed(tmp_path: Path) -> None:
    store = made("maildir", tmp_path)
    deliver(store, b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n", b"Subject: 3\r\n\r\n")

    async with served(store, tmp_path / "sock") as path:
        await asyncio.to_thread(talk_many, path, 3, takes=3)
        before = descriptors()
        for _ in range(5):
            await asyncio.to_thread(talk_many, path, 60, takes=1)
    after = descriptors()

    store.close()
    assert after <= before


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
async def test_a_connection_cut_at_any_step_removes_nothing_and_frees_the_maildrop(tmp_path: Path, steps: int) -> None:
    store = made("maildir", tmp_path)
    deliver(store, b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n")

    def talk(path: str) -> int:
        with AccessClient.connect(path) as client:
            session: Session = client.login(USER, "secret", service="pop3")
            for step in STEPS[:steps]:
                step(session)
        with AccessClient.connect(path) as client:
            session = client.login(USER, "secret", service="pop3")
            return session.open(wait_ms=5000).messages + len(session.expunge().expunged)

    async with served(store, tmp_path / "sock") as path:
        messages = await asyncio.to_thread(talk, path)

    assert messages == 2
    assert len(store.folder(ALICE, INBOX).list()) == 2
    store.close()


async def test_unique_ids_are_the_same_after_a_restart_and_never_given_again(tmp_path: Path) -> None:
    def uidls(path: str, *, remove: int | None = None) -> list[str | None]:
        with AccessClient.connect(path) as client:
            session = client.login(USER, "secret", service="pop3")
            found = [row.uidl for row in session.list()]
            if remove is not None:
                session.delete(remove)
                session.expunge()
            return found

    seen: list[list[str | None]] = []
    for run, remove in enumerate((None, 2, None)):
        store = made("maildir", tmp_path)
        deliver(store, *[b"Subject: x\r\n\r\n"] * (2 if run == 0 else run - 1))
        async with served(store, tmp_path / f"sock{run}") as path:
            seen.append(await asyncio.to_thread(uidls, path, remove=remove))
        store.close()

    first, second, third = seen
    assert first == second
    assert third[0] == first[0]
    assert len({*first, *third}) == 3
