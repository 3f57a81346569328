"""Putting a source into a mailbox: under the UIDs it had where that can be, and never twice."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from msgstore.exchange.finishing import finished_status
from msgstore.exchange.matching import Known, Print, read_message
from msgstore.exchange.sealing import PLAIN, Coming, Sealing
from msgstore.exchange.values import Failures, ForeignFolder, ForeignMessage, Progress, Source
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderHasChildren, InvalidFolderName, ReservedFolderName
from msgstore.model.folder import FolderInfo, FolderName, FolderStatus
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import Restored

__all__ = ["FolderTaken", "Taking"]

_BATCH: Final = 200
"""Messages put at once: each may be an open file until then, and a process may have 1024."""

_BATCH_OCTETS: Final = 32 << 20


@dataclass(slots=True, kw_only=True)
class FolderTaken:
    """What became of one folder."""

    folder: FolderName
    keeps_uids: bool
    uidvalidity: int | None = None
    """The one it has here now; None in a dry run, unless it is kept."""

    put: int = 0
    """Messages that were put, or would be."""

    present: int = 0
    """Messages that were here already."""

    sealed: int = 0
    """Of those that were put: kept as blobs."""

    sealed_here: int = 0
    """Of these: came in plain and were sealed."""

    failed: int = 0
    """Messages that could not be put; the failures of the source say why."""


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Messages that are staged and not put yet."""

    staged: ExitStack
    messages: list[Restored]
    coming: list[Coming] = field(default_factory=list[Coming])
    octets: int = 0


