"""Logins, sessions, roles and the end, on the wire."""

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from accessd.calls import LoginRules
from accessd.peers import Peers
from msgstore.access import contract
from msgstore.access.frames import Notification, Request, Response, encode
from msgstore.config.schema import AccessSettings
from msgstore.model.folder import FolderName
from tests.accessd_room import IMAP_ONLY, NOBODY, POP3_ONLY, SMTP_ONLY, room
from tests.accessd_wire import SMALL, code_of, reached, wire


@pytest.mark.parametrize("form", ["array", "string"])
async def test_an_exception_in_a_method_is_internal_and_the_daemon_lives(tmp_path: Path, form: str) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        await peer.ask("rpc.hello", {"errors": form})
        inbox = await peer.log_in()
        place.shelf.failures["stat"] = ZeroDivisionError("secret of the house")
        broken = await peer.ask("folder.stat", inbox)
        del place.shelf.failures["stat"]
        whole = await peer.ask("folder.stat", inbox)

    assert "INTERNAL" in str(broken.error)
    assert isinstance(broken.error, str) == (form == "string")
    assert "house" not in str(broken.error)
    assert whole.error is None


async def test_a_failed_login_is_answered_at_one_moment_whatever_failed(tmp_path: Path) -> None:
    rules = LoginRules(failure_seconds=0.3)
    logins = [("nobody@example.org", "x"), ("alice@example.org", "wrong"), ("alice@elsewhere.net", "secret")]

    async with room(tmp_path, login=rules) as place, wire(place) as peer:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        codes: list[str] = []
        for user, password in logins:
            began = loop.time()
            found = await peer.ask("auth.login", {"user": user, "password": password, "service": "pop3"})
            times.append(loop.time() - began)
            codes.append(code_of(found))

    assert codes == ["AUTH_FAILED", "AUTH_FAILED", "DOMAIN_NOT_HOSTED"]
    assert min(times) >= 0.29
    assert not any(any(password) for password in place.doorman.seen)


async def test_a_full_password_pool_is_busy(tmp_path: Path) -> None:
    async with room(tmp_path, password_threads=1, password_queue=0) as place, wire(place) as one, wire(place) as two:
        place.doorman.gate = threading.Event()
        login = {"user": "alice@example.org", "password": "secret", "service": "pop3"}
        await one.send(encode(Request(id=1, method="auth.login", args=(login,))))
        await asyncio.to_thread(place.doorman.asked.wait, 10)
        refused = await two.ask("auth.login", login)
        place.doorman.gate.set()
        served = await one.next()

    assert code_of(refused) == "BUSY"
    assert isinstance(served, Response)
    assert served.error is None


