"""Reading large mailboxes: the store alone, and accessd against Dovecot's POP3 and IMAP on the same mail.

Every figure is a median; ratios are taken between neighbours in time.  The page cache is warm, indexes are warm unless
a line says cold.
"""

import argparse
import os
import random
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from msgstore.access.sync import AccessClient, Session
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.message import Uid
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.speed.load import tree_resident_octets
from tests.speed.readers import PASSWORD, Reader, accessd, dovecot, fill
from tests.speed.servers import journaled_disk

ALICE: Final = MailboxId("alice", "example.com")
LAYOUT: Final = Layout()
SPREAD: Final = 500
"""Messages that are retrieved, evenly spread over the mailbox."""

PIPELINED: Final = 50
"""Commands that Dovecot is sent at once."""


def median_ms(action: Callable[[], object], times: int) -> float:
    """Give the median of several runs in ms."""
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def opened(mail: Path) -> MaildirStore:
    """Open the store over the benchmark's mail."""
    return MaildirStore(str(mail), layout_for=lambda _: LAYOUT, hostname="bench")


def measure_store(mail: Path, messages: int) -> None:
    """The store alone."""
    inbox = mail / "example.com" / "users" / "alice" / "cur"
    store = opened(mail)
    began = time.perf_counter()
    store.folder(ALICE, INBOX).stat()
    print(f"first look, index made:         {(time.perf_counter() - began) * 1000:10.1f} ms")
    store.folder(ALICE, INBOX).rows(["internal_date"])
    store.close()

    def cold() -> None:
        fresh = opened(mail)
        fresh.folder(ALICE, INBOX).stat()
        fresh.close()

    print(f"Stat, cold process:             {median_ms(cold, 9):10.3f} ms   (at most 2)")
    store = opened(mail)
    folder = store.folder(ALICE, INBOX)
    folder.stat()
    print(f"Stat, warm:                     {median_ms(folder.stat, 400) * 1000:10.1f} us   (at most 50)")
    ratios: list[float] = []
    taken: list[float] = []
    for _ in range(5):
        listed = median_ms(lambda: folder.rows(["uid", "octets", "flags", "modseq"]), 1)
        scanned = median_ms(lambda: scan(inbox), 1)
        taken.append(listed)
        ratios.append(listed / scanned)
    ratio = statistics.median(ratios)
    print(f"List of all:                    {statistics.median(taken):10.1f} ms   {ratio:.2f} of scandir and stat")
    page = median_ms(
        lambda: folder.rows(["uid", "uidl", "octets", "flags", "modseq"], after_uid=messages // 2, limit=500), 30
    )
    print(f"page of 500:                    {page:10.2f} ms   (at most 5)")
    chance = random.Random(1)  # noqa: S311

    def retrieve() -> None:
        with folder.retrieve(Uid(chance.randint(1, messages))) as body:
            body.read(0, 1 << 20)

    print(f"retrieve, spread:               {median_ms(retrieve, 400) * 1000:10.1f} us")
    store.close()


def scan(directory: Path) -> int:
    """What a reader without an index has to do."""
    with os.scandir(directory) as entries:
        return sum(entry.stat().st_size for entry in entries)


class Lines:
    """A text protocol over a socket, read as cheaply as Python can."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.line()

    def line(self) -> bytes:
        """Read one line."""
        while b"\n" not in self._rest:
            self._rest += self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def ask(self, command: str) -> bytes:
        """Send a command and read a line."""
        self._socket.sendall(command.encode() + b"\r\n")
        return self.line()

    def until(self, command: str, end: bytes) -> int:
        """Send a command and read up to an end; gives the octets."""
        self._socket.sendall(command.encode() + b"\r\n")
        tail, octets = self._rest, len(self._rest)
        while end not in tail:
            more = self._more()
            octets += len(more)
            tail = tail[-len(end) :] + more
        self._rest = b""
        return octets

    def retrieve(self, number: int) -> int:
        """Read a message by POP3."""
        return self.until(f"RETR {number}", b"\r\n.\r\n")

    def pipelined(self, commands: Sequence[str], end: bytes) -> None:
        """Send commands at once and read as many ends."""
        self._socket.sendall(b"".join(command.encode() + b"\r\n" for command in commands))
        left, tail = len(commands), self._rest
        while True:
            left -= tail.count(end)
            if left <= 0:
                break
            # An end may be cut in two, and none is counted twice.
            keep = 0 if tail.endswith(end) else len(end) - 1
            tail = (tail[-keep:] if keep else b"") + self._more()
        self._rest = b""

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 18)
        assert more, "the server closed"
        return more

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def dovecot_pop3(reader: Reader) -> tuple[float, Lines]:
    """Log in and ask for counts, unique-ids and sizes; give ms after the login, and the session."""
    lines = Lines(reader.pop3_port)
    lines.ask("USER alice")
    assert lines.ask(f"PASS {PASSWORD}").startswith(b"+OK")
    began = time.perf_counter()
    lines.ask("STAT")
    lines.until("UIDL", b"\r\n.\r\n")
    lines.until("LIST", b"\r\n.\r\n")
    return (time.perf_counter() - began) * 1000, lines


def dovecot_imap(reader: Reader) -> float:
    """Log in, select and fetch UIDs, flags and sizes of all; give ms after the login."""
    lines = Lines(reader.imap_port)
    lines.until(f"a LOGIN alice {PASSWORD}", b"a OK")
    began = time.perf_counter()
    lines.until("b SELECT INBOX", b"\r\nb OK")
    lines.until("c FETCH 1:* (UID FLAGS RFC822.SIZE)", b"\r\nc OK")
    taken = (time.perf_counter() - began) * 1000
    lines.close()
    return taken


def our_pop3(reader: Reader) -> tuple[float, AccessClient, Session]:
    """The same by the access socket."""
    client = AccessClient.connect(reader.path)
    session = client.login("alice@example.com", PASSWORD, service="pop3")
    began = time.perf_counter()
    session.open()
    session.stat()
    session.list(fields=("uid", "uidl", "octets"))
    return (time.perf_counter() - began) * 1000, client, session


def our_imap(reader: Reader) -> float:
    """The same by the access socket."""
    with AccessClient.connect(reader.path) as client:
        session = client.login("alice@example.com", PASSWORD, service="imap")
        began = time.perf_counter()
        session.stat()
        session.list(fields=("uid", "flags", "octets"))
        return (time.perf_counter() - began) * 1000


def measure_sessions(ours: Reader, theirs: Reader, messages: int, rounds: int) -> None:
    """Sessions of accessd against those of Dovecot."""
    dovecot_imap(theirs)
    our_imap(ours)
    pop3: list[tuple[float, float]] = []
    imap: list[tuple[float, float]] = []
    rates: list[tuple[float, float]] = []
    many: list[tuple[float, float]] = []
    numbers = range(1, messages + 1, max(1, messages // SPREAD))
    for _ in range(rounds):
        mine, client, session = our_pop3(ours)
        its, lines = dovecot_pop3(theirs)
        pop3.append((mine, its))
        rates.append((per_second(numbers, partial(read_one, session)), per_second(numbers, lines.retrieve)))
        client.close()
        lines.close()
        # In sessions of their own: Dovecot finds out where all messages lie when the first is asked for.
        _, client, session = our_pop3(ours)
        _, lines = dovecot_pop3(theirs)
        began = time.perf_counter()
        for body in session.fetch(*numbers):
            body.read()
        own = len(numbers) / (time.perf_counter() - began)
        began = time.perf_counter()
        for at in range(0, len(numbers), PIPELINED):
            lines.pipelined([f"RETR {number}" for number in numbers[at : at + PIPELINED]], b"\r\n.\r\n")
        many.append((own, len(numbers) / (time.perf_counter() - began)))
        client.close()
        lines.close()
        imap.append((our_imap(ours), dovecot_imap(theirs)))
    tell("POP3 start (STAT, UIDL, LIST)", pop3, "ms", "at most 0.3")
    tell("IMAP open (SELECT, FETCH all)", imap, "ms", "at most 0.6")
    tell("retrieved, many at once, spread", many, "/s", "at least 2; of Dovecot, pipelined")
    tell("retrieved one by one, spread", rates, "/s", "each waits for the one before")


def per_second(numbers: Sequence[int], retrieve: Callable[[int], object]) -> float:
    """Retrieve messages one after the other."""
    began = time.perf_counter()
    for number in numbers:
        retrieve(number)
    return len(numbers) / (time.perf_counter() - began)


def read_one(session: Session, uid: int) -> bytes:
    """Read a message whole."""
    with session.retrieve(uid) as body:
        return body.read()


def tell(what: str, pairs: Sequence[tuple[float, float]], unit: str, wanted: str) -> None:
    """Print medians of ours and theirs, and the median of the ratios."""
    ours, theirs = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{what:<32}{ours:10.1f} {unit}   dovecot {theirs:10.1f} {unit}   ratio {ratio:.2f} ({wanted})")


def measure_large_body(mail: Path, ours: Reader) -> None:
    """A body of 25 MiB by descriptor and by reads over the socket."""
    store = opened(mail)
    with store.stage() as staged:
        for _ in range(25):
            staged.write(b"x" * 78 + b"\r\n" + b"y" * ((1 << 20) - 80))
        uid = store.folder(ALICE, INBOX).append(staged).uid
    with AccessClient.connect(ours.path) as client:
        session = client.login("alice@example.com", PASSWORD, service="imap")

        def fetch(way: str) -> None:
            with session.retrieve(uid, way=way) as body:
                for _ in body.chunks():
                    pass

        ratios = [median_ms(lambda: fetch("fd"), 1) / median_ms(lambda: fetch("handle"), 1) for _ in range(9)]
    print(f"25 MiB by descriptor:           {statistics.median(ratios):10.2f} of the time by reads (at most 0.25)")
    store.folder(ALICE, INBOX).expunge([uid])
    store.close()


def measure_crowd(mail: Path, sessions: int) -> None:
    """Many sessions at once: memory, and Stat while others work."""
    with accessd(mail) as ours, ExitStack() as stack:
        crowd = [stack.enter_context(AccessClient.connect(ours.path)) for _ in range(sessions)]
        logged = [
            client.login(f"u{number % 100}@example.com", PASSWORD, service="imap")
            for number, client in enumerate(crowd)
        ]
        for session in logged:
            session.stat()
        idle = percentiles([median_ms(logged[0].stat, 1) for _ in range(300)])
        resident = max(tree_resident_octets(ours.pid).values()) >> 20
        busy = [median_ms(logged[number % sessions].stat, 1) for number in range(2000)]
        loaded = percentiles(busy)
    print(f"{sessions} sessions:                  {resident:10d} MiB   (at most 120)")
    print(f"Stat p99, one session / all in turn: {idle:.2f} / {loaded:.2f} ms, ratio {loaded / idle:.1f} (at most 10)")


def percentiles(taken: Sequence[float]) -> float:
    """Give the 99th percentile."""
    return sorted(taken)[int(len(taken) * 0.99)]


def main() -> None:
    """Make the mail, measure, take everything down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--octets", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", type=Path, help="measure in this directory instead of an ext4 image")
    parser.add_argument("--store-only", action="store_true")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        # ext4 makes an inode for 16 KiB; two mailboxes are there at once.
        need = max(arguments.messages) * max(16_384, arguments.octets) * 2.2 / (1 << 30)
        disk = arguments.disk or stack.enter_context(journaled_disk(int(need) + 2))
        for messages in arguments.messages:
            print(f"\n{messages} messages", flush=True)
            mine, theirs = disk / "ours", disk / "theirs"
            fill(mine / "example.com" / "users" / "alice", messages, arguments.octets)
            measure_store(mine, messages)
            if not arguments.store_only:
                fill(theirs / "alice", messages, arguments.octets)
                with accessd(mine) as ours, dovecot(theirs) as its:
                    measure_sessions(ours, its, messages, arguments.rounds)
                    measure_large_body(mine, ours)
                shutil.rmtree(theirs)
            shutil.rmtree(mine)
        if not arguments.store_only:
            crowd = disk / "crowd"
            for number in range(100):
                fill(crowd / "example.com" / "users" / f"u{number}", 20, 1000)
            measure_crowd(crowd, 1000)


if __name__ == "__main__":
    main()
