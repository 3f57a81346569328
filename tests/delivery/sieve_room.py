"""An agent whose users have scripts: a real Maildir store, a collecting outbound, a clock that the test moves."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.delivery.agent import Agent
from msgstore.delivery.filter import DetailFilter
from msgstore.delivery.forwarding import Forwarder
from msgstore.delivery.history import History
from msgstore.delivery.programs import SiteScripts
from msgstore.delivery.resolve import Resolver
from msgstore.delivery.rewriting import Rewriter
from msgstore.delivery.sending import Sender
from msgstore.delivery.sieving import SieveFilter
from msgstore.delivery.traces import Traces
from msgstore.delivery.userlog import FILE_NAME
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.envelope import BodyType, ClientIdentity, Envelope, SpamVerdict
from msgstore.model.errors import MsgstoreError
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.message import MessageInfo
from msgstore.model.result import DeliveryResult
from msgstore.model.scripts import ScriptNotFound, StoredScript
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.delivery.collecting import CollectingOutbound, Counted

__all__ = ["ALICE", "BOB", "MESSAGE", "Clock", "Room", "Shelf", "room_in"]

ALICE, BOB = MailboxId("alice", "example.com"), MailboxId("bob", "example.com")
MESSAGE = (
    b"From: Carol <carol@example.net>\r\nTo: alice@example.com\r\nSubject: hi\r\nMessage-ID: <1@example.net>\r\n"
    b"\r\nbody\r\n"
)
FORWARDS = "two:alice@example.com,bob@example.com\nmixed:alice@example.com,x@far.example\n"
LAYOUT = Layout(base_path="users", path_template="{localpart}", maildir_subdir="")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.step = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@dataclass
class Shelf:
    """Scripts of one user; fails with ``error`` where it is set."""

    script: str | None = None
    others: dict[str, str] = field(default_factory=dict[str, str])
    error: MsgstoreError | None = None

    def active(self) -> StoredScript | None:
        if self.error is not None:
            raise self.error
        return None if self.script is None else StoredScript(name="main", content=self.script.encode())

    def read(self, name: str) -> bytes:
        if name not in self.others:
            raise ScriptNotFound(name)
        return self.others[name].encode()


class Room:
    def __init__(self, root: Path, *, target: str = "unix:/nowhere", **settings: object) -> None:
        self.root = root
        if not (root / "example.com").exists():
            (root / "example.com").mkdir()
            (root / "example.com" / "passwd").write_text("alice:h:alice\nbob:h:bob\n")
            (root / "example.com" / "forwards").write_text(FORWARDS)
        loaded = settings_from({"data_dir": str(root), "outbound": {"target": target}, **settings})
        line_endings = loaded.store.line_endings
        self.clock = Clock()
        self.store = MaildirStore(str(root), layout_for=lambda _: LAYOUT, line_endings=line_endings)
        self.store.create_mailbox(ALICE)
        self.history = History(self.store.control_directory, clock=self.clock, wait_seconds=0.2)
        self.counted = Counted()
        self.outbound = CollectingOutbound()
        self.troubles: dict[MailboxId, MsgstoreError] = {}
        self.shelves: dict[MailboxId, Shelf] = {}
        directory = Directory(loaded, Domains(loaded))
        rewriter = Rewriter(loaded.outbound, clock=self.clock)
        forwarder = Forwarder(
            self.outbound,
            counter=self.counted,
            hostname="store.example.com",
            is_hosted=directory.domains.is_hosted,
            rewriter=rewriter,
        )
        self.traces = Traces(str(root / ".traces"), days=loaded.sieve.trace_days, clock=self.clock)
        site = SiteScripts(loaded.sieve, str(root), monotonic=lambda: float("inf"))
        routing = DetailFilter(self.store)
        self.sieve = SieveFilter(
            loaded.sieve,
            store=self.store,
            scripts_of=self.shelf,
            site=site,
            history=self.history,
            sender=Sender(
                self.outbound,
                forwarder,
                site=site,
                clock=self.clock,
                hostname="store.example.com",
                sends_on=bool(loaded.outbound.target),
                redirect_sender=loaded.sieve.redirect_sender,
                redirect_hours=loaded.sieve.redirect_hours,
            ),
            routing=routing,
            count=self.counted.count_event,
            clock=self.clock,
            hostname="store.example.com",
            traces=self.traces if loaded.sieve.trace_days else None,
        )
        self.agent = Agent(
            store=self.store,
            resolver=Resolver(directory, rewriter=rewriter, sends_on=True),
            routing=routing,
            counter=self.counted,
            clock=self.clock,
            hostname="store.example.com",
            forwarder=forwarder,
            sieve=self.sieve,
        )

    def shelf(self, mailbox: MailboxId) -> Shelf:
        if mailbox in self.troubles:
            raise self.troubles[mailbox]
        return self.shelves.setdefault(mailbox, Shelf())

    def deliver(
        self,
        *paths: str,
        script: str | None = None,
        message: bytes = MESSAGE,
        reverse_path: str | None = "carol@example.net",
        spam: SpamVerdict | None = None,
        smtputf8: bool = False,
        body_type: BodyType = BodyType.SEVEN_BIT,
    ) -> tuple[DeliveryResult, ...]:
        """Deliver a message, to alice where nobody is named; ``script`` becomes hers."""
        if script is not None:
            self.shelf(ALICE).script = script
        envelope = Envelope(
            reverse_path=None if reverse_path is None else parse_address(reverse_path),
            recipients=tuple(self.agent.accept(parse_address(path)) for path in paths or ("alice@example.com",)),
            received_at=1_700_000_000.0,
            client=ClientIdentity(helo="mx.example.net"),
            spam=spam,
            smtputf8=smtputf8,
            body_type=body_type,
        )
        return self.agent.deliver(envelope, iter([message]))

    def infos(self, folder: str = "INBOX", mailbox: MailboxId = ALICE) -> tuple[MessageInfo, ...]:
        if not self.store.mailbox_exists(mailbox):
            return ()
        return self.store.folder(mailbox, FolderName.parse(folder)).list()

    def texts(self, folder: str = "INBOX", mailbox: MailboxId = ALICE) -> list[bytes]:
        """Give the messages of a folder."""
        if not self.store.mailbox_exists(mailbox):
            return []
        place = self.store.folder(mailbox, INBOX if folder == "INBOX" else FolderName.parse(folder))
        found: list[bytes] = []
        for info in place.list():
            with place.retrieve(info.uid) as body:
                found.append(b"".join(body.chunks()))
        return found

    def user_log(self) -> str:
        """Give what alice was told."""
        file = self.root / "example.com" / "users" / "alice" / FILE_NAME
        return file.read_text() if file.exists() else ""

    def close(self) -> None:
        self.traces.close()
        self.history.close()
        self.store.close()


@contextlib.contextmanager
def room_in(root: Path, *, target: str = "unix:/nowhere", **settings: object) -> Generator[Room]:
    room = Room(root, target=target, **settings)
    try:
        yield room
    finally:
        room.close()
