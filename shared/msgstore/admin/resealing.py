"""Sealing mail that is there already: each message is read, sealed, and its blob put in its place.

Works beside deliveries and sessions, a batch at a time; stopped at any point it goes on when it is run again, for what
is done says so itself.  Opened octets are in memory alone, one message at a time.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgstore.crypto import OVERHEAD_OCTETS, OpenKeys, PublicKey, SecretKey, open_into, seal
from msgstore.crypto.box import looks_like_plaintext
from msgstore.exchange.values import PassedOver, Progress
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound, MessageExpunged, MessageNotFound, Overloaded
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Body, Folder, MessageStore, StagedMessage
from msgstore.model.keys import BlobNotOpened, SealError
from msgstore.model.message import Uid
from msgstore.store.lines import to_crlf

__all__ = [
    "FolderSealed",
    "Kind",
    "Resealing",
    "SealAgain",
    "SealPlain",
    "mail_of_keys",
    "may_be_blob",
    "opened_with",
    "seal_mailbox",
]

_PAGE: Final = 500
_BATCH: Final = 100
"""Blobs put at once: each is an open file until then."""

_BATCH_OCTETS: Final = 32 << 20
_COUNTS: Final = 3


@dataclass(slots=True, kw_only=True)
class FolderSealed:
    """What became of one folder."""

    folder: FolderName
    sealed: int = 0
    """Messages that were sealed now, or would be."""

    present: int = 0
    """Messages that were sealed as they should be."""

    changed: int = 0
    """Messages that were removed or sealed by others meanwhile, or cannot be kept under another name."""

    left: list[PassedOver] = field(default_factory=list[PassedOver])
    """Messages that are left as they are, and why."""


class Kind(Protocol):
    """What is done with messages, one at a time."""

    @property
    def is_again(self) -> bool:
        """Whether it takes sealed messages, and not plain ones."""
        ...

    def blob_of(self, body: Body, *, sealed: bool) -> bytearray | None:
        """Give the blob of a message; None where nothing is to be done.

        Raises:
            SealError: it is to be left as it is; says why.
        """
        ...


class SealPlain:
    """Seals what is plain to a key.

    What does not begin as a message does may be a blob of an older installation, which bears no mark.  With the user's
    keys it is tried; without them such a message is left.
    """

    is_again = False

    def __init__(self, public: PublicKey, keys: OpenKeys | None = None) -> None:
        self._public = public
        self._keys = keys

    def blob_of(self, body: Body, *, sealed: bool) -> bytearray | None:
        """Give the blob of a plain message."""
        if sealed:
            return None
        content = b"".join(body.chunks())
        if may_be_blob(content):
            if self._keys is None:
                raise SealError("does not begin as a message does, and may be sealed: only the user's keys can tell")
            if opened_with(content, self._keys) is not None:
                raise SealError("is sealed already, without a mark: export it and import it with the keys")
        return seal(to_crlf(content), self._public)


class SealAgain:
    """Seals to the active key what is sealed to an older one."""

    is_again = True

    def __init__(self, keys: OpenKeys) -> None:
        self._keys = keys

    def blob_of(self, body: Body, *, sealed: bool) -> bytearray | None:
        """Give the blob of a sealed message for the active key."""
        if not sealed and not may_be_blob(body.read(0, OVERHEAD_OCTETS)):
            return None
        content = b"".join(body.chunks())
        opened = opened_with(content, self._keys)
        if opened is None:
            if not sealed:
                return None
            raise BlobNotOpened("is damaged, or sealed to a key that is not there")
        if opened[0] == self._keys.active.public:
            return None
        if not sealed:
            raise SealError(f"is sealed to {opened[0].key_id}, without a mark: export it and import it with the keys")
        return seal(opened[1], self._keys.active.public)


def may_be_blob(beginning: bytes) -> bool:
    """Whether octets that bear no mark may be a blob: they are long enough and do not begin as a message does."""
    return len(beginning) >= OVERHEAD_OCTETS and not looks_like_plaintext(beginning)


def opened_with(content: bytes, keys: OpenKeys) -> tuple[PublicKey, bytearray] | None:
    """Open a blob, and say which key it was sealed to; None where no key opens it."""
    message = bytearray(max(len(content) - OVERHEAD_OCTETS, 0))
    try:
        fitted: SecretKey = open_into(message, content, keys.keys)
    except SealError:
        return None
    return fitted.public, message


def mail_of_keys(store: MessageStore, mailbox: MailboxId, keys: OpenKeys, *, progress: Progress) -> Counter[str]:
    """Count messages by the id of the key that they are sealed to; what no key opens is none of theirs.

    Raises:
        Overloaded: mail came or was moved each time while it was counted.
        StoreError: the store cannot be worked on now.
    """
    for _ in range(_COUNTS):
        before = _stamps(store, mailbox)
        found = Counter[str]()
        for name in before:
            with suppress(FolderNotFound):
                found += _mail_of_folder(store.folder(mailbox, name), keys, progress)
        # What was moved from a folder not counted yet into one that was had been missed.
        if _stamps(store, mailbox) == before:
            return found
    raise Overloaded(f"mail of {mailbox} comes or moves faster than it can be counted; try again")


def _stamps(store: MessageStore, mailbox: MailboxId) -> dict[FolderName, tuple[int, int]]:
    """Give what is another one as soon as a message came into a folder.

    UIDNEXT would not do: a message that comes back into a Maildir may get the UID it had.
    """
    found: dict[FolderName, tuple[int, int]] = {}
    for info in store.folders(mailbox).list():
        with suppress(FolderNotFound):
            status = store.folder(mailbox, info.name).stat()
            found[info.name] = status.uidvalidity, status.modseq
    return found


def _mail_of_folder(folder: Folder, keys: OpenKeys, progress: Progress) -> Counter[str]:
    found = Counter[str]()
    progress.begin(str(folder.name), folder.stat().messages)
    for uid, sealed in folder.rows(["uid", "sealed"]):
        progress.step()
        with suppress(MessageExpunged, MessageNotFound), folder.retrieve(Uid(int(str(uid)))) as body:
            if not sealed and not may_be_blob(body.read(0, OVERHEAD_OCTETS)):
                continue
            opened = opened_with(b"".join(body.chunks()), keys)
            if opened is not None:
                found[opened[0].key_id] += 1
    return found


def seal_mailbox(
    store: MessageStore, mailbox: MailboxId, kind: Kind, *, progress: Progress, dry_run: bool = False
) -> Iterator[FolderSealed]:
    """Go through every folder, each answer when it is done.  A dry run reads everything and changes nothing.

    Raises:
        StoreError: the store cannot be worked on now; what was done stays, and running again goes on.
    """
    for info in store.folders(mailbox).list():
        resealing = Resealing(store, store.folder(mailbox, info.name), kind, progress=progress, dry_run=dry_run)
        try:
            resealing.run()
        except FolderNotFound:
            # Removed or renamed meanwhile; under its new name the next run finds it.
            continue
        yield resealing.done


class Resealing:
    """Works on one folder."""

    def __init__(
        self, store: MessageStore, folder: Folder, kind: Kind, *, progress: Progress, dry_run: bool = False
    ) -> None:
        self._store = store
        self._folder = folder
        self._kind = kind
        self._progress = progress
        self._dry_run = dry_run
        self._held = ExitStack()
        self._blobs: dict[Uid, StagedMessage] = {}
        self._octets = 0
        self.done: Final = FolderSealed(folder=folder.name)

    def run(self) -> None:
        """Seal what is there, and what comes meanwhile.

        Raises:
            FolderNotFound: it is gone.
            StoreError: it could not be done for some; what was done stays.
        """
        self._progress.begin(str(self._folder.name), self._folder.stat().messages)
        last = 0
        try:
            while rows := self._folder.rows(["uid", "sealed"], after_uid=last, limit=_PAGE):
                for uid, sealed in rows:
                    last = int(str(uid))
                    self._one(Uid(last), sealed=sealed is True)
                    self._progress.step()
            self._put()
        finally:
            self._held.close()

    def _one(self, uid: Uid, *, sealed: bool) -> None:
        if sealed and not self._kind.is_again:
            self.done.present += 1
            return
        try:
            with self._folder.retrieve(uid) as body:
                blob = self._kind.blob_of(body, sealed=sealed)
        except (MessageExpunged, MessageNotFound):
            self.done.changed += 1
            return
        except SealError as error:
            self.done.left.append(
                PassedOver(place=f"{self._folder.mailbox} {self._folder.name}: message {uid}", reason=str(error))
            )
            return
        if blob is None:
            self.done.present += sealed
        elif self._dry_run:
            self.done.sealed += 1
        else:
            self._stage(uid, blob)

    def _stage(self, uid: Uid, blob: bytearray) -> None:
        staged = self._store.stage(sealed=True)
        self._held.callback(staged.discard)
        staged.write(blob)
        self._blobs[uid] = staged
        self._octets += len(blob)
        if len(self._blobs) >= _BATCH or self._octets >= _BATCH_OCTETS:
            self._put()

    def _put(self) -> None:
        if not self._blobs:
            return
        done = self._folder.seal(self._blobs, again=self._kind.is_again)
        self.done.sealed += len(done)
        self.done.changed += len(self._blobs) - len(done)
        self._held.close()
        self._blobs, self._octets = {}, 0
