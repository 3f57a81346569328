"""A client's side of one connection, without the socket: calls in flight, answers, descriptors, notifications.

Octets and descriptors go in as the socket gives them, finished things come out; any cut of the stream gives the same.
"""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from msgstore.access.codes import AccessError, error_from_wire
from msgstore.access.concealed import filled, stand_in
from msgstore.access.contract import METHODS
from msgstore.access.frames import (
    AT_CLIENT,
    FrameDecoder,
    FrameRefused,
    Notification,
    Request,
    Response,
    encode,
)
from msgstore.crypto.secret import Secret

__all__ = ["FEATURES", "Answer", "Conversation", "Told"]

_ID_COUNT = 2**32
FEATURES: Final = ("fd", "fd-upload", "events", "open-keys")
"""What our clients understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The one response of a call; ``descriptor`` is set where the result has ``fd``, and the receiver owns it."""

    id: int
    error: AccessError | None = None
    result: object = None
    descriptor: int | None = None

    def drop(self) -> None:
        """Close what came, where nobody wants it any more."""
        if self.descriptor is not None:
            os.close(self.descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something the server said unasked, such as ``rpc.going_away``."""

    method: str
    args: tuple[object, ...]


class Conversation:
    """Numbers calls, knows which are in flight and pairs responses with descriptors."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder(AT_CLIENT)
        self._in_flight: set[int] = set()
        self._descriptors: deque[int] = deque()
        self._next_id = 0
        self.fatal: AccessError | None = None
        """Why the server ended the conversation; None as long as it did not."""

    @property
    def in_flight(self) -> frozenset[int]:
        """Ids of calls that wait for their response."""
        return frozenset(self._in_flight)

    def call(self, method: str, args: Mapping[str, object]) -> tuple[int, bytes | bytearray]:
        """Begin a call; gives its id and the octets to send.  Arguments that are None are left out.

        With a :class:`Secret` among the arguments the octets are a ``bytearray``, which is wiped when it has been sent.

        Raises:
            AccessError: NO_METHOD where the contract has no such request.
        """
        entry = METHODS.get(method)
        if entry is None or entry.kind != "request":
            raise AccessError("NO_METHOD", f"{method} is not a method of the contract")
        secrets: dict[bytes, Secret] = {}
        given = {key: _named(value, secrets) for key, value in args.items() if value is not None}
        call_id = self._free_id()
        octets = encode(Request(id=call_id, method=method, args=(given,) if given else ()))
        self._in_flight.add(call_id)
        return call_id, filled(octets, secrets) if secrets else octets

    def cancel(self, call_id: int) -> bytes:
        """Give the octets that ask the server to give up a call; its response comes all the same."""
        return encode(Notification(method="rpc.cancel", args=({"id": call_id},)))

    def receive(self, octets: bytes, descriptors: Sequence[int] = ()) -> list[Answer | Told]:
        """Take what one read of the socket gave and tell what is finished by it.

        Raises:
            FrameRefused: the server does not speak this protocol; the connection is of no use any more.
        """
        self._descriptors.extend(descriptors)
        self._decoder.feed(octets)
        found: list[Answer | Told] = []
        while (frame := self._decoder.next_frame()) is not None:
            match frame:
                case Response():
                    found.append(self._answer(frame))
                case Notification():
                    if frame.method == "rpc.fatal":
                        self.fatal = error_from_wire(list(frame.args))
                    found.append(Told(method=frame.method, args=frame.args))
                case Request():
                    raise FrameRefused("a server sends no requests")
        return found

    def unclaimed(self) -> tuple[int, ...]:
        """Give the descriptors no response has claimed, for closing; they are forgotten here."""
        left = tuple(self._descriptors)
        self._descriptors.clear()
        return left

    def _free_id(self) -> int:
        while self._next_id in self._in_flight:
            self._next_id = (self._next_id + 1) % _ID_COUNT
        found = self._next_id
        self._next_id = (found + 1) % _ID_COUNT
        return found

    def _answer(self, frame: Response) -> Answer:
        if frame.id not in self._in_flight:
            raise FrameRefused("a response to nothing that was asked")
        self._in_flight.discard(frame.id)
        if frame.error is not None:
            return Answer(id=frame.id, error=error_from_wire(frame.error))
        descriptor = None
        if isinstance(frame.result, dict) and cast("dict[str, object]", frame.result).get("fd") is not None:
            # The kernel hands a descriptor over with the first octets sent with it, so it cannot come later.
            if not self._descriptors:
                raise FrameRefused("a response without the descriptor it names")
            descriptor = self._descriptors.popleft()
        return Answer(id=frame.id, result=frame.result, descriptor=descriptor)


def _named(value: object, secrets: dict[bytes, Secret]) -> object:
    return stand_in(value, secrets) if isinstance(value, Secret) else value