async def test_a_session_is_idle_when_the_clock_says_so_and_its_maildrop_is_free(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as one, wire(place) as two:
        first = await one.log_in()
        await one.ask("mailbox.open", first)
        second = await two.log_in()
        locked = await two.ask("mailbox.open", second)
        place.clock.now += 1000
        await two.ask("auth.ping", {"session": second["session"]})
        place.clock.now += 1000
        opened = await two.ask("mailbox.open", second)
        ended = await one.ask("folder.stat", first)

    assert code_of(locked) == "LOCKED"
    assert opened.error is None
    assert code_of(ended) == "NO_SESSION"


@pytest.mark.parametrize("way", ["ended", "idle"])
async def test_a_session_that_others_ended_does_not_stand_in_the_way_of_the_next(tmp_path: Path, way: str) -> None:
    async with room(tmp_path) as place, wire(place) as peer, wire(place) as other:
        first = await peer.log_in()
        if way == "ended":
            listed = await other.ask("auth.sessions")
            rows = cast("dict[str, list[dict[str, object]]]", listed.result)["sessions"]
            await other.ask("auth.end", {"id": rows[0]["id"]})
        else:
            place.clock.now += 1801
            await peer.ask("folder.stat", first)
        await peer.log_in()
        found = await peer.ask("folder.stat", "alice@example.org")

    assert found.error is None


async def test_a_body_opened_while_its_session_was_ended_is_closed(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer, wire(place) as other:
        place.shelf.inbox().add(SMALL)
        inbox = await peer.log_in()
        gate = place.shelf.shut("retrieve")
        ask = Request(id=1, method="message.retrieve", args=({**inbox, "uid": 1, "as": "handle"},))
        await peer.send(encode(ask))
        await reached(place, "retrieve")
        listed = await other.ask("auth.sessions")
        rows = cast("dict[str, list[dict[str, object]]]", listed.result)["sessions"]
        await other.ask("auth.end", {"id": rows[0]["id"]})
        gate.set()
        refused = await peer.next()

        assert isinstance(refused, Response)
        assert code_of(refused) == "NO_SESSION"
        assert all(body.closed for body in place.shelf.bodies)


async def test_a_relay_gets_no_session_whatever_service_it_names(tmp_path: Path) -> None:
    message = b"\0alice@example.org\0secret"

    async with room(tmp_path, peers=SMTP_ONLY) as place, wire(place) as peer:
        found = await peer.ask("auth.sasl_start", {"mech": "PLAIN", "service": "pop3", "initial": message})

    assert cast("dict[str, object]", found.result)["done"] is True
    assert "session" not in cast("dict[str, object]", found.result)


async def test_reading_a_long_message_slowly_is_not_idling(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        place.shelf.inbox().add(SMALL)
        inbox = await peer.log_in()
        opened = await peer.ask("message.retrieve", {**inbox, "uid": 1, "as": "handle"})
        handle = cast("dict[str, object]", opened.result)["handle"]
        pieces: list[Response] = []
        for offset in range(3):
            place.clock.now += 1000
            pieces.append(await peer.ask("message.read", {"handle": handle, "offset": offset, "octets": 1}))
        place.clock.now += 1801
        late = await peer.ask("message.read", {"handle": handle, "offset": 0, "octets": 1})

        assert [piece.result for piece in pieces] == [b"S", b"u", b"b"]
        assert code_of(late) == "NO_SESSION"
        assert all(body.closed for body in place.shelf.bodies)


async def test_two_sessions_of_one_connection_share_neither_marks_nor_the_maildrop(tmp_path: Path) -> None:
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as peer:
        place.shelf.inbox().add(SMALL)
        first, second = await peer.log_in(), await peer.log_in()
        await peer.ask("message.delete", {**first, "uids": [1]})
        nothing = await peer.ask("message.expunge", second)
        await peer.ask("mailbox.open", first)
        locked = await peer.ask("mailbox.open", second)
        kept = await peer.ask("message.expunge", second)
        read = await peer.ask("message.headers", {**second, "uid": 1})
        unnamed = await peer.ask("folder.stat", {"session": second["session"]})
        which = await peer.ask("folder.stat", "alice@example.org")
        await peer.ask("auth.logout", {"session": first["session"]})
        free = await peer.ask("mailbox.open", second)
        only = await peer.ask("folder.stat", "alice@example.org")

    assert cast("dict[str, object]", nothing.result)["expunged"] == []
    assert [code_of(each) for each in (locked, kept, unnamed, which)] == ["LOCKED", "LOCKED", "INVALID", "NO_SESSION"]
    assert [each.error for each in (read, free, only)] == [None, None, None]


async def test_the_server_describes_the_contract_it_checks_calls_with(tmp_path: Path) -> None:
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as peer:
        found = await peer.ask("rpc.describe")

    assert found.result == contract.plain(contract.describe())


async def test_sessions_share_neither_tokens_nor_marks_nor_mailboxes(tmp_path: Path) -> None:
    async with room(tmp_path, peers=POP3_ONLY) as place, wire(place) as one, wire(place) as two:
        place.shelf.inbox().add(SMALL)
        first, second = await one.log_in(), await two.log_in()
        await one.ask("message.delete", {**first, "uids": [1]})
        foreign = await two.ask("folder.stat", first)
        other = await two.ask("message.expunge", second)
        bob = await two.ask("folder.stat", {**second, "mailbox": "bob@example.org"})
        admin = await one.ask("rpc.stats")

    assert code_of(foreign) == "NO_SESSION"
    assert cast("dict[str, object]", other.result)["expunged"] == []
    assert code_of(bob) == "DENIED"
    assert code_of(admin) == "DENIED"
    assert list(place.shelf.inbox().messages) == [1]


@pytest.mark.parametrize(
    ("peers", "method", "args"),
    [
        (SMTP_ONLY, "message.list", {"session": "s"}),
        (IMAP_ONLY, "mailbox.open", {"session": "s"}),
        (POP3_ONLY, "folder.list", {"session": "s"}),
        (POP3_ONLY, "auth.lookup", {"address": "a@example.org"}),
    ],
)
async def test_a_call_outside_the_role_is_denied(
    tmp_path: Path, peers: Peers, method: str, args: dict[str, object]
) -> None:
    async with room(tmp_path, peers=peers) as place, wire(place) as peer:
        found = await peer.ask(method, args)

    assert code_of(found) == "DENIED"


async def test_an_unknown_peer_is_closed_and_counted(tmp_path: Path) -> None:
    async with room(tmp_path, peers=NOBODY) as place, wire(place) as peer:
        end = await peer.next()

    assert end is None
    assert place.tally.events == ["denied"]


async def test_the_end_is_told_and_running_requests_finish(tmp_path: Path) -> None:
    async with room(tmp_path, settings=AccessSettings(grace_seconds=10.0)) as place, wire(place) as peer:
        inbox = await peer.log_in()
        gate = place.shelf.shut("stat")
        await peer.send(encode(Request(id=1, method="folder.stat", args=(inbox,))))
        await reached(place, "stat")
        stopping = asyncio.create_task(place.server.stop())
        told = await peer.next()
        refused = await peer.ask("rpc.ping")
        gate.set()
        finished = await peer.next()
        end = await peer.next()
        await stopping

    assert isinstance(told, Notification)
    assert told.method == "rpc.going_away"
    assert code_of(refused) == "GOING_AWAY"
    assert isinstance(finished, Response)
    assert finished.error is None
    assert end is None


async def test_folders_are_listed_by_pattern_and_their_states_told_one_by_one(tmp_path: Path) -> None:
    async with room(tmp_path, peers=IMAP_ONLY) as place, wire(place) as peer:
        inbox = await peer.log_in()
        tree = place.shelf.folders(place.shelf.inbox().mailbox)
        for name in ("Sent", "INBOX/b"):
            tree.create(FolderName.parse(name))
        where = {"session": inbox["session"], "mailbox": inbox["mailbox"]}
        top = await peer.ask("folder.list", {**where, "pattern": "%", "counts": True})
        states = await peer.ask("folder.status", {**where, "folders": ["inbox", "None", ".."]})

    rows = cast("dict[str, list[dict[str, object]]]", top.result)["folders"]
    assert [row["name"] for row in rows] == ["INBOX", "Sent"]
    found = cast("dict[str, Any]", states.result)["folders"]
    assert found["inbox"]["messages"] == 0
    assert found["None"]["error"][0] == "NO_FOLDER"
    assert found[".."]["error"][0] == "INVALID_NAME"


async def test_sasl_plain_works_in_one_step_and_in_two(tmp_path: Path) -> None:
    message = b"\0alice@example.org\0secret"

    async with room(tmp_path) as place, wire(place) as peer:
        one = await peer.ask("auth.sasl_start", {"mech": "PLAIN", "service": "pop3", "initial": message})
        begun = await peer.ask("auth.sasl_start", {"mech": "plain", "service": "smtp"})
        step = cast("dict[str, object]", begun.result)["step"]
        two = await peer.ask("auth.sasl_step", {"step": step, "data": message})
        again = await peer.ask("auth.sasl_step", {"step": step, "data": message})
        other = await peer.ask("auth.sasl_start", {"mech": "LOGIN", "service": "pop3"})

    assert "session" in cast("dict[str, object]", one.result)
    assert cast("dict[str, object]", two.result)["done"] is True
    assert "session" not in cast("dict[str, object]", two.result)
    assert code_of(again) == "INVALID"
    assert code_of(other) == "UNSUPPORTED"


async def test_a_lookup_tells_a_foreign_domain_from_an_unknown_user(tmp_path: Path) -> None:
    async with room(tmp_path, peers=SMTP_ONLY) as place, wire(place) as peer:
        known = await peer.ask("auth.lookup", {"address": "alice+list@example.org"})
        unknown = await peer.ask("auth.lookup", {"address": "nobody@example.org"})
        foreign = await peer.ask("auth.lookup", {"address": "alice@elsewhere.net"})
        bad = await peer.ask("auth.lookup", {"address": "a@b@c"})

    one, two, three = (cast("dict[str, object]", found.result) for found in (known, unknown, foreign))
    assert (one["mailbox"], one["detail"], one["user_exists"]) == ("alice@example.org", "list", True)
    assert (two["domain_is_local"], two["user_exists"]) == (True, False)
    assert (three["domain_is_local"], three["user_exists"]) == (False, False)
    assert code_of(bad) == "INVALID_ADDRESS"


async def test_a_maildrop_that_another_process_holds_is_locked_and_free_for_the_next_try(tmp_path: Path) -> None:
    async with room(tmp_path) as place, wire(place) as peer:
        place.shelf.inbox().add(b"Subject: hi\r\n\r\n")
        place.shelf.is_held_elsewhere = True
        login = await peer.log_in()
        where = {"session": login["session"], "mailbox": login["mailbox"]}
        refused = await peer.ask("mailbox.open", where)
        place.shelf.is_held_elsewhere = False
        opened = await peer.ask("mailbox.open", where)

    assert code_of(refused) == "LOCKED"
    assert cast("dict[str, object]", opened.result)["messages"] == 1


async def test_a_failed_login_is_one_line_with_its_reason_and_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with room(tmp_path, login=LoginRules(failure_seconds=0.01)) as place, wire(place) as peer:
        await peer.ask("rpc.hello", {})
        await peer.ask("auth.login", {"user": "alice@example.org", "password": "hunter3", "service": "pop3"})

    told = [line for line in capsys.readouterr().err.splitlines() if "alice" in line]
    assert len(told) == 1
    assert 'access.login_failed user=alice@example.org service=pop3 error=AuthFailed why="wrong password"' in told[0]
    assert "hunter3" not in told[0]
