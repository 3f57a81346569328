"""Messages on their way out: inline, by handle, or as a descriptor."""

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from accessd.session import Session
from msgstore.access.codes import AccessError
from msgstore.access.contract import changed
from msgstore.access.heads import end_of_header, end_of_lines
from msgstore.access.mailshapes import RetrieveResult, Sealed
from msgstore.access.shapes import Limits
from msgstore.crypto import ALGORITHM, OVERHEAD_OCTETS
from msgstore.crypto.box import looks_like_plaintext
from msgstore.model.interfaces import Body, BodyFacts, Folder
from msgstore.model.message import Uid

__all__ = ["Handles", "OpenedBody", "Slice", "facts_of", "fetch_body", "is_no_blob", "open_body", "read_head"]

_SCAN_LIMIT_OCTETS: Final = 1 << 20
"""Above this nobody reads a message only to learn whether a line begins with a dot; its reader will see."""

_HEAD_LIMIT_OCTETS: Final = 768 * 1024
"""Header and lines together fit one frame of 1 MiB."""

_READ_OCTETS: Final = 64 * 1024
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which octets are wanted and how."""

    way: str
    """auto, inline, handle or fd."""

    offset: int = 0
    octets: int | None = None
    """None means up to the end."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the message is wanted."""
        return self.offset == 0 and self.octets is None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBody:
    """What one ``message.retrieve`` found; at most one of the last two is set and has to be closed."""

    result: RetrieveResult
    body: Body | None = None
    descriptor: int | None = None

    def close(self) -> None:
        """Give up what was opened, where nobody wants it any more."""
        if self.body is not None:
            self.body.close()
        if self.descriptor is not None:
            os.close(self.descriptor)


class Handles:
    """Open bodies of one connection.  Reads go on in threads, so a released body is closed after its last read."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[int, tuple[Body, Session]] = {}
        self._users: dict[int, int] = {}
        self._closing: dict[int, Body] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether no further body may be opened."""
        return len(self._open) >= self._limit

    def add(self, body: Body, owner: Session) -> int:
        """Keep a body for the session that opened it, and name it.

        Raises:
            AccessError: BUSY where too many are open; the body is then the caller's.
        """
        if self.is_full:
            raise AccessError("BUSY", f"at most {self._limit} messages are open at a time", after_ms=0)
        self._last += 1
        self._open[self._last] = (body, owner)
        return self._last

    def owner_of(self, handle: int) -> Session:
        """Say which session opened a body.

        Raises:
            AccessError: INVALID where the handle names nothing.
        """
        found = self._open.get(handle)
        if found is None:
            raise AccessError("INVALID", "no message is open under this handle", key="handle")
        return found[1]

    def acquire(self, handle: int) -> Body:
        """Give a body for a read; :meth:`give_back` has to follow.

        Raises:
            AccessError: INVALID where the handle names nothing.
        """
        found = self._open.get(handle)
        if found is None:
            raise AccessError("INVALID", "no message is open under this handle", key="handle")
        self._users[handle] = self._users.get(handle, 0) + 1
        return found[0]

    def give_back(self, handle: int) -> None:
        """End a read."""
        self._users[handle] -= 1
        if not self._users[handle]:
            del self._users[handle]
            late = self._closing.pop(handle, None)
            if late is not None:
                late.close()

    def release(self, handle: int) -> None:
        """Close a body; harmless where the handle names nothing."""
        found = self._open.pop(handle, None)
        if found is None:
            return
        if handle in self._users:
            self._closing[handle] = found[0]
        else:
            found[0].close()

    def release_of(self, owner: Session) -> None:
        """Close what a session opened."""
        for handle in [handle for handle, (_, whose) in self._open.items() if whose is owner]:
            self.release(handle)

    def release_all(self) -> None:
        """Close everything: the connection has ended."""
        for handle in list(self._open):
            self.release(handle)


def facts_of(body: Body, folder: Folder, uid: Uid) -> BodyFacts | None:
    """Say what is known of an opened message; None where it is gone meanwhile and nobody knew before."""
    if body.facts is not None:
        return body.facts
    for octets, sealed in folder.rows(("octets", "sealed"), after_uid=uid - 1, last_uid=uid):
        return BodyFacts(cast("int", octets), cast("bool", sealed))
    return None


def open_body(folder: Folder, uid: Uid, wanted: Slice) -> OpenedBody:
    """Open a message in one of the three ways; blocks.

    Raises:
        AccessError: TOO_LARGE where an inline answer would be.
        MsgstoreError: what the store says.
    """
    body = folder.retrieve(uid)
    try:
        return _opened(body, uid, facts_of(body, folder, uid), wanted)
    except BaseException:
        body.close()
        raise


