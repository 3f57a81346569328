"""Messages handed over for delivery by a relay."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from msgstore.access import sync
from msgstore.access.aio import AccessClient
from msgstore.access.codes import AccessError
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from tests.accessd.mailroom import KINDS, TEXT, mailroom
from tests.accessd_room import ALICE, SMTP_ONLY, room

BOB = MailboxId("bob", "example.org")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_recipient_has_its_result_in_the_order_given(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        done = await box.session.client.deliver(
            TEXT,
            "alice@example.org",
            "nobody@example.org",
            "bob@example.org",
            "alice@example.org",
            "somebody@elsewhere.net",
            "a@b@c",
            reverse_path="sender@example.net",
            client={"address": "192.0.2.1", "name": "mx.example.net", "helo": "mx"},
        )
        rows = await box.session.list(fields=("uid",))
        async with await box.session.retrieve(1, way="inline") as body:
            text = await body.read()
        for_bob = len(box.store.folder(BOB, INBOX).list())

    assert [(one.forward_path, one.outcome, one.code, one.status, one.temporary) for one in done.results] == [
        ("alice@example.org", "stored", 250, "2.0.0", False),
        ("nobody@example.org", "rejected", 550, "5.1.1", False),
        ("bob@example.org", "stored", 250, "2.0.0", False),
        ("alice@example.org", "stored", 250, "2.0.0", False),
        ("somebody@elsewhere.net", "rejected", 550, "5.1.2", False),
        ("a@b@c", "rejected", 501, "5.1.3", False),
    ]
    assert done.results[0].filed[0].folder == "INBOX"
    assert len(rows) == 1
    assert for_bob == 1
    assert text.startswith(b"Return-Path: <sender@example.net>\r\n")
    assert b"192.0.2.1" in text
    assert text.endswith(TEXT)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_is_delivered_the_same_staged_and_by_descriptor(tmp_path: Path, kind: str) -> None:
    text = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 30_000
    place = tmp_path / "message"
    place.write_bytes(text)

    def play(path: str) -> list[str]:
        with sync.AccessClient.connect(path) as client, place.open("rb") as file:
            one = client.deliver(text, "alice@example.org", reverse_path=None, smtputf8=True, body_type="8BITMIME")
            two = client.deliver(
                file,
                "alice@example.org",
                reverse_path=None,
                forwarded=True,
                spam={"is_spam": False, "score": 0.5},
                encryption={"algorithm": "x25519-xsalsa20-poly1305", "encrypted": False},
            )
            return [result.outcome for done in (one, two) for result in done.results]

    async with mailroom(tmp_path, kind) as box:
        outcomes = await asyncio.to_thread(play, box.path)
        found: list[bytes] = []
        for uid in (1, 2):
            async with await box.session.retrieve(uid, way="handle") as body:
                found.append(await body.read())

    assert outcomes == ["stored", "stored"]
    assert all(one.endswith(text) for one in found)
    assert all(one.startswith(b"Return-Path: <>\r\n") for one in found)


async def test_what_cannot_be_read_is_every_recipients_result(tmp_path: Path) -> None:
    place = tmp_path / "large"
    with place.open("wb") as file:
        file.truncate(52_428_801)
    async with mailroom(tmp_path, "maildir") as box:
        with place.open("rb") as file:
            done = await box.session.client.deliver(
                file, "alice@example.org", "bob@example.org", reverse_path="sender@example.net"
            )
        uids = await box.uids()

    assert [(one.code, one.status, one.outcome) for one in done.results] == [(552, "5.3.4", "rejected")] * 2
    assert uids == []


@pytest.mark.parametrize(
    ("more", "code", "key"),
    [
        ({"recipients": []}, "INVALID", "recipients"),
        ({"recipients": [{"forward_path": "alice@example.org", "bcc": True}]}, "INVALID", "recipients"),
        ({"spam": {"is_spam": "no", "score": 1.0}}, "INVALID", "spam"),
        ({"body_type": "9BIT"}, "INVALID", "body_type"),
        ({"reverse_path": "a@b@c"}, "INVALID_ADDRESS", None),
    ],
)
async def test_what_is_no_transaction_is_refused_as_a_whole(
    tmp_path: Path, more: dict[str, object], code: str, key: str | None
) -> None:
    asked: dict[str, object] = {"recipients": [{"forward_path": "alice@example.org"}], "client": {}, "body": TEXT}
    async with mailroom(tmp_path, "memory") as box:
        with pytest.raises(AccessError) as refused:
            await box.session.client.call("deliver.message", **asked | more)
        uids = await box.uids()

    assert (refused.value.code, refused.value.data.get("key")) == (code, key)
    assert uids == []


async def test_a_message_that_has_come_whole_is_delivered_though_its_relay_is_gone(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as box:
        client = (await box.another()).client
        handing = asyncio.create_task(client.deliver(TEXT, str(ALICE), reverse_path=None))
        # In this turn of the loop the request is sent.
        await asyncio.sleep(0)
        client.close()
        await asyncio.wait([handing])
        async with asyncio.timeout(10):
            while not (uids := await box.uids()):
                await box.session.client.call("rpc.ping")

    assert uids == [1]


async def test_a_server_without_delivery_says_so(tmp_path: Path) -> None:
    async with room(tmp_path, peers=SMTP_ONLY) as place, AccessClient.connect(place.path) as client:
        with pytest.raises(AccessError) as refused:
            await client.deliver(TEXT, str(ALICE), reverse_path=None)
        staged: Any = await client.call("message.stage")

    assert refused.value.code == "UNSUPPORTED"
    assert staged["handle"] > 0