class Taking:
    """Takes a source over into a mailbox; may be run again, with the same outcome as if it had run once."""

    def __init__(
        self,
        store: MessageStore,
        mailbox: MailboxId,
        source: Source,
        *,
        progress: Progress,
        wanted: frozenset[FolderName] = frozenset(),
        dry_run: bool = False,
        merges: bool = False,
        sealing: Sealing = PLAIN,
    ) -> None:
        """Prepare; ``wanted`` are the folders to take, none for all.

        ``sealing`` says what becomes of mail that is sealed or is to be.

        With ``merges`` messages get new UIDs where a folder is in use here with UIDs of its own, else such a folder is
        left alone and reported.  A dry run changes no mail and no folder.
        """
        self._store = store
        self._mailbox = mailbox
        self._source = source
        self._progress = progress
        self._wanted = wanted
        self._dry_run = dry_run
        self._merges = merges
        self._sealing = sealing
        self._uses = source.special_uses()

    @property
    def failures(self) -> Failures:
        """What was passed over."""
        return self._source.failures

    def run(self) -> Iterator[FolderTaken]:
        """Take one folder after the other, each answer when it is done, then the subscriptions.

        Raises:
            OSError: the source as a whole cannot be read.
            StoreError: the store cannot be worked on now; what was put stays, and running again goes on.
        """
        if not self._dry_run:
            self._store.create_mailbox(self._mailbox)
        for folder in self._source.folders():
            if self._wanted and folder.name not in self._wanted:
                continue
            try:
                taken = self._take(folder)
            except (InvalidFolderName, ReservedFolderName) as error:
                self.failures.add(str(folder.name), str(error))
                continue
            if taken is not None:
                yield taken
        self._subscribe()

    def _subscribe(self) -> None:
        if self._dry_run:
            return
        tree = self._store.folders(self._mailbox)
        for name in sorted(self._source.subscriptions()):
            if self._wanted and name not in self._wanted:
                continue
            try:
                tree.subscribe(name)
            except (InvalidFolderName, ReservedFolderName) as error:
                self.failures.add(f"subscription to {name}", str(error))

    def _take(self, folder: ForeignFolder) -> FolderTaken | None:
        self._progress.begin(str(folder.name), folder.expected)
        status = finished_status(self._store, self._mailbox, folder.name, dry_run=self._dry_run)
        is_fresh = status is None or status.uidnext == 1
        keeps_uids = folder.uidvalidity is not None and (
            status is None or is_fresh or status.uidvalidity == folder.uidvalidity
        )
        if folder.uidvalidity is not None and not keeps_uids and not self._merges:
            self.failures.add(str(folder.name), "is in use here with UIDs of its own; nothing of it was put")
            return None
        taken = FolderTaken(
            folder=folder.name, keeps_uids=keeps_uids, uidvalidity=folder.uidvalidity if keeps_uids else None
        )
        if not self._dry_run:
            self._make(folder, status, keeps_uids=keeps_uids)
        handle = None if self._dry_run and status is None else self._store.folder(self._mailbox, folder.name)
        if keeps_uids:
            _Restoring(self, handle, folder, taken).run(is_fresh=is_fresh)
        else:
            _Appending(self, handle, taken).run(folder.messages())
        if handle is not None and not self._dry_run:
            taken.uidvalidity = handle.stat().uidvalidity
        return taken

    def _make(self, folder: ForeignFolder, status: FolderStatus | None, *, keeps_uids: bool) -> None:
        tree = self._store.folders(self._mailbox)
        name = folder.name
        infos = {info.name: info for info in tree.list()}
        if name in self._uses and name not in infos:
            tree.create(name, special_use=self._uses[name])
        elif name in self._uses and infos[name].special_use != self._uses[name]:
            self._change_use(infos[name], is_used=status is not None and status.uidnext > 1)
        elif name not in infos and not keeps_uids:
            tree.create(name)
        if keeps_uids and (status is None or status.uidvalidity != folder.uidvalidity):
            assert folder.uidvalidity is not None
            tree.restore(name, uidvalidity=folder.uidvalidity, uidnext=1)

    def _change_use(self, info: FolderInfo, *, is_used: bool) -> None:
        """Make an empty folder anew for another use; one in use keeps its own."""
        tree = self._store.folders(self._mailbox)
        if not is_used and not info.name.is_inbox:
            try:
                tree.delete(info.name)
            except FolderHasChildren:
                pass
            else:
                tree.create(info.name, special_use=self._uses[info.name])
                return
        self.failures.add(str(info.name), "keeps the special use it has here")

    # For the parts below.

    @property
    def store(self) -> MessageStore:
        """The store that is written to."""
        return self._store

    @property
    def is_dry(self) -> bool:
        """Whether nothing is to be changed."""
        return self._dry_run

    @property
    def merges(self) -> bool:
        """Whether messages whose UIDs cannot be kept get new ones."""
        return self._merges

    @property
    def sealing(self) -> Sealing:
        """What becomes of sealed mail."""
        return self._sealing

    def step(self) -> None:
        """One more message is done."""
        self._progress.step()

    @staticmethod
    def count_put(taken: FolderTaken, coming: Coming) -> None:
        """Note a message that was put, or would be."""
        taken.put += 1
        taken.sealed += coming.sealed
        taken.sealed_here += coming.was_sealed_here

    def fail(self, taken: FolderTaken, message: ForeignMessage, reason: str) -> None:
        """Note a message that could not be put."""
        taken.failed += 1
        self.failures.add(message.place, reason)


