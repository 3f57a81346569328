"""Octets to MessagePack-RPC frames and back, under limits; the only door to msgpack.

MessagePack objects stand back to back, nothing around them::

    request       [0, id, method, args]
    response      [1, id, error, result]
    notification  [2, method, args]

msgpack's own ``max_buffer_size`` does not limit an object, because parsing is incremental; the decoder here counts the
octets of each object itself.  After any error the decoder is dead: its parser may hold half an object.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import msgpack

from msgstore.model.errors import MsgstoreError

__all__ = [
    "AFTER_LOGIN",
    "AT_CLIENT",
    "BEFORE_LOGIN",
    "READ_OCTETS",
    "Frame",
    "FrameDecoder",
    "FrameLimits",
    "FrameRefused",
    "Notification",
    "Request",
    "Response",
    "encode",
]

READ_OCTETS: Final = 16_384
"""What one read of a server brings at most: it has many peers."""

_ID_LIMIT: Final = 2**32 - 1
"""Ids are uint32 in MessagePack-RPC."""


class FrameRefused(MsgstoreError):
    """The octets are no frame, or one above a limit: the stream cannot be understood any further."""

    rpc_code = "INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLimits:
    """What one object may hold.

    Array headers reserve memory at once, so ``array_items`` decides how much a few hostile octets can cost.
    """

    object_octets: int
    array_items: int
    map_items: int
    read_octets: int = READ_OCTETS
    """What one read may bring; the parser's buffer is sized for an object and one read."""


BEFORE_LOGIN: Final = FrameLimits(object_octets=64 * 1024, array_items=16, map_items=64)
"""For peers of whom only the uid is known."""

AFTER_LOGIN: Final = FrameLimits(object_octets=256 * 1024, array_items=1024, map_items=64)
"""For peers that hold a session, and for the roles smtp and admin."""

AT_CLIENT: Final = FrameLimits(object_octets=1024 * 1024, array_items=65_536, map_items=4096, read_octets=65_536)
"""For what a client accepts from the server it chose to trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Asks for exactly one response."""

    id: int
    method: str
    args: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Answers the request of that id; ``error`` is None where it succeeded."""

    id: int
    error: object = None
    result: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Tells something and is never answered."""

    method: str
    args: tuple[object, ...] = ()


Frame = Request | Response | Notification
"""The three shapes."""


def encode(frame: Frame) -> bytes:
    """Give the octets of one frame; str, bytes, int, float, bool, None and lists, tuples and maps of them.

    Raises:
        TypeError, ValueError, OverflowError: a value cannot be said in MessagePack.
    """
    match frame:
        case Request():
            return msgpack.packb([0, frame.id, frame.method, frame.args])
        case Response():
            return msgpack.packb([1, frame.id, frame.error, frame.result])
        case Notification():
            return msgpack.packb([2, frame.method, frame.args])


