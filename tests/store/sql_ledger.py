"""Deliveries that tests of the database backends make, and the claims that hold for what lies there afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from msgstore.model.address import MailboxId
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, MessageStore, StagedMessage, Wait
from msgstore.model.message import Uid
from msgstore.model.result import Filed
from msgstore.store.sql.dialect import open_engine
from msgstore.store.sql.store import SqlStore
from tests.scenario.harness import PATHS

__all__ = [
    "ALICE",
    "BOB",
    "check_ledger",
    "check_sums",
    "deliver",
    "filed",
    "ledger_of",
    "settle_together",
    "start_crowd",
    "stored",
    "texts",
]

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

_STORED: Final = """
select f.name, m.uid, b.data from message m
    join folder f on f.mailbox_id = m.mailbox_id and f.folder_id = m.folder_id
    join blob b on b.mailbox_id = m.mailbox_id and b.blob_id = m.blob_id
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
    open_ones: list[tuple[StagedMessage, Iterator[Filed | MsgstoreError | Wait]]] = []
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
    answers: list[Filed | MsgstoreError] = []
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


def stored(url: str) -> dict[str, dict[int, int]]:
    """Read the numbers that a crowd delivered: by folder, then by UID."""
    engine = open_engine(url, connections=1)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(_STORED).all()
    engine.dispose()
    found: dict[str, dict[int, int]] = {}
    for name, uid, data in rows:
        found.setdefault(name, {})[uid] = int(bytes(data))
    return found


def start_crowd(url: str, directory: Path, *parts: str, inside: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    """Start a process of :mod:`tests.store.sql_crowd`."""
    directory.mkdir(exist_ok=True)
    command = [*inside, sys.executable, "-m", "tests.store.sql_crowd", url, str(directory), *parts]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PATHS})


def ledger_of(*directories: Path) -> list[list[Any]]:
    """Read what the processes of these directories have noted, whole lines only."""
    found: list[list[Any]] = []
    for directory in directories:
        for path in directory.glob("ledger-*"):
            found += [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return found


def check_ledger(url: str, ledger: Sequence[Sequence[Any]]) -> None:
    """Compare what a crowd was told with what is there: each number once, under the UID that was answered."""
    noted: dict[str, list[Sequence[Any]]] = {}
    for line in ledger:
        noted.setdefault(line[0], []).append(line)
    assert noted.get("broken", []) == []
    expected: dict[tuple[str, int], int] = {(folder, uid): number for _, folder, uid, number, _ in noted["filed"]}
    assert len(expected) == len(noted["filed"])
    for _, folder, uid, _ in noted.get("expunged", []):
        expected.pop((folder, uid), None)
    moved = [((folder, uid), (to, to_uid)) for _, folder, uid, to, to_uid, _ in noted.get("moved", [])]
    assert len({to for _, to in moved}) == len(moved)
    for source, target in moved:
        if source in expected:
            expected[target] = expected.pop(source)
    found = {(folder, uid): number for folder, rows in stored(url).items() for uid, number in rows.items()}
    assert {place: found.get(place) for place in expected} == expected
    assert len(set(found.values())) == len(found)
    # What is there and was not acknowledged: its process was killed before it could tell, or was told it is uncertain.
    assert set(found.values()) - set(expected.values()) <= {
        number for number in found.values() if number not in {line[3] for line in noted["filed"]}
    }
