"""Every test here runs over every backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.model.interfaces import MessageStore
from msgstore.store.clock import SystemClock
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from tests.contract.shelf import ALICE, WORK
from tests.sql_room import sql_store, sqlite_store

BACKENDS = ("memory", "maildir", "sqlite", "postgresql")


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageStore]:
    made: MessageStore
    match request.param:
        case "memory":
            made = MemoryStore(clock=SystemClock(), keeps_removed=True)
        case "maildir":
            made = MaildirStore(
                str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example", keeps_removed=True
            )
        case "sqlite":
            made = sqlite_store(tmp_path, keeps_removed=True)
        case _:
            made = sql_store(request.getfixturevalue("mail_database"), tmp_path, keeps_removed=True)
    yield made
    made.close()


@pytest.fixture
def box(store: MessageStore) -> MessageStore:
    store.create_mailbox(ALICE)
    store.folders(ALICE).create(WORK)
    return store
