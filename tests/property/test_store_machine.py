"""Memory, Maildir and SQLite live the same life side by side; whatever one shows the others must show."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore, StagedMessage
from msgstore.model.message import ANSWERED, FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.clock import SystemClock
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from msgstore.store.sql.store import SqlStore
from tests.sql_room import sqlite_store

MAILBOXES: Final = (MailboxId("alice", "example.com"), MailboxId("bob", "example.com"))
FOLDERS: Final = (INBOX, FolderName(("Work",)), FolderName(("Work", "Old.er")), FolderName(("Junk",)))
KEYWORDS: Final = ("$Junk", "Later", "LATER", *(f"k{number}" for number in range(26)))

places = st.tuples(st.sampled_from(MAILBOXES), st.sampled_from(FOLDERS))
LARGE: Final = b"y" * 70_000
"""More than is held in memory before a file is made."""

numbers = st.sets(st.integers(1, 12), max_size=4)
flag_sets = st.frozensets(st.sampled_from([SEEN, FLAGGED, ANSWERED]))
keyword_sets = st.frozensets(st.sampled_from(KEYWORDS), max_size=3)
texts = st.lists(st.sampled_from([b"Subject: x\r\n", b"\r\n", b"\n", b"body", b"\0\xff", b"LARGE"]), max_size=4)


class UnsyncedDisk(Disk):
    """Nothing is lost here: no power is cut."""

    def sync_file(self, fd: int) -> None:
        del fd

    def sync_directory(self, fd: int) -> None:
        del fd


class StoreMachine(RuleBasedStateMachine):
    """Every step is done to all stores; answers and contents must agree."""

    @initialize()
    def open_stores(self) -> None:
        self.root = Path(
            tempfile.mkdtemp(prefix="msgstore-machine-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        )
        (self.root / "sql").mkdir()
        self.memory = MemoryStore(clock=SystemClock())
        self.maildirs = [self.new_maildir(), self.new_maildir()]
        self.sqls = [self.new_sql(), self.new_sql()]
        self.rereads = False
        self.shown: dict[tuple[type, MailboxId, FolderName, int, int], bytes] = {}

    def new_maildir(self) -> MaildirStore:
        return MaildirStore(str(self.root), layout_for=lambda _: Layout(), disk=UnsyncedDisk(), hostname="test.example")

    def new_sql(self) -> SqlStore:
        return sqlite_store(self.root / "sql", disk=UnsyncedDisk())

    @property
    def stores(self) -> tuple[MessageStore, ...]:
        return self.memory, self.maildirs[0], self.sqls[0]

    @rule(
        text=texts.map(b"".join),
        where=st.lists(places, min_size=1, max_size=4),
        flags=st.sets(st.sampled_from([SEEN, FLAGGED])),
    )
    def deliver(self, text: bytes, where: list[tuple[MailboxId, FolderName]], flags: set[str]) -> None:
        answers: list[list[type]] = []
        filings = [Filing(mailbox=mailbox, folder=folder, flags=frozenset(flags)) for mailbox, folder in where]
        for store in self.stores:
            with store.stage() as staged:
                staged.write(text.replace(b"LARGE", LARGE))
                answers.append([type(answer) for answer in store.deliver(staged, filings)])

        assert answers == [answers[0]] * len(answers)
        # The others number at delivery, the Maildir when somebody looks: looked at once a step, they agree.
        self.look_everywhere()

    @rule(place=places, text=texts.map(b"".join), flags=flag_sets, keywords=keyword_sets)
    def append(
        self, place: tuple[MailboxId, FolderName], text: bytes, flags: frozenset[str], keywords: frozenset[str]
    ) -> None:
        def put(store: MessageStore) -> object:
            folder = store.folder(*place)
            with store.stage() as staged:
                staged.write(text)
                return folder.append(staged, flags=flags, keywords=keywords, internal_date=1e9).uid

        self.same(put)

    @rule(
        place=places,
        numbers=numbers,
        change=st.sampled_from(FlagChange),
        flags=flag_sets,
        keywords=keyword_sets,
    )
    def set_flags(
        self,
        place: tuple[MailboxId, FolderName],
        numbers: set[int],
        change: FlagChange,
        flags: frozenset[str],
        keywords: frozenset[str],
    ) -> None:
        def set_them(store: MessageStore) -> object:
            outcome = store.folder(*place).set_flags(
                [Uid(number) for number in numbers], change, flags=flags, keywords=keywords
            )
            return [(info.uid, info.flags, info.keywords) for info in outcome.changed], outcome.modified

        self.same(set_them)

    @rule(place=places, numbers=numbers, again=st.booleans(), mark=st.integers(0x80, 0xFF))
    def seal(self, place: tuple[MailboxId, FolderName], numbers: set[int], again: bool, mark: int) -> None:  # noqa: FBT001
        def seal_them(store: MessageStore) -> object:
            folder = store.folder(*place)
            # Nothing in a blob may also mean that it is cut off: how large its file is only a look would tell.
            sizes = {info.uid: info.octets for info in folder.list() if info.uid in numbers and info.octets}
            with ExitStack() as held:
                blobs: dict[Uid, StagedMessage] = {}
                for uid, octets in sizes.items():
                    blobs[uid] = held.enter_context(store.stage(sealed=True))
                    blobs[uid].write(bytes((mark,)) * (octets + SEAL_OVERHEAD_OCTETS))
                return folder.seal(blobs, again=again)

        self.same(seal_them)
        # It may have been done for all that were named: what was shown of these is no more.
        self.shown = {key: text for key, text in self.shown.items() if key[1:3] != place or key[4] not in numbers}

    @rule(place=places, numbers=numbers, to=st.sampled_from(FOLDERS))
    def copy(self, place: tuple[MailboxId, FolderName], numbers: set[int], to: FolderName) -> None:
        def copy_them(store: MessageStore) -> object:
            copied = store.folder(*place).copy([Uid(number) for number in numbers], to)
            return copied.from_uids, copied.to_uids

        self.same(copy_them)

    @rule(place=places, numbers=numbers, to=st.sampled_from(FOLDERS))
    def move(self, place: tuple[MailboxId, FolderName], numbers: set[int], to: FolderName) -> None:
        def move_them(store: MessageStore) -> object:
            copied = store.folder(*place).move([Uid(number) for number in numbers], to)
            return copied.from_uids, copied.to_uids

        self.same(move_them)

    @rule(place=places)
    def delete_folder(self, place: tuple[MailboxId, FolderName]) -> None:
        self.same(lambda store: store.folders(place[0]).delete(place[1]))

    @rule(place=places, to=st.sampled_from(FOLDERS))
    def rename_folder(self, place: tuple[MailboxId, FolderName], to: FolderName) -> None:
        self.same(lambda store: store.folders(place[0]).rename(place[1], to))

    @rule(place=places, wanted=st.booleans())
    def subscribe(self, place: tuple[MailboxId, FolderName], wanted: bool) -> None:  # noqa: FBT001
        self.same(lambda store: store.folders(place[0]).subscribe(place[1], wanted=wanted))

    @rule(mailbox=st.sampled_from(MAILBOXES))
    def lose_the_index(self, mailbox: MailboxId) -> None:
        for found in self.root.rglob("msgstore-index*"):
            if mailbox.local_part in found.parts:
                found.unlink()

    @rule(place=places, numbers=numbers)
    def expunge(self, place: tuple[MailboxId, FolderName], numbers: set[int]) -> None:
        def remove(store: MessageStore) -> object:
            return store.folder(*place).expunge([Uid(number) for number in sorted(numbers)])

        self.same(remove)

    @rule(place=places)
    def create_folder(self, place: tuple[MailboxId, FolderName]) -> None:
        self.same(lambda store: store.folders(place[0]).create(place[1]))

    @rule(mailbox=st.sampled_from(MAILBOXES))
    def create_mailbox(self, mailbox: MailboxId) -> None:
        self.same(lambda store: store.create_mailbox(mailbox))

    @rule(mailbox=st.sampled_from(MAILBOXES))
    def remove_mailbox(self, mailbox: MailboxId) -> None:
        self.same(lambda store: store.remove_mailbox(mailbox))

    @rule(place=places, uid=st.integers(1, 12))
    def retrieve(self, place: tuple[MailboxId, FolderName], uid: int) -> None:
        def read(store: MessageStore) -> object:
            with store.folder(*place).retrieve(Uid(uid)) as body:
                return b"".join(body.chunks())

        self.same(read)

    @rule()
    def go_on_in_another_process(self) -> None:
        self.maildirs.reverse()
        self.sqls.reverse()

    @rule()
    def restart(self) -> None:
        self.maildirs[0].close()
        self.maildirs[0] = self.new_maildir()
        self.sqls[0].close()
        self.sqls[0] = self.new_sql()

    @invariant()
    def the_folders_are_the_same(self) -> None:
        for mailbox in MAILBOXES:
            self.same(
                lambda store, mailbox=mailbox: [  # type: ignore[misc]
                    (info.name, info.subscribed, info.special_use, info.has_children)
                    for info in store.folders(mailbox).list()
                ]
            )

    @invariant()
    def the_same_is_counted(self) -> None:
        for mailbox in MAILBOXES:
            self.same(lambda store, mailbox=mailbox: store.usage(mailbox))  # type: ignore[misc]

    @invariant()
    def the_contents_are_the_same_and_no_uid_ever_names_another_message(self) -> None:
        self.look_everywhere()

    def look_everywhere(self) -> None:
        for mailbox in MAILBOXES:
            for folder in FOLDERS:
                self.look(mailbox, folder)

    def look(self, mailbox: MailboxId, folder: FolderName) -> None:
        def rows(store: MessageStore) -> object:
            handle = store.folder(mailbox, folder)
            status = handle.stat()
            infos = handle.list()
            return (
                (status.messages, status.octets, status.unseen, status.uidnext),
                [(info.uid, info.octets, info.stored_octets, info.flags, info.keywords, info.sealed) for info in infos],
            )

        self.same(rows)
        for store in self.stores[1:]:
            self.read(store, mailbox, folder)

    def read(self, store: MessageStore, mailbox: MailboxId, folder: FolderName) -> None:
        kind = type(store)
        try:
            handle = store.folder(mailbox, folder)
            validity = handle.stat().uidvalidity
        except MsgstoreError:
            return
        for info in handle.list():
            key = (kind, mailbox, folder, validity, int(info.uid))
            if key not in self.shown or self.rereads:
                with handle.retrieve(info.uid) as body:
                    text = b"".join(body.chunks())
                assert self.shown.setdefault(key, text) == text

    @rule()
    def read_everything_again(self) -> None:
        self.rereads = True
        self.look_everywhere()
        self.rereads = False

    def same(self, action: Callable[[MessageStore], object]) -> None:
        outcomes: list[object] = []
        for store in self.stores:
            try:
                outcomes.append(action(store))
            except MsgstoreError as error:
                outcomes.append(type(error))
        assert outcomes == [outcomes[0]] * len(outcomes)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            for maildir in self.maildirs:
                maildir.close()
            for sql in self.sqls:
                sql.close()
            shutil.rmtree(self.root)


@pytest.mark.slow
@pytest.mark.timeout(240)
class TestStoreMachine(StoreMachine.TestCase):  # type: ignore[misc, valid-type]  # made by hypothesis
    """Runs the machine."""


StoreMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