class _Restoring:
    """Puts the messages of one folder under the UIDs they had."""

    def __init__(self, taking: Taking, handle: Folder | None, folder: ForeignFolder, taken: FolderTaken) -> None:
        self._taking = taking
        self._handle = handle
        self._folder = folder
        self._taken = taken
        self._batch = _Batch(staged=ExitStack(), messages=[])

    def run(self, *, is_fresh: bool) -> None:
        """Put messages with UIDs in batches, then UIDNEXT, then those without UIDs."""
        here: dict[int, object] = {}
        uidnext = 1
        if self._handle is not None and not is_fresh:
            here = {int(str(uid)): date for uid, date in self._handle.rows(["uid", "internal_date"])}
            uidnext = self._handle.stat().uidnext
        late: list[ForeignMessage] = []
        messages = self._folder.messages()
        try:
            for message in messages:
                if message.uid is None:
                    late.append(message)
                    break
                self._one(message, message.uid, here, uidnext=uidnext, late=late)
            self._put()
        finally:
            self._batch.staged.close()
        if self._handle is not None and not self._taking.is_dry:
            self._handle.restore((), uidnext=self._folder.uidnext)
        # A message without UID is none of those with one, even where it is equal to one of them.
        after = self._folder.uidnext - 1
        appending = _Appending(self._taking, self._handle, self._taken, after_uid=after)
        appending.run(iter(late))
        appending.run(messages)

    def _one(
        self, message: ForeignMessage, uid: Uid, here: dict[int, object], *, uidnext: int, late: list[ForeignMessage]
    ) -> None:
        if uid >= uidnext:
            self._stage(message, uid)
            return
        if here.get(uid) == message.internal_date:
            self._taken.present += 1
        elif self._taking.merges:
            late.append(message)
            return
        elif uid in here:
            self._taking.fail(self._taken, message, f"UID {uid} is another message here")
        else:
            self._taking.fail(self._taken, message, f"UID {uid} was given out here and its message is gone")
        self._taking.step()

    def _stage(self, message: ForeignMessage, uid: Uid) -> None:
        try:
            coming = self._taking.sealing.prepare(message)
        except OSError as error:
            self._taking.fail(self._taken, message, error.strerror or str(error))
            return
        if self._taking.is_dry:
            self._taking.count_put(self._taken, coming)
            self._taking.step()
            return
        staged = self._taking.store.stage(sealed=coming.sealed)
        try:
            octets = read_message(coming, staged).wire_octets
        except OSError as error:
            staged.discard()
            self._taking.fail(self._taken, message, error.strerror or str(error))
            return
        except BaseException:
            staged.discard()
            raise
        self._batch.staged.callback(staged.discard)
        self._batch.octets += octets
        self._batch.coming.append(coming)
        self._batch.messages.append(
            Restored(
                staged=staged,
                uid=uid,
                internal_date=message.internal_date,
                flags=message.flags,
                keywords=message.keywords,
                uidl=message.uidl,
            )
        )
        if len(self._batch.messages) >= _BATCH or self._batch.octets >= _BATCH_OCTETS:
            self._put()

    def _put(self) -> None:
        batch = self._batch
        if not batch.messages or self._handle is None:
            return
        self._handle.restore(batch.messages)
        for coming in batch.coming:
            self._taking.count_put(self._taken, coming)
            self._taking.step()
        batch.staged.close()
        self._batch = _Batch(staged=ExitStack(), messages=[])


class _Appending:
    """Puts messages into a folder under new UIDs, unless they are there already."""

    def __init__(self, taking: Taking, handle: Folder | None, taken: FolderTaken, *, after_uid: int = 0) -> None:
        self._after_uid = after_uid
        self._taking = taking
        self._handle = handle
        self._taken = taken
        self._known: Known | None = None

    def run(self, messages: Iterator[ForeignMessage]) -> None:
        """Put them all."""
        for message in messages:
            try:
                self._one(message)
            except OSError as error:
                self._taking.fail(self._taken, message, error.strerror or str(error))
            self._taking.step()

    def _one(self, message: ForeignMessage) -> None:
        if self._known is None:
            self._known = Known(self._handle, after_uid=self._after_uid, sealing=self._taking.sealing)
        coming = self._taking.sealing.prepare(message)
        if self._taking.is_dry or self._handle is None:
            self._count(self._known, read_message(coming, None), message, coming)
            return
        with self._taking.store.stage(sealed=coming.sealed) as staged:
            if self._count(self._known, read_message(coming, staged), message, coming):
                self._handle.append(
                    staged, flags=message.flags, keywords=message.keywords, internal_date=message.internal_date
                )

    def _count(self, known: Known, read: Print, message: ForeignMessage, coming: Coming) -> bool:
        """Whether a message is to be put."""
        is_here = known.take(read, message.internal_date)
        if is_here is None:
            self._taking.fail(self._taken, message, "may be here already, sealed: only the user's keys can tell")
            return False
        if is_here:
            self._taken.present += 1
        else:
            self._taking.count_put(self._taken, coming)
        return not is_here
