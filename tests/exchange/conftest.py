"""Stores of every kind to convert between."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from msgstore.model.interfaces import MessageStore
from msgstore.store.clock import SystemClock
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from tests.exchange.converting_room import Made
from tests.sql_room import sql_store, sqlite_store


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """Makes a store of a kind; two Maildirs lie apart and have another layout."""
    numbers = itertools.count()
    with ExitStack() as opened:

        def make(kind: str) -> MessageStore:
            number = next(numbers)
            place = tmp_path / str(number)
            place.mkdir()
            store: MessageStore
            match kind:
                case "memory":
                    store = MemoryStore(clock=SystemClock(), keeps_removed=True)
                case "sqlite":
                    store = sqlite_store(place, keeps_removed=True)
                case "postgresql":
                    store = sql_store(request.getfixturevalue("mail_database"), place, keeps_removed=True)
                case _:
                    store = _maildir(place, number)
            opened.callback(store.close)
            return store

        yield make


def _maildir(place: Path, number: int) -> MaildirStore:
    layout = Layout() if number == 0 else Layout(path_template="{domain}/{localpart}", maildir_subdir="M")
    return MaildirStore(str(place), layout_for=lambda _: layout, hostname=f"host{number}.example", keeps_removed=True)


PAIRS = (
    "memory to maildir",
    "maildir to memory",
    "maildir to maildir",
    "memory to memory",
    "maildir to sqlite",
    "sqlite to postgresql",
    "postgresql to maildir",
)


@pytest.fixture(params=PAIRS)
def stores(request: pytest.FixtureRequest, made: Made) -> tuple[MessageStore, MessageStore]:
    source, target = str(request.param).split(" to ")
    return made(source), made(target)
