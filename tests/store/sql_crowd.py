"""One of several processes at work on a database, several threads each; what they did is written to a ledger.

``python -m tests.store.sql_crowd URL DIRECTORY PART...``; a part is ``deliver,FIRST,COUNT,FOLDER`` (a count of 0 means
until the end), ``poll,FOLDER``, ``expunge,FOLDER`` or ``move,FOLDER,TO``.  The end is a file named ``stop`` in the
directory.  Each line of the ledger reaches its file at once, so that what was acknowledged outlives the process.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgstore.model.errors import StoreError
from msgstore.model.folder import FolderName
from msgstore.model.result import Filed
from msgstore.model.store import Uncertain
from msgstore.store.sql.store import SqlStore
from tests.sql_room import sql_store
from tests.store.sql_ledger import ALICE, deliver

PAUSE_SECONDS: Final = 0.01


class Worker:
    """What the threads of one process share."""

    def __init__(self, url: str, directory: Path) -> None:
        self.store: SqlStore = sql_store(url, directory)
        self._stop = directory / "stop"
        self._ledger = os.open(directory / f"ledger-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @property
    def is_over(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.exists()

    def note(self, *words: object) -> None:
        """Write a line: what happened, and when."""
        os.write(self._ledger, json.dumps([*words, time.monotonic()]).encode() + b"\n")

    def run(self, part: str) -> None:
        """Play a part; whatever ends it but an error of the store is noted."""
        verb, *words = part.split(",")
        parts: dict[str, Callable[..., None]] = {
            "deliver": self.deliver,
            "poll": self.poll,
            "expunge": self.expunge,
            "move": self.move,
        }
        try:
            parts[verb](*words)
        except Exception as error:
            self.note("broken", part, repr(error))
            raise

    def deliver(self, first: str, count: str, name: str) -> None:
        """Deliver numbers; one that was surely not taken is delivered again, as clients do."""
        number, end = int(first), int(first) + int(count)
        while not (self.is_over if number >= end and end == int(first) else number >= end):
            answer = deliver(self.store, b"%d" % number, folder=FolderName.parse(name))
            if isinstance(answer, Filed):
                self.note("filed", name, answer.uid, number)
                number += 1
            elif isinstance(answer, Uncertain):
                self.note("uncertain", name, number)
                number += 1
            else:
                self.note("error", type(answer).__name__, str(answer))
                time.sleep(PAUSE_SECONDS)

    def poll(self, name: str) -> None:
        """Look again and again; note what no reader may ever see."""
        seen: set[int] = set()
        highest = uidnext = modseq = 0
        while not self.is_over:
            try:
                folder = self.store.folder(ALICE, FolderName.parse(name))
                status = folder.stat()
                uids = [int(info.uid) for info in folder.list(after_uid=max(highest - 200, 0))]
            except StoreError:
                time.sleep(PAUSE_SECONDS)
                continue
            new = set(uids) - seen
            if any(uid <= highest for uid in new if uid > highest - 200) and seen:
                self.note("broken", "below", name, highest, sorted(new)[:5])
            if status.uidnext < uidnext or status.modseq < modseq:
                self.note("broken", "back", name, status.uidnext, uidnext, status.modseq, modseq)
            seen |= new
            highest, uidnext, modseq = max([highest, *uids]), status.uidnext, status.modseq
            self.note("polled", name, len(seen))

    def expunge(self, name: str) -> None:
        """Remove every message whose UID ends in 7."""
        while not self.is_over:
            folder = self.store.folder(ALICE, FolderName.parse(name))
            for uid in folder.expunge([info.uid for info in folder.list() if info.uid % 10 == 7]):
                self.note("expunged", name, uid)
            time.sleep(PAUSE_SECONDS)

    def move(self, name: str, to: str) -> None:
        """Move every message whose UID ends in 3."""
        while not self.is_over:
            folder = self.store.folder(ALICE, FolderName.parse(name))
            uids = [info.uid for info in folder.list() if info.uid % 10 == 3]
            moved = folder.move(uids, FolderName.parse(to))
            for from_uid, to_uid in zip(moved.from_uids, moved.to_uids, strict=True):
                self.note("moved", name, from_uid, to, to_uid)
            time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Play all parts at once."""
    url, directory, *parts = sys.argv[1:]
    worker = Worker(url, Path(directory))
    threads = [threading.Thread(target=worker.run, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.store.close()


if __name__ == "__main__":
    main()
