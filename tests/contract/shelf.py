"""Short words for what the contract says again and again."""

from msgstore.model.address import MailboxId
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Appended
from msgstore.model.result import Filed

ALICE, BOB = MailboxId("alice", "example.com"), MailboxId("bob", "example.com")
WORK = FolderName(("Work",))
TEXT = b"Subject: hi\r\n\r\nbody\r\n"


def put(store: MessageStore, *filings: Filing, text: bytes = TEXT) -> list[Filed | MsgstoreError]:
    with store.stage() as staged:
        staged.write(text)
        return list(store.deliver(staged, filings))


def to(mailbox: MailboxId, folder: FolderName = INBOX, **more: object) -> Filing:
    return Filing(mailbox=mailbox, folder=folder, **more)  # type: ignore[arg-type]  # fields of a test


def uids(store: MessageStore, mailbox: MailboxId = ALICE, folder: FolderName = INBOX) -> list[int]:
    return [info.uid for info in store.folder(mailbox, folder).list()]


def text_of(store: MessageStore, uid: int, mailbox: MailboxId = ALICE, folder: FolderName = INBOX) -> bytes:
    with store.folder(mailbox, folder).retrieve(Uid(uid)) as body:
        return b"".join(body.chunks())


def add(store: MessageStore, folder: FolderName = INBOX, *, text: bytes = TEXT, **more: object) -> Appended:
    with store.stage() as staged:
        staged.write(text)
        return store.folder(ALICE, folder).append(staged, **more)  # type: ignore[arg-type]  # fields of a test


def infos(store: MessageStore, folder: FolderName = INBOX) -> dict[int, MessageInfo]:
    return {int(info.uid): info for info in store.folder(ALICE, folder).list()}
