"""One of several processes at work on one folder; prints what it saw as JSON lines."""

import json
import sys
import time
from pathlib import Path

from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing
from msgstore.model.message import Uid
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore

ALICE = MailboxId("alice", "example.com")
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
    elif part == "expunge":
        expunge(store, stop)
    store.close()


if __name__ == "__main__":
    main()
