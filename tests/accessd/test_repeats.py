"""Writes with an id are done once, over a lost connection, a restart, and several workers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from msgstore.access.aio import AccessClient, Session
from msgstore.access.codes import AccessError
from msgstore.store.clock import SystemClock
from msgstore.store.requests import RequestLog
from tests.accessd.mailroom import KINDS, TEXT, agent_for, mailroom
from tests.accessd.test_real_stores import made, served
from tests.accessd_room import ALICE, Shelf, room


async def append(session: Session, body: bytes = TEXT, *, request_id: str = "one", **more: object) -> Any:
    where = {"session": session.token, "mailbox": session.mailbox, "folder": "INBOX"}
    return await session.client.call("message.append", **where, body=body, _request_id=request_id, **more)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_repeated_write_is_answered_as_the_first_and_done_once(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        first = await append(box.session)
        again = await append(await box.another())
        other = await append(box.session, request_id="two")
        with pytest.raises(AccessError) as different:
            await append(box.session, b"something else")
        uids = await box.uids()

    assert again == first | {"repeated": True}
    assert other["uid"] == 2
    assert (different.value.code, different.value.data["key"]) == ("INVALID", "_request_id")
    assert uids == [1, 2]


async def test_a_write_is_remembered_over_a_restart_and_by_every_worker(tmp_path: Path) -> None:
    results: list[Any] = []
    uids: list[int] = []
    for number in range(2):
        store = made("maildir", tmp_path / "mail")
        requests = RequestLog(str(tmp_path / "requests"), clock=SystemClock())
        agent = agent_for(tmp_path / "house", store)
        async with (
            served(store, tmp_path / f"sock{number}", agent=agent, requests=requests) as path,
            AccessClient.connect(path) as client,
        ):
            session = await client.login(str(ALICE), "secret", service="imap")
            results.append(await append(session))
            asked: dict[str, object] = {"recipients": [{"forward_path": str(ALICE)}], "client": {}}
            results.append(await client.call("deliver.message", **asked, body=TEXT, _request_id="one"))
            uids = [row.uid for row in await session.list(fields=("uid",))]
        requests.close()
        store.close()

    assert results[2] == results[0] | {"repeated": True}
    assert results[3] == results[1] | {"repeated": True}
    assert uids == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_that_failed_may_be_tried_again_under_its_id(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        codes: list[str] = []
        for _ in range(2):
            with pytest.raises(AccessError) as refused:
                await box.session.copy(1, to="New", request_id="copy")
            codes.append(refused.value.code)
        box.put()
        await box.session.create_folder("New", request_id="make")
        await box.session.create_folder("New", request_id="make")
        done = await box.session.copy(1, to="New", request_id="copy")
        again = await box.session.copy(1, to="New", request_id="copy")
        uids = await box.uids("New")

    assert codes == ["NO_FOLDER", "NO_FOLDER"]
    assert done == again
    assert uids == [1]


async def test_a_repeat_waits_for_the_first_that_is_still_at_work(tmp_path: Path) -> None:
    async with room(tmp_path, shelf=Shelf()) as place:
        gate = place.shelf.shut("append")
        async with AccessClient.connect(place.path) as one, AccessClient.connect(place.path) as other:
            first = asyncio.create_task(append(await one.login(str(ALICE), "secret", service="imap")))
            await asyncio.to_thread(place.shelf.reached["append"].wait, 10)
            session = await other.login(str(ALICE), "secret", service="imap")
            second = asyncio.create_task(append(session))
            await other.call("rpc.ping")
            early = second.done()
            gate.set()
            found = await first
            again = await second
        count = len(place.shelf.inbox().messages)

    assert not early
    assert again == found | {"repeated": True}
    assert count == 1


async def test_ids_of_two_users_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.create_mailbox(place.doorman.users["bob"].mailbox)
        async with AccessClient.connect(place.path) as client:
            alice = await client.login("alice@example.org", "secret", service="imap")
            bob = await client.login("bob@example.org", "hunter2", service="imap")
            found = [await append(alice), await append(bob)]

    assert ["repeated" in one for one in found] == [False, False]
