"""Messages as pymap takes them apart, and errors of the access socket as an IMAP client is told of them."""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from pymap.exceptions import ResponseError
from pymap.message import BaseLoadedMessage, BaseMessage
from pymap.mime import MessageContent
from pymap.parsing.response import ResponseCode, ResponseNo
from pymap.parsing.specials import FetchRequirement, Flag, ObjectId
from pymap.parsing.specials.flag import Recent

from msgstore.access.aio import Session
from msgstore.access.codes import AccessError
from msgstore.access.rows import MessageRow

__all__ = ["FIELDS", "LoadedMessage", "Message", "Refused", "told", "words"]

FIELDS: Final = ("uid", "flags", "keywords", "internal_date", "guid")
"""Columns of a listing that make a message."""

ENDED: Final = ("GOING_AWAY", "NO_SESSION")
"""Codes after which only a new login helps."""

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class Refused(ResponseError):
    """An error of the access socket; its text is for the site, its code for the client."""

    def __init__(self, error: AccessError) -> None:
        super().__init__(str(error))
        self.code: Final = error.code
        self._imap = error.imap

    def get_response(self, tag: bytes) -> ResponseNo:
        """Answer NO with the code that came with the error."""
        return ResponseNo(tag, b"Refused.", None if self._imap is None else ResponseCode.of(self._imap.encode()))


@contextmanager
def told() -> Generator[None, None, None]:
    """Answer a client with the errors of the access socket; where the session is over, so is the client."""
    try:
        yield
    except AccessError as error:
        if error.code in ENDED:
            raise ConnectionResetError(error.code) from error
        raise Refused(error) from error


class Message(BaseMessage):
    """One row of a listing; its octets are asked for when they are needed."""

    __slots__ = ("_folder", "_session")

    def __init__(self, session: Session, folder: str, row: MessageRow, *, expunged: bool = False) -> None:
        super().__init__(
            row.uid,
            datetime.fromtimestamp(row.internal_date or 0, UTC),
            [Flag(word) for word in (*(row.flags or ()), *(row.keywords or ()))],
            email_id=ObjectId.maybe(row.guid),
            expunged=expunged,
        )
        self._session = session
        self._folder = folder

    def removed(self) -> "Message":
        """Give the same message as one that is gone."""
        row = MessageRow(uid=self.uid, internal_date=int(self.internal_date.timestamp()))
        return Message(self._session, self._folder, row, expunged=True)

    async def load_content(self, requirement: FetchRequirement) -> "LoadedMessage":
        """Ask for nothing, the header, or all; pymap wants all for a size, too.

        Raises:
            AccessError: it is gone or cannot be read; the client is dropped rather than told of an empty message.
        """
        if requirement.has_none(FetchRequirement.CONTENT):
            return LoadedMessage(self, requirement, b"")
        if requirement.has_none(FetchRequirement.BODY):
            found = await self._session.headers(self.uid, self._folder)
            return LoadedMessage(self, requirement, _BARE_LF.sub(b"\r\n", found.headers))
        async with await self._session.retrieve(self.uid, self._folder) as body:
            octets = await body.read()
            return LoadedMessage(self, requirement, octets if body.opened.crlf else _BARE_LF.sub(b"\r\n", octets))


class LoadedMessage(BaseLoadedMessage):
    """A message as pymap takes it apart."""

    __slots__ = ()

    def __init__(self, message: Message, requirement: FetchRequirement, octets: bytes) -> None:
        super().__init__(message, requirement, MessageContent.parse(octets) if octets else None)


def words(flags: Iterable[Flag]) -> tuple[list[str], list[str]]:
    """Part flags and keywords; ``Recent`` is nothing a client may set."""
    kept = [flag for flag in flags if flag != Recent]
    return [str(flag) for flag in kept if flag.is_system], [str(flag) for flag in kept if not flag.is_system]
