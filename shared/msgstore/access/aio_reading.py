"""What a session of the client for asyncio reads; what is sealed for its user it opens itself."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

from msgstore.access import entries
from msgstore.access.aio_body import Body
from msgstore.access.bodyshapes import MessageSource
from msgstore.access.codes import AccessError
from msgstore.access.entries import Method
from msgstore.access.mailkeys import (
    SEALED_HERE,
    Keyed,
    MailKeys,
    as_damaged,
    as_opened,
    headers_of,
    sealed_for,
)
from msgstore.access.mailshapes import FetchResult, HeadersResult, UidItem
from msgstore.access.shapes import LoginResult
from msgstore.access.sync_body import WHOLE
from msgstore.access.uids import portions
from msgstore.model.errors import KeyUnusable
from msgstore.model.keys import SealError

__all__ = ["Reading"]

Result = TypeVar("Result")

_AT_ONCE_OCTETS: Final = 16 * 1024


class Retriever(Protocol):
    """The client, seen from here."""

    async def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method."""
        ...

    async def retrieve(self, **args: object) -> Body:
        """Open a message."""
        ...

    def pages(self, method: Method[Any, FetchResult], **args: object) -> AsyncGenerator[FetchResult, None]:
        """Call a method until its last page."""
        ...


class Reading(Keyed, ABC):
    """The part of a session that reads messages.

    Where its user has keys, sealed messages are opened here, with the password of the login, and come as if they had
    never been sealed.  One that no key opens comes as it is stored, marked as damaged.  Where the keys themselves are
    in trouble, reading a sealed message raises it, and all else goes on.
    """

    def __init__(self, client: Retriever, opened: LoginResult) -> None:
        super().__init__(opened)
        self._retriever = client

    @abstractmethod
    def _in(self, folder: str | None) -> dict[str, object]:
        """Give the arguments that name the session, the mailbox and a folder."""

    async def unlock(self, password: str) -> None:
        """Get the user's keys and open them; :meth:`forget_keys`, and the end of the connection, wipe them.

        Raises:
            AccessError, OSError: the connection failed; trouble with the keys waits for a message that needs them.
        """
        self._opens_mail = True
        try:
            found = await self._retriever.ask(entries.KEY_WRAPPED, session=self.opened.session)
            self._take_keys(await asyncio.to_thread(MailKeys.opened, found, password))
        except (AccessError, KeyUnusable) as error:
            self._note_trouble(error)

    async def give_keys(self) -> None:
        """Let the server read sealed mail for this session, for searches; feature ``open-keys``.

        Raises:
            AccessError: UNSUPPORTED where the site does not allow it, or the trouble with the keys.
        """
        for key in self._require_keys().keys:
            await self._retriever.ask(entries.KEY_OPEN, session=self.opened.session, private_key=key)

    async def take_keys_back(self) -> None:
        """Let the server forget them."""
        await self._retriever.ask(entries.KEY_CLOSE, session=self.opened.session)

    async def retrieve(
        self, uid: int, folder: str = "INBOX", *, way: str | None = "fd", offset: int = 0, octets: int | None = None
    ) -> Body:
        """Open a message; ``way`` is auto, inline, handle or fd.  Use the Body as a context manager.

        ``offset`` and ``octets`` cut a part out of it, of a sealed one out of what was sealed.

        Raises:
            AccessError: NO_MESSAGE, EXPUNGED; KEY_NOT_FOUND, KEY_UNREADABLE, KEY_UNUSABLE for a sealed one.
        """
        asked = self._in(folder) | {"uid": uid, "as": way}
        part = WHOLE if not offset and octets is None else slice(offset, None if octets is None else offset + octets)
        body = await self._retriever.retrieve(**asked, offset=offset or None, octets=octets)
        return await self._unsealed(body, asked, part)

    async def fetch(self, *uids: UidItem, folder: str = "INBOX") -> AsyncGenerator[Body, None]:
        """Give messages ascending by uid, all where none are named, many with one answer; what is gone is left out."""
        for portion in portions(uids):
            asked = self._retriever.pages(entries.MESSAGE_FETCH, **self._in(folder), uids=portion)
            async with aclosing(asked) as pages:
                async for page in pages:
                    for one in page.messages:
                        if one.body is None:
                            yield await self.retrieve(one.uid, folder)
                        else:
                            yield await self._unsealed(Body(self._retriever, one, None), {}, WHOLE)

    async def headers(self, uid: int, folder: str = "INBOX", *, lines: int | None = None) -> HeadersResult:
        """Give the header block and the first lines of the body.

        Raises:
            AccessError: as for :meth:`retrieve`; SEALED where the session opens no mail.
        """
        try:
            return await self._retriever.ask(entries.MESSAGE_HEADERS, **self._in(folder), uid=uid, lines=lines)
        except AccessError as error:
            if error.code != "SEALED" or not self._opens_mail:
                raise
        async with await self.retrieve(uid, folder, way="auto") as body:
            return headers_of(body.opened, await body.read(), lines)

    async def _unsealed(self, body: Body, asked: dict[str, object], part: slice) -> Body:
        """Open what came, if it is sealed and keys are here; ``asked`` gets the whole of what came in part."""
        sealed = body.opened.sealed
        if sealed is None or sealed.damaged or not self._opens_mail:
            return body
        try:
            keys = self._require_keys()
            if part == WHOLE:
                text = await _text_of(body, keys)
            else:
                async with await self._retriever.retrieve(**asked) as whole:
                    text = await _text_of(whole, keys)
        except SealError:
            body.opened = as_damaged(body.opened)
            return body
        except BaseException:
            await body.close()
            raise
        await body.close()
        return Body(self._retriever, as_opened(body.opened, text), None, text=text, part=part)

    async def _to_append(self, message: MessageSource) -> tuple[MessageSource, dict[str, object] | None]:
        """Seal what goes into the mailbox, where mail for its user is to be sealed."""
        public = self._seals_to
        if public is None:
            return message, None
        return await asyncio.to_thread(sealed_for, public, message), SEALED_HERE


async def _text_of(body: Body, keys: MailKeys) -> bytearray:
    descriptor = body.fileno()
    if descriptor is not None:
        return await asyncio.to_thread(keys.text_in, descriptor, body.opened.stored_octets)
    blob = await body.read()
    # A short one is opened sooner than a thread begins.
    return keys.text_of(blob) if len(blob) <= _AT_ONCE_OCTETS else await asyncio.to_thread(keys.text_of, blob)
