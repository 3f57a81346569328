"""A served store of either kind with one session of alice, for tests of the methods about mail."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from msgstore.access.aio import AccessClient, Session
from msgstore.access.codes import AccessError
from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.delivery.agent import Agent
from msgstore.delivery.filter import DetailFilter
from msgstore.delivery.resolve import Resolver
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Filing, MessageStore
from msgstore.store.clock import SystemClock
from msgstore.store.requests import RequestLog
from tests.accessd.test_real_stores import made, served
from tests.accessd_room import ALICE

__all__ = ["KINDS", "TEXT", "Mailroom", "agent_for", "code_from", "mailroom"]

KINDS = ["memory", "maildir"]
TEXT = b"Subject: hi\r\n\r\nbody\r\n"


@dataclass(slots=True, kw_only=True)
class Mailroom:
    """What a test can touch."""

    path: str
    store: MessageStore
    stack: AsyncExitStack
    session: Session

    async def another(self, *, service: str = "imap") -> Session:
        """Log in once more on a connection of its own."""
        client = await self.stack.enter_async_context(AccessClient.connect(self.path))
        return await client.login(str(ALICE), "secret", service=service)

    def put(self, *texts: bytes, folder: str = "INBOX", flags: frozenset[str] = frozenset()) -> None:
        """Deliver messages."""
        for text in texts or (TEXT,):
            with self.store.stage() as staged:
                staged.write(text)
                filing = Filing(mailbox=ALICE, folder=FolderName.parse(folder), flags=flags)
                assert not isinstance(next(iter(self.store.deliver(staged, [filing]))), Exception)

    async def uids(self, folder: str = "INBOX") -> list[int]:
        """List a folder."""
        return [row.uid for row in await self.session.list(folder, fields=("uid",))]


@asynccontextmanager
async def mailroom(tmp_path: Path, kind: str) -> AsyncGenerator[Mailroom, None]:
    """Serve a store whose only user has an empty mailbox with a folder Work."""
    store = made(kind, tmp_path / "mail")
    store.create_mailbox(ALICE)
    store.folders(ALICE).create(FolderName.parse("Work"))
    requests = RequestLog(str(tmp_path / "requests"), clock=SystemClock())
    agent = agent_for(tmp_path / "house", store)
    async with (
        served(store, tmp_path / "sock", agent=agent, requests=requests) as path,
        AsyncExitStack() as stack,
    ):
        client = await stack.enter_async_context(AccessClient.connect(path))
        session = await client.login(str(ALICE), "secret", service="imap")
        yield Mailroom(path=path, store=store, stack=stack, session=session)
    requests.close()
    store.close()


class _Uncounted:
    def count_delivery(self, *, domain: str, status: str, seconds: float, octets: int) -> None:
        del domain, status, seconds, octets


def agent_for(house: Path, store: MessageStore) -> Agent:
    """Deliver to alice and bob of example.org."""
    (house / "example.org").mkdir(parents=True, exist_ok=True)
    (house / "example.org" / "passwd").write_text("alice:h:alice\nbob:h:bob\n")
    settings = settings_from({"data_dir": str(house)})
    return Agent(
        store=store,
        resolver=Resolver(Directory(settings, Domains(settings))),
        routing=DetailFilter(store),
        counter=_Uncounted(),
        clock=SystemClock(),
        hostname="store.example.org",
    )


def code_from(refused: "pytest.ExceptionInfo[AccessError]") -> tuple[str, str | None]:
    """Give the code of an error and its word for IMAP."""
    return refused.value.code, refused.value.imap