def _opened(body: Body, uid: Uid, known: BodyFacts | None, wanted: Slice) -> OpenedBody:
    stored = body.stored_octets
    start = min(wanted.offset, stored)
    end = stored if wanted.octets is None else min(stored, start + wanted.octets)
    limit = Limits().inline_octets
    inline = wanted.way == "inline" or (wanted.way == "auto" and end - start <= limit)
    is_scanned = wanted.is_whole and stored <= _SCAN_LIMIT_OCTETS
    result = _described(uid, body, known, body.chunks() if is_scanned else None)
    if inline:
        if end - start > limit:
            raise AccessError("TOO_LARGE", "the message is too large to come inline", limit_octets=limit)
        octets_wanted = _read_exactly(body, start, end - start)
        body.close()
        return OpenedBody(result=changed(result, body=octets_wanted))
    if wanted.way == "fd":
        descriptor = _descriptor_of(body)
        body.close()
        result = changed(result, fd=0, fd_offset=start, fd_octets=end - start)
        return OpenedBody(result=result, descriptor=descriptor)
    return OpenedBody(result=result, body=body)


def fetch_body(folder: Folder, uid: Uid) -> RetrieveResult:
    """Read a message whole, or say of a large one what is known; blocks.

    Raises:
        MsgstoreError: what the store says.
    """
    with folder.retrieve(uid) as body:
        stored, known = body.stored_octets, facts_of(body, folder, uid)
        if stored > Limits().inline_octets:
            return _described(uid, body, known, None)
        octets = _read_exactly(body, 0, stored)
        return changed(_described(uid, body, known, (octets,)), body=octets)


def _described(uid: Uid, body: Body, known: BodyFacts | None, text: Iterable[bytes] | None) -> RetrieveResult:
    """Say what is known of a message; without its text every line may begin with a dot."""
    stored = body.stored_octets
    sealed = known is not None and known.sealed
    octets = stored if known is None else known.octets
    return RetrieveResult(
        uid=uid,
        octets=octets,
        stored_octets=stored,
        crlf=not sealed and octets == stored,
        dots=sealed or text is None or _has_dots(text),
        sealed=Sealed(algorithm=ALGORITHM, damaged=is_no_blob(body)) if sealed else None,
    )


def is_no_blob(body: Body) -> bool:
    """Whether a message that should be sealed cannot be, which needs no key to see."""
    return body.stored_octets < OVERHEAD_OCTETS or looks_like_plaintext(body.read(0, OVERHEAD_OCTETS))


def read_head(body: Body, lines: int | None) -> tuple[bytes, bytes | None]:
    """Give the header block with its empty line, and ``lines`` lines of the body when asked; octets as stored.

    Raises:
        AccessError: TOO_LARGE where it does not fit one frame; the caller retrieves the message instead.
    """
    seen = bytearray()
    end = -1
    while end < 0 or (lines is not None and not _has_lines(seen, end, lines)):
        chunk = body.read(len(seen), _READ_OCTETS)
        if not chunk:
            break
        seen += chunk
        if end < 0:
            end = end_of_header(seen, len(seen) - len(chunk))
        if len(seen) > _HEAD_LIMIT_OCTETS + _READ_OCTETS:
            break
    end = len(seen) if end < 0 else end
    stop = end if lines is None else end_of_lines(seen, end, lines)
    if stop > _HEAD_LIMIT_OCTETS:
        raise AccessError("TOO_LARGE", "the header does not fit one frame", limit_octets=_HEAD_LIMIT_OCTETS)
    return bytes(seen[:end]), None if lines is None else bytes(seen[end:stop])


def _has_lines(seen: bytearray, start: int, lines: int) -> bool:
    return seen.count(b"\n", start) >= lines


def _has_dots(text: Iterable[bytes]) -> bool:
    last = b"\n"
    for chunk in text:
        if b"\n." in chunk or (last == b"\n" and chunk[:1] == b"."):
            return True
        last = chunk[-1:] or last
    return False


def _read_exactly(body: Body, start: int, octets: int) -> bytes:
    parts: list[bytes] = []
    while octets > 0:
        part = body.read(start, octets)
        if not part:
            break
        parts.append(part)
        start += len(part)
        octets -= len(part)
    return b"".join(parts)


def _descriptor_of(body: Body) -> int:
    """Give a descriptor nobody can change the message through: the file itself, or a sealed copy in memory."""
    own = body.fileno()
    if own is not None and fcntl.fcntl(own, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return os.dup(own)
    descriptor = os.memfd_create("message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for chunk in body.chunks():
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
