"""A whole access server on a socket in a temporary directory, with doubles that satisfy the Protocols of ``model``."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from accessd.calls import LoginRules
from accessd.peers import Peers
from accessd.server import AccessServer
from msgstore.config.schema import AccessSettings
from msgstore.model.address import Address, MailboxId
from msgstore.model.envelope import ClientIdentity
from msgstore.model.errors import (
    AuthFailed,
    DomainNotHosted,
    InvalidAddress,
    UserNotFound,
)
from msgstore.model.folder import INBOX, FolderName, FolderStatus
from msgstore.model.interfaces import Body, BodyFacts, Hold, StagedMessage
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import Appended, Cell, Column
from msgstore.model.user import User
from msgstore.service.offload import Offload
from msgstore.store.memory import MemoryStore
from msgstore.store.memory_folder import MemoryFolder, new_message
from tests.clocks import HandClock

ALICE = MailboxId("alice", "example.org")
BOB = MailboxId("bob", "example.org")


class ShelfBody:
    """A message in a file or in memory."""

    def __init__(self, octets: bytes, directory: Path | None) -> None:
        self.facts: BodyFacts | None = None
        self._octets = octets
        self._descriptor: int | None = None
        if directory is not None:
            place = directory / f"body-{id(self)}"
            place.write_bytes(octets)
            self._descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            place.unlink()
        self.closed = False

    @property
    def stored_octets(self) -> int:
        return len(self._octets)

    def read(self, offset: int, octets: int) -> bytes:
        assert not self.closed
        return self._octets[offset : offset + octets]

    def chunks(self) -> Iterator[bytes]:
        for offset in range(0, len(self._octets), 65536):
            yield self._octets[offset : offset + 65536]

    def fileno(self) -> int | None:
        return self._descriptor

    def close(self) -> None:
        self.closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ShelfFolder(MemoryFolder):
    """One folder of the double, with a gate in front of what tests stop or let fail."""

    __slots__ = ()

    @property
    def shelf(self) -> "Shelf":
        assert isinstance(self._house, Shelf)
        return self._house

    @property
    def messages(self) -> dict[int, tuple[MessageInfo, bytes]]:
        return self.shelf.place(self.mailbox, self.name).messages

    def add(self, octets: bytes, *, flags: frozenset[str] = frozenset(), sealed: bool = False) -> Uid:
        """Put a message in, as a delivery does."""
        info = new_message(self.shelf, octets, sealed=False, flags=flags, keywords=frozenset(), internal_date=None)
        with self.shelf.locked():
            added = self.shelf.place(self.mailbox, self.name).add(info, octets)
            self.messages[added.uid] = (replace(added, sealed=sealed, uidl=f"uidl-{added.uid}"), octets)
        return added.uid

    def stat(self) -> FolderStatus:
        self.shelf.pass_gate("stat")
        return super().stat()

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        self.shelf.pass_gate("list")
        found = super().list(after_uid=after_uid, limit=limit)
        self.shelf.rows_read += len(found)
        return found

    def rows(
        self, columns: Sequence[Column], *, after_uid: int = 0, last_uid: int | None = None, limit: int | None = None
    ) -> Sequence[tuple[Cell, ...]]:
        self.shelf.pass_gate("list")
        found = super().rows(columns, after_uid=after_uid, last_uid=last_uid, limit=limit)
        self.shelf.rows_read += len(found)
        return found

    def retrieve(self, uid: Uid) -> Body:
        self.shelf.pass_gate("retrieve")
        with super().retrieve(uid) as whole:
            body = ShelfBody(whole.read(0, whole.stored_octets), self.shelf.directory)
        self.shelf.bodies.append(body)
        return body

    def append(
        self,
        staged: StagedMessage,
        *,
        flags: frozenset[str] = frozenset(),
        keywords: frozenset[str] = frozenset(),
        internal_date: float | None = None,
    ) -> Appended:
        self.shelf.pass_gate("append")
        return super().append(staged, flags=flags, keywords=keywords, internal_date=internal_date)

    def try_hold(self, *, shared: bool = False) -> Hold | None:
        self.shelf.pass_gate("hold")
        return None if self.shelf.is_held_elsewhere and not shared else super().try_hold(shared=shared)

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        self.shelf.pass_gate("expunge")
        return super().expunge([uid for uid in uids if uid not in self.shelf.stuck])


class Shelf(MemoryStore):
    """The store in memory, whose methods can be stopped and made to fail."""

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(clock=HandClock(), default_folders=False)
        self.directory = directory
        self.gates: dict[str, threading.Event] = {}
        self.reached: dict[str, threading.Event] = {}
        self.failures: dict[str, Exception] = {}
        self.stuck: set[int] = set()
        self.is_held_elsewhere = False
        self.bodies: list[ShelfBody] = []
        self.rows_read = 0

    def pass_gate(self, verb: str) -> None:
        if verb in self.reached:
            self.reached[verb].set()
        if verb in self.gates:
            assert self.gates[verb].wait(15)
        if verb in self.failures:
            raise self.failures[verb]

    def shut(self, verb: str) -> threading.Event:
        """Stop a verb until the event that is given is set; ``reached`` tells when somebody waits there."""
        self.reached[verb] = threading.Event()
        self.gates[verb] = threading.Event()
        return self.gates[verb]

    def folder(self, mailbox: MailboxId, name: FolderName) -> ShelfFolder:
        self.box(mailbox)
        return ShelfFolder(self, mailbox, name)

    def inbox(self, mailbox: MailboxId = ALICE) -> ShelfFolder:
        """Give the inbox, made when it is not there."""
        self.create_mailbox(mailbox)
        return self.folder(mailbox, INBOX)


class Doorman:
    """An AuthProvider that knows alice, bob and what a test adds."""

    def __init__(self) -> None:
        self.users = {"alice": User(username="alice", mailbox=ALICE), "bob": User(username="bob", mailbox=BOB)}
        self.passwords = {"alice": b"secret", "bob": b"hunter2"}
        self.failure: Exception | None = None
        self.seen: list[bytearray] = []
        self.clients: list[ClientIdentity] = []
        self.gate: threading.Event | None = None
        self.asked = threading.Event()

    def authenticate(self, username: str, password: bytearray, client: ClientIdentity) -> User:
        self.seen.append(password)
        self.asked.set()
        self.clients.append(client)
        if self.gate is not None:
            assert self.gate.wait(15)
        if self.failure is not None:
            raise self.failure
        name, _, domain = username.partition("@")
        if domain.lower() != "example.org":
            raise DomainNotHosted(f"{domain} is not hosted")
        base = name.partition("+")[0].lower()
        if self.passwords.get(base) != bytes(password):
            raise AuthFailed("wrong password")
        return self.users[base]

    def lookup(self, address: Address) -> User:
        if self.failure is not None:
            raise self.failure
        if address.domain is None:
            raise InvalidAddress(str(address), "has no domain")
        if address.domain.lower() != "example.org":
            raise DomainNotHosted(address.domain)
        try:
            return self.users[address.local_part.partition("+")[0].lower()]
        except KeyError:
            raise UserNotFound(str(address)) from None


class Tally:
    """Keeps every count."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def connection_opened(self) -> None:
        self.events.append("opened")

    def connection_closed(self) -> None:
        self.events.append("closed")

    def peer_denied(self) -> None:
        self.events.append("denied")

    def frame_refused(self) -> None:
        self.events.append("refused")

    def set_watches(self, watches: int) -> None:
        self.watches = watches

    def request_answered(self, method: str, outcome: str) -> None:
        self.events.append(f"{method} {outcome}")


