"""Memory and Maildir live the same life side by side; whatever one shows the other must show."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from msgstore.model.address import MailboxId
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.store.clock import SystemClock
from msgstore.store.disk import Disk
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore

MAILBOXES: Final = (MailboxId("alice", "example.com"), MailboxId("bob", "example.com"))
FOLDERS: Final = (INBOX, FolderName(("Work",)), FolderName(("Work", "Old.er")))

places = st.tuples(st.sampled_from(MAILBOXES), st.sampled_from(FOLDERS))
LARGE: Final = b"y" * 70_000
"""More than is held in memory before a file is made."""

texts = st.lists(st.sampled_from([b"Subject: x\r\n", b"\r\n", b"\n", b"body", b"\0\xff", b"LARGE"]), max_size=4)


class UnsyncedDisk(Disk):
    """Nothing is lost here: no power is cut."""

    def sync_file(self, fd: int) -> None:
        del fd

    def sync_directory(self, fd: int) -> None:
        del fd


class StoreMachine(RuleBasedStateMachine):
    """Every step is done to both stores; answers and contents must agree."""

    @initialize()
    def open_stores(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="msgstore-machine-"))
        self.memory = MemoryStore(clock=SystemClock())
        self.maildirs = [self.new_maildir(), self.new_maildir()]
        self.shown: dict[tuple[MailboxId, FolderName, int, int], bytes] = {}

    def new_maildir(self) -> MaildirStore:
        return MaildirStore(str(self.root), layout_for=lambda _: Layout(), disk=UnsyncedDisk(), hostname="test.example")

    @property
    def both(self) -> tuple[MessageStore, MessageStore]:
        return self.memory, self.maildirs[0]

    @rule(
        text=texts.map(b"".join),
        where=st.lists(places, min_size=1, max_size=4),
        flags=st.sets(st.sampled_from([SEEN, FLAGGED])),
    )
    def deliver(self, text: bytes, where: list[tuple[MailboxId, FolderName]], flags: set[str]) -> None:
        answers: list[list[type]] = []
        filings = [Filing(mailbox=mailbox, folder=folder, flags=frozenset(flags)) for mailbox, folder in where]
        for store in self.both:
            with store.stage() as staged:
                staged.write(text.replace(b"LARGE", LARGE))
                answers.append([type(answer) for answer in store.deliver(staged, filings)])

        assert answers[0] == answers[1]
        # The memory backend numbers at delivery, the Maildir when somebody looks: looked at once a step, they agree.
        self.look_everywhere()

    @rule(place=places, numbers=st.sets(st.integers(1, 12), max_size=4))
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

    @rule()
    def restart(self) -> None:
        self.maildirs[0].close()
        self.maildirs[0] = self.new_maildir()

    @invariant()
    def the_folders_are_the_same(self) -> None:
        for mailbox in MAILBOXES:
            self.same(lambda store, mailbox=mailbox: [info.name for info in store.folders(mailbox).list()])  # type: ignore[misc]

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
                [(info.uid, info.octets, info.stored_octets, info.flags) for info in infos],
            )

        self.same(rows)
        try:
            handle = self.maildirs[0].folder(mailbox, folder)
            validity = handle.stat().uidvalidity
        except MsgstoreError:
            return
        for info in handle.list():
            with handle.retrieve(info.uid) as body:
                text = b"".join(body.chunks())
            assert self.shown.setdefault((mailbox, folder, validity, info.uid), text) == text

    def same(self, action: Callable[[MessageStore], object]) -> None:
        outcomes: list[object] = []
        for store in self.both:
            try:
                outcomes.append(action(store))
            except MsgstoreError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]

    def teardown(self) -> None:
        if hasattr(self, "root"):
            for store in self.maildirs:
                store.close()
            shutil.rmtree(self.root)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
