"""Folders made, removed, renamed and subscribed over the socket, and what a mailbox holds."""

from pathlib import Path

import pytest

from msgstore.access.aio import AccessClient
from msgstore.access.codes import AccessError
from msgstore.model.user import Quota, User
from tests.accessd.mailroom import KINDS, TEXT, code_from, mailroom
from tests.accessd.test_real_stores import made, served
from tests.accessd_room import ALICE, room


@pytest.mark.parametrize("kind", KINDS)
async def test_a_folder_is_made_renamed_and_removed_and_says_so(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        made = await box.session.create_folder("Archive/2026", special_use="\\archive")
        box.put(folder="Archive/2026")
        renamed = await box.session.rename_folder("Archive", "Old")
        uids = await box.uids("Old/2026")
        listed = {row.name: row.special_use for row in (await box.session.folders("Old*")).folders}
        validity = (await box.session.stat("Old/2026")).uidvalidity
        with pytest.raises(AccessError) as kept:
            await box.session.delete_folder("Old")
        await box.session.delete_folder("Old/2026")
        again = await box.session.create_folder("Old/2026")

    assert made.uidvalidity == validity
    assert renamed.uidvalidity > 0
    assert uids == [1]
    assert listed == {"Old": None, "Old/2026": "\\Archive"}
    assert code_from(kept) == ("HAS_CHILDREN", "HASCHILDREN")
    assert again.uidvalidity > validity


@pytest.mark.parametrize("kind", KINDS)
async def test_every_error_about_folders_arrives_as_itself(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        session = box.session
        codes: list[tuple[str, str | None]] = []
        for asking in (
            session.create_folder("Work"),
            session.create_folder("INBOX"),
            session.create_folder("a/../b"),
            session.create_folder("x" * 300),
            session.create_folder("Fine", special_use="\\Nothing"),
            session.delete_folder("Nowhere"),
            session.delete_folder("inbox"),
            session.rename_folder("Nowhere", "Somewhere"),
            session.rename_folder("Work", "Trash"),
            session.rename_folder("Work", "INBOX"),
            session.rename_folder("Work", "Work/Below"),
            session.subscribe(".."),
        ):
            with pytest.raises(AccessError) as refused:
                await asking
            codes.append(code_from(refused))

    assert codes == [
        ("FOLDER_EXISTS", "ALREADYEXISTS"),
        ("FOLDER_EXISTS", "ALREADYEXISTS"),
        ("INVALID_NAME", "CANNOT"),
        ("INVALID_NAME", "CANNOT"),
        ("INVALID", "CLIENTBUG"),
        ("NO_FOLDER", "NONEXISTENT"),
        ("RESERVED_NAME", "CANNOT"),
        ("NO_FOLDER", "NONEXISTENT"),
        ("FOLDER_EXISTS", "ALREADYEXISTS"),
        ("RESERVED_NAME", "CANNOT"),
        ("INVALID_NAME", "CANNOT"),
        ("INVALID_NAME", "CANNOT"),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_subscriptions_are_kept_and_listed(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        before = {row.name for row in (await box.session.folders(subscribed=True)).folders}
        await box.session.subscribe("Work")
        await box.session.subscribe("Work")
        await box.session.subscribe("Nowhere")
        during = {row.name for row in (await box.session.folders(subscribed=True)).folders}
        await box.session.unsubscribe("Work")
        after = {row.name for row in (await box.session.folders(subscribed=True)).folders}

    assert during - before == {"Work"}
    assert after == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_held_maildrop_is_neither_removed_renamed_moved_from_nor_expunged_by_others(
    tmp_path: Path, kind: str
) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(folder="Work")
        await box.session.create_folder("Work/Below")
        holder = await box.another(service="pop3")
        await holder.open("Work/Below")
        codes: list[str] = []
        for asking in (
            box.session.delete_folder("Work/Below"),
            box.session.rename_folder("Work", "Elsewhere"),
            box.session.move((1, 1), to="INBOX", folder="Work/Below"),
            box.session.expunge(folder="Work/Below", which="flagged"),
        ):
            with pytest.raises(AccessError) as refused:
                await asking
            codes.append(refused.value.code)
        flagged = await box.session.set_flags((1, None), change="add", flags=["\\Seen"], folder="Work")
        await holder.close()
        await box.session.rename_folder("Work", "Elsewhere")

    assert codes == ["LOCKED"] * 4
    assert len(flagged.messages) == 1


async def test_another_server_may_not_rename_what_a_session_of_this_one_holds(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as here:
        (tmp_path / "other").mkdir()
        holder = await here.another(service="pop3")
        await holder.open("Work")
        store = made("maildir", tmp_path / "mail")
        async with served(store, tmp_path / "other" / "sock") as path, AccessClient.connect(path) as client:
            session = await client.login(str(ALICE), "secret", service="imap")
            codes: list[str] = []
            for asking in (session.rename_folder("Work", "New"), session.delete_folder("Work")):
                with pytest.raises(AccessError) as refused:
                    await asking
                codes.append(refused.value.code)
        store.close()

    assert codes == ["LOCKED", "LOCKED"]


@pytest.mark.parametrize("kind", KINDS)
async def test_marks_do_not_pass_to_a_folder_made_under_the_same_name(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put(folder="Work")
        other = await box.another()
        marked = await other.delete(1, folder="Work")
        await box.session.delete_folder("Work")
        await box.session.create_folder("Work")
        box.put(folder="Work")
        gone = await other.expunge(folder="Work")
        uids = await box.uids("Work")

    assert marked.marked == (1,)
    assert gone.expunged == ()
    assert uids == [1]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_holder_of_a_maildrop_may_rename_it_and_holds_nothing_then(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        holder = await box.another(service="pop3")
        await holder.open("Work")
        await holder.rename_folder("Work", "New")
        other = await box.another(service="pop3")
        opened = await other.open("New")

    assert opened.messages == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_usage_and_a_new_count_agree(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as box:
        box.put()
        box.put(folder="Work")
        quota = await box.session.quota()
        counted = await box.session.client.call("mailbox.rescan", session=box.session.token)
        one = await box.session.client.call("mailbox.rescan", mailbox=str(ALICE), folder="Work")
        with pytest.raises(AccessError) as unnamed:
            await box.session.client.call("mailbox.rescan")

    assert (quota.used_octets, quota.used_messages, quota.limit_octets) == (2 * len(TEXT), 2, None)
    assert isinstance(counted, dict)
    assert counted["messages"] == 2
    assert one == {"folders": 1, "messages": 1, "repaired": 0}
    assert unnamed.value.data["key"] == "mailbox"


async def test_the_limits_of_a_quota_are_those_of_the_user(tmp_path: Path) -> None:
    async with room(tmp_path) as place, AccessClient.connect(place.path) as client:
        place.doorman.users["alice"] = User(username="alice", mailbox=ALICE, quota=Quota(octets=1000, messages=5))
        place.shelf.inbox().add(b"x")
        session = await client.login("alice@example.org", "secret", service="imap")
        quota = await session.quota()

    assert (quota.used_octets, quota.used_messages, quota.limit_octets, quota.limit_messages) == (1, 1, 1000, 5)
