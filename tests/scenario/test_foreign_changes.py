"""A live Dovecot and our store change one Maildir at the same time: the UIDs agree, and every event is told once."""

import imaplib
import os
import pwd
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final, cast

import pytest

from msgstore.access.sync import AccessClient, Session, Watch
from msgstore.access.uids import each_uid
from msgstore.access.watchshapes import WatchEvent
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.scenario.harness import DOMAIN, PASSWORD, house, required_root
from tests.scenario.test_dovecot import ROLES, dovecot, subject_of

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]

ALICE: Final = MailboxId("alice", DOMAIN)
WORK: Final = FolderName(("Work",))


class Theirs:
    """Dovecot by IMAP."""

    def __init__(self, imap: imaplib.IMAP4) -> None:
        self._imap = imap

    def rows(self, folder: str = "INBOX") -> dict[int, tuple[bytes, frozenset[bytes]]]:
        """Give subject and flags of every message by UID."""
        self._imap.select(folder)
        _, found = self._imap.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER])")
        rows: dict[int, tuple[bytes, frozenset[bytes]]] = {}
        for part in found:
            if isinstance(part, tuple):
                head = cast("bytes", part[0])
                uid = int(head.partition(b"UID ")[2].split()[0])
                flags = head.partition(b"FLAGS (")[2].partition(b")")[0].split()
                rows[uid] = (subject_of(cast("bytes", part[1])), frozenset(flags) - {b"\\Recent"})
        return rows

    def do(self, *words: str, folder: str = "INBOX") -> None:
        """Give one UID command."""
        self._imap.select(folder)
        kind, text = self._imap.uid(words[0], *words[1:])
        assert kind == "OK", text

    def append(self, subject: str, folder: str = "INBOX") -> None:
        """Append a message."""
        self._imap.append(folder, "", "", f"Subject: {subject}\r\n\r\nbody\r\n".encode())

    def guid(self, folder: str) -> str:
        """Give the id of a folder."""
        kind, found = self._imap.status(folder, "(X-GUID)")
        assert kind == "OK", found
        return cast("bytes", found[0]).partition(b"X-GUID ")[2].rstrip(b")").decode()

    def rename(self, folder: str, to: str) -> None:
        """Rename a folder."""
        assert self._imap.rename(folder, to)[0] == "OK"

    def remove(self, uids: str, folder: str = "INBOX") -> None:
        """Expunge messages."""
        self.do("STORE", uids, "+FLAGS", "(\\Deleted)", folder=folder)
        self._imap.expunge()


class Ours:
    """Our store, in this process."""

    def __init__(self, store: MaildirStore) -> None:
        self.store = store

    def append(self, subject: str, folder: FolderName = INBOX) -> int:
        """Append a message."""
        with self.store.stage() as staged:
            staged.write(f"Subject: {subject}\r\n\r\nbody\r\n".encode())
            return self.store.folder(ALICE, folder).append(staged).uid

    def rows(self, folder: FolderName = INBOX) -> dict[int, tuple[bytes, frozenset[bytes]]]:
        """Give subject and flags of every message by UID."""
        handle = self.store.folder(ALICE, folder)
        rows: dict[int, tuple[bytes, frozenset[bytes]]] = {}
        for info in handle.list():
            with handle.retrieve(info.uid) as body:
                rows[info.uid] = (subject_of(b"".join(body.chunks())), frozenset(one.encode() for one in info.flags))
        return rows


@contextmanager
def both() -> Generator[tuple[Session, Ours, Theirs]]:
    """Run accessd and Dovecot as one user, and open the store here as that user too."""
    required_root()
    with (
        house("alice", more=ROLES, only=("accessd",), run_as="mail") as ours,
        dovecot(ours) as port,
        as_user("mail"),
        ExitStack() as stack,
    ):
        store = MaildirStore(str(ours.mail), layout_for=lambda _: Layout(), hostname="store.example.com")
        stack.callback(store.close)
        store.create_mailbox(ALICE)
        store.folders(ALICE).create(WORK)
        imap = stack.enter_context(imaplib.IMAP4("127.0.0.1", port))
        imap.login("alice", PASSWORD)
        client = stack.enter_context(AccessClient.connect(str(ours.access)))
        yield client.login(f"alice@{DOMAIN}", PASSWORD, service="imap"), Ours(store), Theirs(imap)