class FrameDecoder:
    """Takes the octets of one stream in any pieces and gives its frames.

    Use: :meth:`feed` what was read, then :meth:`next_frame` until it gives None, and only then read again; so at most
    one object and one read are ever held.
    """

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._rest = bytearray()
        """Fed and not yet part of a finished object; needed because msgpack does not give its buffer back."""
        self._unpacker = _unpacker(limits)
        self._consumed = 0
        """Where the last finished object ended, counted like ``tell`` of the present unpacker."""
        self._waiting = False
        """Whether the unpacker has said that it needs more octets."""
        self._dead = False

    @property
    def holds_part(self) -> bool:
        """Whether an object has begun and not ended; asked after :meth:`next_frame` gave None."""
        return bool(self._rest)

    def feed(self, octets: bytes | bytearray | memoryview) -> None:
        """Take what a read gave, at most ``read_octets`` of the limits at a time.

        Raises:
            FrameRefused: the decoder has refused something before, or is fed more than it can hold.
        """
        if self._dead:
            raise FrameRefused("nothing is read after an error")
        self._rest += octets
        self._waiting = False
        try:
            self._unpacker.feed(octets)
        except msgpack.BufferFull as error:
            raise self._refused("an object is too large") from error

    def next_frame(self) -> Frame | None:
        """Give the next whole frame; None when more octets are needed.

        Raises:
            FrameRefused: the octets are no frame or break a limit; the stream is lost.
        """
        if self._dead:
            raise FrameRefused("nothing is read after an error")
        if self._waiting or not self._rest:
            return None
        try:
            found = self._unpacker.unpack()
        except msgpack.OutOfData:
            self._waiting = True
            if len(self._rest) > self._limits.object_octets:
                raise self._refused("an object is too large") from None
            return None
        except FrameRefused as error:
            # Raised by the hooks below, inside the parser.
            raise self._refused(str(error)) from None
        except (ValueError, msgpack.UnpackException, RecursionError, MemoryError, OverflowError, TypeError) as error:
            raise self._refused(f"not MessagePack within the limits ({type(error).__name__})") from error
        octets = self._unpacker.tell() - self._consumed
        if octets > self._limits.object_octets:
            raise self._refused("an object is too large")
        self._consumed += octets
        del self._rest[:octets]
        try:
            return _as_frame(found)
        except FrameRefused:
            self._dead = True
            raise

    def change_limits(self, limits: FrameLimits) -> None:
        """Go on under other limits; only the unread rest is looked at again."""
        if limits != self._limits:
            self._limits = limits
            self.renew()

    def renew(self) -> None:
        """Go on with a new parser: the old one's memory, in which all that came still lies, is given back."""
        if self._dead:
            return
        self._rest = bytearray(self._rest)
        self._unpacker = _unpacker(self._limits)
        self._consumed = 0
        self._waiting = False
        self._unpacker.feed(self._rest)

    def _refused(self, why: str) -> FrameRefused:
        self._dead = True
        self._rest.clear()
        return FrameRefused(why)


def _unpacker(limits: FrameLimits) -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=False,
        use_list=True,
        strict_map_key=True,
        object_pairs_hook=_map_of,
        ext_hook=_refuse_extension,
        max_buffer_size=limits.object_octets + limits.read_octets,
        max_str_len=limits.object_octets,
        max_bin_len=limits.object_octets,
        max_array_len=limits.array_items,
        max_map_len=limits.map_items,
        max_ext_len=0,
    )


def _map_of(pairs: Iterable[tuple[object, object]]) -> dict[str, object]:
    """Keys are text and stand once: of a repeated key the parser would keep the last without a word."""
    result: dict[str, object] = {}
    for key, value in pairs:
        if not isinstance(key, str) or key in result:
            raise FrameRefused("a map has a repeated key or one that is not text")
        result[key] = value
    return result


def _refuse_extension(_kind: int, _octets: bytes) -> object:
    raise FrameRefused("extension types are not used")


def _as_frame(found: object) -> Frame:
    parts = cast("list[object]", found) if isinstance(found, list) else []
    kind, length = (parts[0], len(parts)) if parts else (None, 0)
    # A truth value equals 0 or 1 in Python and is no kind.
    if not isinstance(kind, bool):
        if (kind, length) == (0, 4) and isinstance(parts[2], str) and isinstance(parts[3], list):
            return Request(id=_as_id(parts[1]), method=parts[2], args=tuple(cast("list[object]", parts[3])))
        if (kind, length) == (1, 4):
            return Response(id=_as_id(parts[1]), error=parts[2], result=parts[3])
        if (kind, length) == (2, 3) and isinstance(parts[1], str | bytes) and isinstance(parts[2], list):
            # pynvim introduces itself with a notification whose name is written as octets (measured with 0.6.0).
            name = parts[1] if isinstance(parts[1], str) else parts[1].decode("utf-8", "replace")
            return Notification(method=name, args=tuple(cast("list[object]", parts[2])))
    raise FrameRefused("not a request, a response or a notification")


def _as_id(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _ID_LIMIT:
        return value
    raise FrameRefused("an id is an unsigned number of 32 bits")
