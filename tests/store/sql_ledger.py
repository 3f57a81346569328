"""Deliveries that tests of the database backends make, and the claims that hold for what lies there afterwards."""

from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore, Wait
from msgstore.model.message import Uid
from msgstore.model.result import Filed
from msgstore.store.sql.dialect import open_engine
from msgstore.store.sql.store import SqlStore

__all__ = ["ALICE", "BOB", "check_sums", "deliver", "filed", "settle_together", "texts"]

ALICE: Final = MailboxId("alice", "example.com")
BOB: Final = MailboxId("bob", "example.com")

_SUMS: Final = """
select f.mailbox_id, f.folder_id, f.uidnext, f.modseq, f.messages, f.unseen, f.octets,
    count(m.uid), coalesce(sum(case when m.flags & 16 = 0 then 1 else 0 end), 0), coalesce(sum(m.octets), 0),
    coalesce(max(m.uid), 0), coalesce(max(m.modseq), 0), count(distinct m.delivery_key)
from folder f left join message m on m.mailbox_id = f.mailbox_id and m.folder_id = f.folder_id
group by f.mailbox_id, f.folder_id
"""
_BODILESS: Final = """
select count(*) from message m left join blob b on b.mailbox_id = m.mailbox_id and b.blob_id = m.blob_id
where b.blob_id is null
"""


def deliver(
    store: SqlStore,
    text: bytes,
    *,
    mailbox: MailboxId = ALICE,
    folder: FolderName = INBOX,
    keywords: frozenset[str] = frozenset(),
    internal_date: float | None = None,
) -> Filed | MsgstoreError:
    """Deliver one message to one place and give the answer."""
    with store.stage() as staged:
        staged.write(text)
        filing = Filing(mailbox=mailbox, folder=folder, keywords=keywords, internal_date=internal_date)
        (answer,) = store.deliver(staged, [filing])
    return answer


def filed(answer: Filed | MsgstoreError) -> int:
    """Give the UID of a delivery that succeeded."""
    assert isinstance(answer, Filed), repr(answer)
    assert answer.uid is not None
    return int(answer.uid)


def settle_together(store: SqlStore, filings: Iterable[tuple[bytes, Filing]]) -> list[Filed | MsgstoreError]:
    """Deliver several messages in one batch."""
    open_ones = []
    waits: list[Wait] = []
    for text, filing in filings:
        staged = store.stage()
        staged.write(text)
        steps = store.deliver_in_steps(staged, [filing])
        first = next(steps)
        assert isinstance(first, Wait)
        waits.append(first)
        open_ones.append((staged, steps))
    store.settle(waits)
    answers = []
    for staged, steps in open_ones:
        answer = next(steps)
        assert not isinstance(answer, Wait)
        answers.append(answer)
        staged.discard()
    return answers


def texts(store: MessageStore, mailbox: MailboxId = ALICE, folder: FolderName = INBOX) -> Mapping[int, bytes]:
    """Read a whole folder: the octets of each message by its UID."""
    handle = store.folder(mailbox, folder)
    found: dict[int, bytes] = {}
    for info in handle.list():
        with handle.retrieve(Uid(info.uid)) as body:
            found[info.uid] = b"".join(body.chunks())
    return found


def check_sums(url: str, *, is_gapless: bool) -> None:
    """Compare the counters of every folder with its rows, UIDNEXT and modseq with the highest, bodies with messages.

    Where nothing was expunged there is no gap between UIDs.
    """
    engine = open_engine(url, connections=1)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(_SUMS).all()
        bodiless = connection.scalar(sa.text(_BODILESS))
    engine.dispose()
    assert rows
    assert bodiless == 0
    for row in rows:
        uidnext, modseq, *counted = row[2:7]
        *sums, highest_uid, highest_modseq, keys = row[7:]
        assert counted == [int(value) for value in sums], row
        assert highest_uid < uidnext, row
        assert highest_modseq <= modseq, row
        assert keys == counted[0], row
        if is_gapless:
            assert highest_uid == uidnext - 1 == counted[0], row