@contextmanager
def as_user(name: str) -> Generator[None]:
    """Be another user for the time of the block."""
    entry = pwd.getpwnam(name)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Told:
    """What a client knows that believes its watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.came: list[int] = []
        self.went: list[int] = []
        self.flags: dict[int, frozenset[bytes]] = {}

    def listen(self, seconds: float) -> WatchEvent | None:
        """Believe the next event."""
        event = self._watch.next_event(seconds)
        if event is None:
            return None
        assert event.kind in {"new", "expunged", "flags"}, event
        assert event.folder == "INBOX"
        if event.kind == "new":
            self.came += each_uid(event.uids or ())
        elif event.kind == "expunged":
            self.went += each_uid(event.uids or ())
        for uid, flags, _, _ in event.messages or ():
            self.flags[uid] = frozenset(one.encode() for one in flags)
        return event

    def listen_until(self, uid: int) -> None:
        """Believe everything up to a new message, and what still comes."""
        while uid not in self.came:
            assert self.listen(20) is not None, f"{uid} never came"
        while self.listen(2.5) is not None:
            pass


def test_both_call_a_folder_by_the_same_id_whoever_looked_at_it_first() -> None:
    with both() as (_, ours, theirs):
        tree = ours.store.folders(ALICE)
        assert tree.guid(WORK) is None

        given_by_dovecot = theirs.guid("Work")
        ours.rows()

        assert tree.guid(WORK) == given_by_dovecot
        assert tree.guid(INBOX) == theirs.guid("INBOX") != given_by_dovecot
        theirs.rename("Work", "Elsewhere")
        assert tree.guid(FolderName(("Elsewhere",))) == given_by_dovecot


def test_flags_removals_moves_and_appends_of_dovecot_are_told_and_the_uids_agree_at_every_step() -> None:
    with both() as (session, ours, theirs):
        told = Told(session.watch("INBOX"))

        for number in range(1, 6):
            theirs.append(f"theirs {number}")
        assert ours.rows() == theirs.rows()
        # What is told as new needs no telling of its flags: they are looked at when they change later.
        told.listen_until(5)
        theirs.do("STORE", "2:3", "+FLAGS", "(\\Seen \\Flagged)")
        assert ours.rows() == theirs.rows()
        theirs.do("MOVE", "4", "Work")
        assert ours.rows() == theirs.rows()
        assert ours.rows(WORK) == theirs.rows("Work")
        theirs.remove("1")
        assert ours.rows() == theirs.rows()
        theirs.do("COPY", "2", "Work")
        theirs.append("last")
        assert ours.rows(WORK) == theirs.rows("Work")
        told.listen_until(6)

        assert sorted(told.came) == [1, 2, 3, 4, 5, 6]
        assert sorted(told.went) == [1, 4]
        assert {uid: told.flags[uid] for uid in (2, 3)} == {uid: theirs.rows()[uid][1] for uid in (2, 3)}


def test_dovecot_sees_our_flags_appends_moves_and_removals_at_every_step() -> None:
    with both() as (_, ours, theirs):
        inbox = ours.store.folder(ALICE, INBOX)
        for number in range(1, 6):
            ours.append(f"ours {number}")
            assert theirs.rows() == ours.rows()

        inbox.set_flags([Uid(1), Uid(2)], FlagChange.ADD, flags=frozenset({SEEN, FLAGGED}))
        assert theirs.rows() == ours.rows()
        inbox.move([Uid(2), Uid(3)], WORK)
        assert theirs.rows() == ours.rows()
        assert theirs.rows("Work") == ours.rows(WORK)
        inbox.copy([Uid(1)], WORK)
        assert theirs.rows("Work") == ours.rows(WORK)
        inbox.expunge([Uid(4)])

        assert theirs.rows() == ours.rows()
        assert list(theirs.rows()) == [1, 5]
        assert [subject for subject, _ in theirs.rows("Work").values()] == [b"ours 2", b"ours 3", b"ours 1"]


def test_both_at_the_same_time_agree_in_the_end_and_no_event_is_lost_or_told_twice() -> None:
    rounds = 25
    with both() as (session, ours, theirs):
        inbox = ours.store.folder(ALICE, INBOX)
        for number in range(rounds):
            ours.append(f"first {number}")
        told = Told(session.watch("INBOX", since={"INBOX": 0}))
        faults: list[BaseException] = []

        def dovecot_works() -> None:
            try:
                for number in range(1, rounds + 1):
                    theirs.append(f"theirs {number}")
                    theirs.do("STORE", str(number), "+FLAGS", "(\\Answered)")
                    if number % 3 == 0:
                        theirs.do("MOVE", str(number), "Work")
                    if number % 5 == 0:
                        theirs.remove(str(number - 1))
            except BaseException as error:  # noqa: BLE001 - told in the thread of the test
                faults.append(error)

        thread = threading.Thread(target=dovecot_works)
        thread.start()
        for number in range(1, rounds + 1):
            listed = [info.uid for info in inbox.list()]
            assert listed == sorted(set(listed))
            inbox.set_flags([Uid(number)], FlagChange.ADD, flags=frozenset({FLAGGED}))
            ours.append(f"ours {number}")
            if number % 7 == 0:
                inbox.move([Uid(number + 1)], WORK)
        thread.join()
        last = ours.append("last")
        told.listen_until(last)
        mine, its = ours.rows(), theirs.rows()

        assert faults == []
        assert mine == its
        assert ours.rows(WORK) == theirs.rows("Work")
        assert len(told.came) == len(set(told.came))
        assert len(told.went) == len(set(told.went))
        assert set(told.came) - set(told.went) == set(mine)
        assert {uid: flags for uid, flags in told.flags.items() if uid in mine and flags != mine[uid][1]} == {}