@dataclass(slots=True, kw_only=True)
class Room:
    """Everything a test can touch."""

    path: str
    shelf: Shelf
    doorman: Doorman
    clock: HandClock
    tally: Tally
    server: AccessServer
    passwords: Offload


ANYBODY = Peers(users={}, groups={}, own_uid=os.getuid())
POP3_ONLY = Peers(users={os.getuid(): ("pop3",)}, groups={}, own_uid=None)
IMAP_ONLY = Peers(users={os.getuid(): ("imap",)}, groups={}, own_uid=None)
SMTP_ONLY = Peers(users={os.getuid(): ("smtp",)}, groups={}, own_uid=None)
NOBODY = Peers(users={}, groups={}, own_uid=None)


@asynccontextmanager
async def room(
    directory: Path,
    *,
    settings: AccessSettings | None = None,
    peers: Peers = ANYBODY,
    login: LoginRules | None = None,
    shelf: Shelf | None = None,
    password_threads: int = 2,
    password_queue: int = 8,
) -> AsyncGenerator[Room, None]:
    """Serve until the end of the block; failed logins are answered at once unless ``login`` says otherwise."""
    shelf, doorman, clock, tally = shelf or Shelf(), Doorman(), HandClock(), Tally()
    shelf.inbox(ALICE)
    offload, passwords = Offload(4, 64), Offload(password_threads, password_queue)
    server = AccessServer(
        settings or AccessSettings(grace_seconds=0.5),
        store=shelf,
        auth=doorman,
        offload=offload,
        passwords=passwords,
        clock=clock,
        peers=peers,
        login=login or LoginRules(failure_seconds=0.0),
        counters=tally,
    )
    path = str(directory / "access.sock")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(64)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve([listening]))
        try:
            yield Room(
                path=path,
                shelf=shelf,
                doorman=doorman,
                clock=clock,
                tally=tally,
                server=server,
                passwords=passwords,
            )
        finally:
            await server.stop()
            await serving
            listening.close()
            for gate in shelf.gates.values():
                gate.set()
            await asyncio.to_thread(offload.close)
            await asyncio.to_thread(passwords.close)
