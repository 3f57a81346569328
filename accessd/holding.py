"""Who holds a maildrop alone, and what others may not do meanwhile: in this process and in all of this machine."""

import asyncio
import contextlib
from collections.abc import Generator, Iterable
from typing import Final

from accessd.calls import Call
from accessd.mail import Target
from accessd.session import Session
from msgstore.access.codes import AccessError
from msgstore.model.address import MailboxId
from msgstore.model.errors import FolderNotFound
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Hold, MessageStore

__all__ = ["HOLD_SETTLE_SECONDS", "hold_on_machine", "refuse_where_held", "shared_with_others"]

HOLD_POLL_SECONDS: Final = 0.1
HOLD_SETTLE_SECONDS: Final = 0.3
"""Waited for in any case: an expunge in another process holds a folder for a moment."""


async def hold_on_machine(call: Call, target: Target, *, wait_seconds: float) -> Hold:
    """Hold a maildrop that no session of this process holds against those of other processes too.

    They cannot tell when they give it back, so it is asked for again and again.

    Raises:
        AccessError: LOCKED where another one holds it for longer than ``wait_seconds``.
    """
    deadline = asyncio.get_running_loop().time() + wait_seconds

    def attempt() -> Hold | None:
        return target.open(call.services.store).try_hold()

    while True:
        hold = await call.acquire(_let_go, attempt)
        if hold is not None:
            return hold
        if asyncio.get_running_loop().time() >= deadline:
            raise _locked()
        await asyncio.sleep(HOLD_POLL_SECONDS)


def refuse_where_held(call: Call, session: Session, mailbox: MailboxId, folders: Iterable[FolderName]) -> None:
    """Refuse a change that would take messages from under a holder of this process; its own are its own affair.

    Raises:
        AccessError: LOCKED.
    """
    for folder in folders:
        if call.services.sessions.holder(mailbox, folder) not in (None, session):
            raise _locked()


@contextlib.contextmanager
def shared_with_others(
    store: MessageStore, session: Session, mailbox: MailboxId, folders: Iterable[FolderName]
) -> Generator[None, None, None]:
    """Keep everybody from holding these folders alone until the end of the block; blocks for the disk alone.

    Raises:
        AccessError: LOCKED where another session, perhaps of another process, holds one of them.
    """
    with contextlib.ExitStack() as held:
        for folder in folders:
            if session.holds(mailbox, folder):
                continue
            try:
                hold = store.folder(mailbox, folder).try_hold(shared=True)
            except FolderNotFound:
                # What is not there is refused by whoever asks for it, in its own words.
                continue
            if hold is None:
                raise _locked()
            held.callback(hold.release)
        yield


def _let_go(hold: Hold | None) -> None:
    if hold is not None:
        hold.release()


def _locked() -> AccessError:
    return AccessError("LOCKED", "another session holds the maildrop", after_ms=5000)
