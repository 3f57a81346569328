"""A mailbox of one store made what it is in another one, whatever backends they are; the source is only read.

It may be stopped anywhere and run again, and it may be run while mail flows into the source: each run puts what is
missing, changes what changed and expunges what vanished since.  A folder is taken as it was at one moment, and what
happens in it later is left to the next run.  Nothing but the source may change the target until the last run is done.

Not carried over, for the interface of a store does not give it: messages that were expunged and could be brought back,
subscriptions to folders that are not there, and what replies were sent by whom.  Expunges before the last run are not
remembered in the target, and it says so to whoever asks for them.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from msgstore.exchange.copying import Difference, FolderConverted, FolderCopying
from msgstore.exchange.finishing import finished_status
from msgstore.exchange.mirroring import mirror_scripts, mirror_subscriptions
from msgstore.exchange.values import Progress
from msgstore.exchange.verifying import FolderVerifying
from msgstore.model.address import MailboxId
from msgstore.model.errors import (
    FolderExists,
    FolderHasChildren,
    FolderNotFound,
    InvalidFolderName,
    ReservedFolderName,
)
from msgstore.model.folder import FolderInfo, FolderName, FolderStatus
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import Uid

__all__ = ["Converting"]

_UNFIT: Final = (InvalidFolderName, ReservedFolderName, FolderExists, FolderHasChildren, FolderNotFound)


class Converting:
    """Converts one mailbox; one thread at a time."""

    def __init__(
        self,
        source: MessageStore,
        target: MessageStore,
        mailbox: MailboxId,
        *,
        progress: Progress,
        dry_run: bool = False,
        verifies: bool = True,
        prunes: bool = False,
        skips_unreadable: bool = False,
    ) -> None:
        """Prepare.

        With ``prunes`` folders and scripts go away that are there and not in the source, and folders of another
        UIDVALIDITY are made anew; else they are noted and left alone.  With ``skips_unreadable`` what cannot be read
        is left out for good, else its folder waits for it.
        """
        self._source = source
        self._target = target
        self._mailbox = mailbox
        self._progress = progress
        self._dry_run = dry_run
        self._verifies = verifies and not dry_run
        self._prunes = prunes
        self._skips = skips_unreadable
        self.differences: Final[list[Difference]] = []
        """What is not there as it is here, in the order it was found; complete when :meth:`run` is."""

        self.removed_left: int = 0
        """Messages that were expunged in the source and could be brought back there, and cannot in the target."""

    def run(self) -> Iterator[FolderConverted]:
        """Convert one folder after the other, each answer when it is done, then what belongs to the mailbox.

        Raises:
            MailboxNotFound: there is no such mailbox in the source.
            StoreError: one of the stores cannot be worked on now; what was done stays, and running again goes on.
        """
        folders = self._source.folders(self._mailbox).list()
        if not self._dry_run:
            self._target.create_mailbox(self._mailbox)
            self._follow_renames(folders)
        if self._target.mailbox_exists(self._mailbox):
            self._take_away(folders)
        for info in folders:
            try:
                converted = self._folder(info)
            except _UNFIT as error:
                self._note(info.name, None, str(error))
                continue
            if converted is not None:
                yield converted
        self.removed_left = len(self._source.removed(self._mailbox))
        if self._dry_run:
            return
        mirror_subscriptions(folders, self._target, self._mailbox, note=self._note)
        mirror_scripts(
            self._source.scripts(self._mailbox),
            self._target.scripts(self._mailbox),
            prunes=self._prunes,
            verifies=self._verifies,
            note=self._note,
        )
        mark = self._source.quota_mark(self._mailbox)
        if mark != self._target.quota_mark(self._mailbox):
            self._target.set_quota_mark(self._mailbox, mark)
        self._target.recount(self._mailbox)

    # The tree.

    def _follow_renames(self, folders: tuple[FolderInfo, ...]) -> None:
        """Rename there what has another name here by now: copied anew it would cost all its messages."""
        here, there = self._source.folders(self._mailbox), self._target.folders(self._mailbox)
        names = {info.name for info in folders}
        for name in sorted(names):
            # Those below a renamed folder go with it, so what is there is looked at again.
            strays = {info.name for info in there.list()} - names
            if not strays or there.exists(name):
                continue
            with suppress(*_UNFIT):
                self._source.folder(self._mailbox, name).stat()
                guid = here.guid(name)
                old = next((one for one in sorted(strays) if guid is not None and there.guid(one) == guid), None)
                if old is not None:
                    there.rename(old, name)

    def _take_away(self, folders: tuple[FolderInfo, ...]) -> None:
        """Take away what is there and not here: what was never used, and with ``prunes`` everything."""
        tree, names = self._target.folders(self._mailbox), {info.name for info in folders}
        for info in sorted(tree.list(), key=lambda info: info.name, reverse=True):
            if info.name in names or info.name.is_inbox:
                continue
            is_used = self._target.folder(self._mailbox, info.name).stat().uidnext > 1
            if is_used and not self._prunes:
                self._note(info.name, None, "is there and not here; --prune takes it away")
                continue
            if self._dry_run:
                continue
            # A level above folders that are here stays; without messages it does no harm.
            try:
                tree.delete(info.name)
            except FolderHasChildren as error:
                if is_used:
                    self._note(info.name, None, str(error))

    def _folder(self, info: FolderInfo) -> FolderConverted | None:
        source = self._source.folder(self._mailbox, info.name)
        status = source.stat()
        label = f"{self._mailbox}: {info.name}"
        self._progress.begin(label, status.messages)
        there = finished_status(self._target, self._mailbox, info.name, dry_run=self._dry_run)
        if not self._fits(info, status, there):
            return None
        if not self._dry_run:
            self._make(info, status, there)
        is_new = there is None or (there.uidnext > 1 and there.uidvalidity != status.uidvalidity)
        target = None if self._dry_run and is_new else self._target.folder(self._mailbox, info.name)
        copying = FolderCopying(
            source,
            target,
            self._target,
            progress=self._progress,
            note=self._note,
            dry_run=self._dry_run,
            skips=self._skips,
        )
        converted = FolderConverted(folder=info.name, status=status)
        is_whole = copying.run(converted)
        if self._verifies and is_whole and target is not None:
            self._progress.begin(f"{label}, compared", status.messages)
            verifying = FolderVerifying(source, target, copying, progress=self._progress, note=self._note)
            verifying.run(converted)
            self._verify_folder(info)
        return converted

    def _fits(self, info: FolderInfo, status: FolderStatus, there: FolderStatus | None) -> bool:
        """Whether what is there can be made what is here."""
        if there is None or there.uidnext == 1:
            return True
        if there.uidvalidity != status.uidvalidity:
            if self._prunes and not info.name.is_inbox:
                return True
            text = f"UIDVALIDITY is {there.uidvalidity} there and {status.uidvalidity} here: it is another folder"
            self._note(info.name, None, text)
            return False
        if there.uidnext > status.uidnext:
            text = f"UIDNEXT is {there.uidnext} there and {status.uidnext} here: the folder there is in use"
            self._note(info.name, None, text)
            return False
        return True

    def _make(self, info: FolderInfo, status: FolderStatus, there: FolderStatus | None) -> None:
        """Make a folder that is not there, or make one that was never used what it is here."""
        tree, name = self._target.folders(self._mailbox), info.name
        is_another = there is not None and there.uidnext > 1 and there.uidvalidity != status.uidvalidity
        if there is not None and there.uidnext > 1 and not is_another:
            return
        known = next((one for one in tree.list() if one.name == name), None)
        guid = self._source.folders(self._mailbox).guid(name)
        loses_use = known is not None and info.special_use is None and known.special_use is not None
        if (is_another or loses_use) and not name.is_inbox:
            tree.delete(name)
            known = there = None
        is_same = there is not None and there.uidvalidity == status.uidvalidity and tree.guid(name) == guid
        if not is_same or known is None or known.special_use is not info.special_use:
            tree.restore(name, uidvalidity=status.uidvalidity, uidnext=1, guid=guid, special_use=info.special_use)

    def _verify_folder(self, info: FolderInfo) -> None:
        tree = self._target.folders(self._mailbox)
        known = next((one for one in tree.list() if one.name == info.name), None)
        if known is None or known.special_use is not info.special_use:
            self._note(info.name, None, "is for something else there")
        if tree.guid(info.name) != self._source.folders(self._mailbox).guid(info.name):
            self._note(info.name, None, "has another GUID there")

    def _note(self, folder: FolderName | None, uid: Uid | None, text: str) -> None:
        self.differences.append(Difference(folder=folder, uid=uid, text=text))
