"""One of several processes at work on one folder; prints what it saw as JSON lines."""

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from msgstore.model.address import MailboxId
from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import MessageExpunged, StoreUnavailable
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, StagedMessage
from msgstore.model.message import FLAGGED, SEEN, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
JUNK = FolderName(("Junk",))
LEAST_OCTETS = 100
"""A message of this size plus n is message n."""


def deliver(store: MaildirStore, first: int, count: int) -> None:
    """Deliver messages ``first`` and following."""
    for number in range(first, first + count):
        with store.stage() as staged:
            staged.write(b"Subject: hi\r\n\r\n".ljust(LEAST_OCTETS + number, b"x"))
            list(store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)]))


def look(store: MaildirStore, stop: Path) -> None:
    """List again and again, and once more behind the end."""
    is_last = False
    while not is_last:
        is_last = stop.exists()
        folder = store.folder(ALICE, INBOX)
        rows = [(info.uid, info.octets - LEAST_OCTETS) for info in folder.list()]
        print(json.dumps({"uidvalidity": folder.stat().uidvalidity, "rows": rows}), flush=True)


def flip(inbox: Path, stop: Path) -> None:
    """Rename files between new and cur and between flags, as IMAP servers do."""
    while not stop.exists():
        for directory in ("new", "cur"):
            for path in list((inbox / directory).iterdir()):
                base, _, info = path.name.partition(":")
                target = inbox / "cur" / f"{base}:2,{'' if 'S' in info else 'S'}"
                try:
                    path.rename(target)
                except FileNotFoundError:
                    continue


def expunge(store: MaildirStore, stop: Path) -> None:
    """Remove every message whose number ends in 7."""
    while not stop.exists():
        folder = store.folder(ALICE, INBOX)
        doomed = [info.uid for info in folder.list() if (info.octets - LEAST_OCTETS) % 10 == 7]
        folder.expunge([Uid(uid) for uid in doomed])
        time.sleep(0.01)


def append(store: MaildirStore, first: int, count: int) -> None:
    """Append messages ``first`` and following, and say whether each lies under the UID that was answered."""
    for number in range(first, first + count):
        text = b"Subject: hi\r\n\r\n".ljust(LEAST_OCTETS + number, b"x")
        folder = store.folder(ALICE, INBOX)
        with store.stage() as staged:
            staged.write(text)
            appended = folder.append(staged, flags=frozenset({FLAGGED}))
        try:
            with folder.retrieve(appended.uid) as body:
                is_there = b"".join(body.chunks()) == text
        except (MessageExpunged, StoreUnavailable):
            # Moved away in between, or renamed faster than anybody can open it, which is a temporary answer.
            is_there = True
        print(json.dumps({"uid": appended.uid, "number": number, "is_there": is_there}), flush=True)


def mark(store: MaildirStore, stop: Path) -> None:
    """Set and take away flags and keywords of everything, again and again."""
    step = 0
    while not stop.exists():
        folder = store.folder(ALICE, INBOX)
        uids = [info.uid for info in folder.list()]
        change = FlagChange.REMOVE if step % 2 else FlagChange.ADD
        folder.set_flags(uids, change, flags=frozenset({SEEN}), keywords=frozenset({f"k{step % 30}"}))
        step += 1
        time.sleep(0.005)


def shuffle(store: MaildirStore, stop: Path) -> None:
    """Move every message whose number ends in 3 to Junk and copy those from there back, once each."""
    while not stop.exists():
        inbox, junk = store.folder(ALICE, INBOX), store.folder(ALICE, JUNK)
        moved = inbox.move([info.uid for info in inbox.list() if (info.octets - LEAST_OCTETS) % 10 == 3], JUNK)
        for from_uid, to_uid in zip(moved.from_uids, moved.to_uids, strict=True):
            with junk.retrieve(to_uid) as body:
                print(
                    json.dumps({"from": from_uid, "to": to_uid, "number": body.stored_octets - LEAST_OCTETS}),
                    flush=True,
                )
        time.sleep(0.01)


def seal(store: MaildirStore, stop: Path) -> None:
    """Seal everything that is plain, and once more behind the end; names what is left plain then."""
    is_last = False
    while not is_last:
        is_last = stop.exists()
        folder = store.folder(ALICE, INBOX)
        with ExitStack() as held:
            blobs: dict[Uid, StagedMessage] = {}
            for info in folder.list():
                if not info.sealed:
                    blobs[info.uid] = held.enter_context(store.stage(sealed=True))
                    blobs[info.uid].write(b"\xee" * (info.octets + SEAL_OVERHEAD_OCTETS))
            folder.seal(blobs)
    plain = [info.octets - LEAST_OCTETS for info in store.folder(ALICE, INBOX).list() if not info.sealed]
    print(json.dumps({"plain": plain}), flush=True)


def main() -> None:
    """Play one part."""
    part, root, *numbers = sys.argv[1:]
    store = MaildirStore(root, layout_for=lambda _: Layout())
    stop = Path(root) / "stop"
    if part == "deliver":
        deliver(store, int(numbers[0]), int(numbers[1]))
    elif part == "look":
        look(store, stop)
    elif part == "flip":
        flip(Path(root) / "example.com" / "users" / "alice", stop)
    elif part == "append":
        append(store, int(numbers[0]), int(numbers[1]))
    elif part == "mark":
        mark(store, stop)
    elif part == "shuffle":
        shuffle(store, stop)
    elif part == "seal":
        seal(store, stop)
    elif part == "expunge":
        expunge(store, stop)
    store.close()


if __name__ == "__main__":
    main()
