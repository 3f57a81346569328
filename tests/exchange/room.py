"""Mailboxes to move: what one looks like from outside, and small foreign trees."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgstore.exchange.sealing import PLAIN, Sealing
from msgstore.exchange.taking import FolderTaken, Taking
from msgstore.exchange.values import PassedOver, Source
from msgstore.model.address import MailboxId
from msgstore.model.folder import FolderName, SpecialUse
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import Restored
from msgstore.store.clock import SystemClock
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore

ALICE = MailboxId("alice", "example.com")


class Silent:
    """Progress nobody looks at; counts."""

    def __init__(self) -> None:
        self.steps = 0

    def begin(self, label: str, total: int | None) -> None:
        pass

    def step(self) -> None:
        self.steps += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One message as everybody sees it, line ends aside."""

    flags: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()
    date: int = 1_000_000_000
    uidl: str | None = None
    text: bytes = b"Subject: hi\n\nbody\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One folder as everybody sees it."""

    uidvalidity: int
    uidnext: int
    special_use: SpecialUse | None = None
    subscribed: bool = False
    messages: tuple[tuple[int, Seen], ...] = ()


def memory() -> MemoryStore:
    return MemoryStore(clock=SystemClock())


def maildir(place: Path) -> MaildirStore:
    return MaildirStore(str(place), layout_for=lambda _: Layout(), hostname="test.example")


def take(
    store: MessageStore,
    source: Source,
    *,
    folders: Iterable[str] = (),
    dry_run: bool = False,
    merges: bool = False,
    sealing: Sealing = PLAIN,
) -> tuple[dict[str, FolderTaken], list[PassedOver]]:
    try:
        taking = Taking(
            store,
            ALICE,
            source,
            progress=Silent(),
            wanted=frozenset(FolderName.parse(name) for name in folders),
            dry_run=dry_run,
            merges=merges,
            sealing=sealing,
        )
        return {str(one.folder): one for one in taking.run()}, taking.failures.found
    finally:
        source.close()


def held(store: MessageStore, *, used_only: bool = True) -> dict[str, Held]:
    """Everything in a mailbox; without folders that were never used, unless wanted."""
    found: dict[str, Held] = {}
    for info in store.folders(ALICE).list():
        folder = store.folder(ALICE, info.name)
        status = folder.stat()
        if used_only and status.uidnext == 1:
            continue
        messages: list[tuple[int, Seen]] = []
        for one in folder.list():
            with folder.retrieve(one.uid) as body:
                text = b"".join(body.chunks()).replace(b"\r\n", b"\n")
            default = f"{one.uid:08x}{status.uidvalidity:08x}"
            uidl = None if one.uidl == default else one.uidl
            seen = Seen(flags=one.flags, keywords=one.keywords, date=one.internal_date, uidl=uidl, text=text)
            messages.append((int(one.uid), seen))
        found[str(info.name)] = Held(
            uidvalidity=status.uidvalidity,
            uidnext=status.uidnext,
            special_use=info.special_use,
            subscribed=info.subscribed,
            messages=tuple(messages),
        )
    return found


def fill(store: MessageStore, folders: dict[str, Held]) -> None:
    """Make a mailbox that looks like this."""
    store.create_mailbox(ALICE)
    tree = store.folders(ALICE)
    for text, folder in folders.items():
        name = FolderName.parse(text)
        if not tree.exists(name):
            tree.create(name, special_use=folder.special_use)
        tree.restore(name, uidvalidity=folder.uidvalidity, uidnext=1)
        restore(store.folder(ALICE, name), store, folder.messages, uidnext=folder.uidnext)
        if folder.subscribed:
            tree.subscribe(name)


def restore(handle: Folder, store: MessageStore, messages: Sequence[tuple[int, Seen]], *, uidnext: int) -> None:
    staged = [store.stage() for _ in messages]
    for one, (_, seen) in zip(staged, messages, strict=True):
        one.write(seen.text)
    restored = [
        Restored(
            staged=one,
            uid=Uid(uid),
            internal_date=seen.date,
            flags=seen.flags,
            keywords=seen.keywords,
            uidl=seen.uidl,
        )
        for one, (uid, seen) in zip(staged, messages, strict=True)
    ]
    handle.restore(restored, uidnext=uidnext)
    for one in staged:
        one.discard()


def tree_of(place: Path, files: dict[str, bytes]) -> Path:
    """Write files below a directory, every message with a date of its own; a name that ends in / is a directory."""
    for number, (name, content) in enumerate(files.items()):
        path = place / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    return place


def snapshot(place: Path) -> dict[str, bytes | None]:
    """Everything below a directory."""
    return {
        str(path.relative_to(place)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(place.rglob("*"))
    }
