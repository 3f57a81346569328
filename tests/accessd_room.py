"""A whole access server on a socket in a temporary directory, with doubles that satisfy the Protocols of ``model``."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
    FolderNotFound,
    InvalidAddress,
    MailboxNotFound,
    MessageExpunged,
    MessageNotFound,
    MsgstoreError,
    UserNotFound,
)
from msgstore.model.folder import INBOX, FolderInfo, FolderName, FolderStatus, SpecialUse
from msgstore.model.interfaces import Filing, StagedMessage, Wait
from msgstore.model.message import MessageInfo, Uid
from msgstore.model.result import Filed
from msgstore.model.user import User
from msgstore.service.offload import Offload

ALICE = MailboxId("alice", "example.org")
BOB = MailboxId("bob", "example.org")


class ShelfBody:
    """A message in a file or in memory."""

    def __init__(self, octets: bytes, directory: Path | None) -> None:
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


@dataclass(slots=True, kw_only=True)
class ShelfFolder:
    """One folder of the double, with a gate in front of every change and every read of a body."""

    shelf: "Shelf"
    mailbox: MailboxId
    name: FolderName
    messages: dict[int, tuple[MessageInfo, bytes]] = field(default_factory=dict[int, tuple[MessageInfo, bytes]])
    uidnext: int = 1
    modseq: int = 1

    def add(self, octets: bytes, *, flags: frozenset[str] = frozenset(), sealed: bool = False) -> Uid:
        """Put a message in, as a delivery does."""
        uid = Uid(self.uidnext)
        bare = octets.count(b"\n") - octets.count(b"\r\n")
        info = MessageInfo(
            uid=uid,
            octets=len(octets) + bare,
            stored_octets=len(octets),
            flags=flags,
            keywords=frozenset(),
            internal_date=1_700_000_000,
            modseq=self.modseq + 1,
            guid=f"guid-{uid}",
            uidl=f"uidl-{uid}",
            sealed=sealed,
        )
        self.modseq += 1
        self.uidnext += 1
        self.messages[uid] = (info, octets)
        return uid

    def stat(self) -> FolderStatus:
        self.shelf.pass_gate("stat")
        infos = [info for info, _ in self.messages.values()]
        return FolderStatus(
            messages=len(infos),
            octets=sum(info.octets for info in infos),
            unseen=sum("\\Seen" not in info.flags for info in infos),
            uidvalidity=7,
            uidnext=self.uidnext,
            modseq=self.modseq,
        )

    def list(self, *, after_uid: int = 0, limit: int | None = None) -> tuple[MessageInfo, ...]:
        self.shelf.pass_gate("list")
        found = [info for uid, (info, _) in sorted(self.messages.items()) if uid > after_uid][:limit]
        self.shelf.rows_read += len(found)
        return tuple(found)

    def retrieve(self, uid: Uid) -> ShelfBody:
        self.shelf.pass_gate("retrieve")
        if uid in self.messages:
            body = ShelfBody(self.messages[uid][1], self.shelf.directory)
            self.shelf.bodies.append(body)
            return body
        raise (MessageExpunged if uid < self.uidnext else MessageNotFound)(f"uid {uid}")

    def try_hold(self, *, shared: bool = False) -> "ShelfHold | None":
        self.shelf.pass_gate("hold")
        return None if self.shelf.is_held_elsewhere and not shared else ShelfHold()

    def expunge(self, uids: Sequence[Uid]) -> tuple[Uid, ...]:
        self.shelf.pass_gate("expunge")
        gone = sorted(uid for uid in uids if uid in self.messages and uid not in self.shelf.stuck)
        for uid in gone:
            del self.messages[uid]
        self.modseq += bool(gone)
        return tuple(gone)


class ShelfHold:
    def release(self) -> None:
        return


class Shelf:
    """A store in memory whose methods can be stopped and made to fail."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self.boxes: dict[MailboxId, dict[FolderName, ShelfFolder]] = {}
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

    def create_mailbox(self, mailbox: MailboxId) -> None:
        self.boxes.setdefault(mailbox, {INBOX: ShelfFolder(shelf=self, mailbox=mailbox, name=INBOX)})

    def mailbox_exists(self, mailbox: MailboxId) -> bool:
        return mailbox in self.boxes

    def remove_mailbox(self, mailbox: MailboxId) -> None:
        self.boxes.pop(mailbox, None)

    def folder(self, mailbox: MailboxId, name: FolderName) -> ShelfFolder:
        if mailbox not in self.boxes:
            raise MailboxNotFound(str(mailbox))
        if name not in self.boxes[mailbox]:
            raise FolderNotFound(str(name))
        return self.boxes[mailbox][name]

    def folders(self, mailbox: MailboxId) -> "ShelfTree":
        if mailbox not in self.boxes:
            raise MailboxNotFound(str(mailbox))
        return ShelfTree(self, mailbox)

    def stage(self, *, expected_octets: int | None = None) -> StagedMessage:
        raise NotImplementedError

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        raise NotImplementedError

    def deliver_in_steps(
        self, staged: StagedMessage, filings: Sequence[Filing]
    ) -> Iterator[Filed | MsgstoreError | Wait]:
        raise NotImplementedError

    def settle(self, waits: Sequence[Wait]) -> None:
        raise NotImplementedError

    def check_health(self) -> None:
        return

    def close(self) -> None:
        return

    def inbox(self, mailbox: MailboxId = ALICE) -> ShelfFolder:
        """Give the inbox, made when it is not there."""
        self.create_mailbox(mailbox)
        return self.boxes[mailbox][INBOX]


class ShelfTree:
    """The folders of the double."""

    def __init__(self, shelf: Shelf, mailbox: MailboxId) -> None:
        self._shelf = shelf
        self._mailbox = mailbox

    def list(self) -> tuple[FolderInfo, ...]:
        names = sorted(self._shelf.boxes[self._mailbox], key=lambda name: (not name.is_inbox, str(name)))
        return tuple(FolderInfo(name=name, subscribed=name.is_inbox) for name in names)

    def create(self, name: FolderName, *, special_use: SpecialUse | None = None) -> None:  # noqa: ARG002
        made = ShelfFolder(shelf=self._shelf, mailbox=self._mailbox, name=name)
        self._shelf.boxes[self._mailbox][name] = made

    def exists(self, name: FolderName) -> bool:
        return name in self._shelf.boxes[self._mailbox]


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


class HandClock:
    """Time that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


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
