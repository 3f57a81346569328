"""One connection: octets to requests, answers to octets, with limits both ways.  It knows no store."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final, cast

from accessd.calls import AccessCounters, Call, Caller
from accessd.wires import Inbox, Outbox
from msgstore.access.codes import AccessError, wire_error
from msgstore.access.concealed import filled
from msgstore.access.contract import METHODS
from msgstore.access.frames import (
    AFTER_LOGIN,
    BEFORE_LOGIN,
    Frame,
    FrameDecoder,
    FrameRefused,
    Notification,
    Request,
    Response,
    encode,
)
from msgstore.model.errors import MsgstoreError
from msgstore.telemetry.log import logger

__all__ = ["Connection", "Rules"]

log = logger(__name__)

_PART_SECONDS: Final = 30.0
"""An object is complete this long after its first octet."""

_FRAME_LIMIT_OCTETS: Final = 1024 * 1024


class Rules:
    """What a connection is told when it is made."""

    def __init__(self, *, max_inflight: int, idle_seconds: float, counters: AccessCounters) -> None:
        self.max_inflight: Final = max_inflight
        self.idle_seconds: Final = idle_seconds
        self.counters: Final = counters


class Connection:
    """Reads requests as far as limits allow, answers each exactly once, and ends everything at its end."""

    def __init__(
        self,
        connected: socket.socket,
        *,
        caller: Caller,
        rules: Rules,
        begin: Callable[[Request, float], Call],
        answer: Callable[[Call], Awaitable[object]],
    ) -> None:
        self._socket = connected
        self._caller = caller
        self._rules = rules
        self._begin = begin
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(AFTER_LOGIN if caller.is_trusted else BEFORE_LOGIN)
        self._inbox = Inbox(connected, allows=lambda: "fd-upload" in caller.features)
        self._outbox = Outbox(connected)
        self._outbox.on_progress = self._note_progress
        caller.watches.voice.outbox = self._outbox
        self._running: dict[int, _Running] = {}
        self._progress = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._reading_over = asyncio.Event()
        self._is_reading = False
        """Whether the loop calls when octets come."""

        self._patience: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        """Runs :meth:`serve`; set by the server."""

        self._leaving = False
        self._part_began = 0.0
        """When the first octet of an unfinished object came."""

        self._heard_at = self._loop.time()

    @property
    def inflight(self) -> int:
        """Requests in work."""
        return len(self._running)

    async def serve(self) -> None:
        """Answer requests until the peer closes, breaks the protocol, or is told to go."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                writer = group.create_task(self._write_all())
                self._watch_patience()
                self._take_all()
                await self._reading_over.wait()
                for running in list(self._running.values()):
                    # A message that has come whole is kept, whether or not somebody waits for the answer.
                    if not running.call.checked.method.takes_body:
                        running.cancel("CANCELLED")
                while self._running:
                    self._progress.clear()
                    await self._progress.wait()
                self._outbox.finish()
                await asyncio.wait([writer])
        finally:
            self._end_reading()
            self._outbox.drop()
            self._inbox.drop()
            self._socket.close()
            # Without these circles what was received goes with the connection, and not when the collector comes by.
            self._outbox.on_progress = _do_nothing
            self._group = None

    def tell(self, frame: Notification) -> None:
        """Say something unasked."""
        self._outbox.put(encode(frame))

    def abort(self) -> None:
        """End at once, whatever is in work."""
        if self.task is not None:
            self.task.cancel()

    def go_away(self, grace_seconds: float) -> None:
        """Take no new requests, let running ones finish, then close."""
        self._leaving = True
        self.tell(Notification(method="rpc.going_away", args=({"grace_ms": int(grace_seconds * 1000)},)))
        self._note_progress()

    def _note_progress(self) -> None:
        self._progress.set()
        self._caller.watches.has_room()
        if self._leaving and not self._running:
            self._end_reading()
        elif not self._is_reading and not self._reading_over.is_set() and self._group is not None and self._has_room:
            # The peer is not to blame for the time in which we did not read.
            self._part_began = self._heard_at = self._loop.time()
            self._take_all()

    # Reading.

    @property
    def _has_room(self) -> bool:
        return len(self._running) < self._rules.max_inflight and not self._outbox.is_full

    def _on_readable(self) -> None:
        """Read once, and obey: a peer that never stops must not hold up all others."""
        part = self._decoder.holds_part
        try:
            octets = self._inbox.receive()
            self._heard_at = self._loop.time()
            if not part:
                self._part_began = self._heard_at
            self._decoder.feed(octets)
        except (BlockingIOError, InterruptedError):
            return
        except FrameRefused as error:
            self._refuse(error)
            return
        except OSError as error:
            log.debug("access.connection_lost", reason=str(error))
            self._end_reading()
            return
        if octets:
            self._take_all()
        else:
            self._end_reading()

    def _take_all(self) -> None:
        """Take the requests that have come whole, as far as there is room, and read on or wait for room."""
        try:
            while self._has_room:
                if self._caller.is_trusted:
                    self._decoder.change_limits(AFTER_LOGIN)
                frame = self._decoder.next_frame()
                if frame is None:
                    self._inbox.require_named(is_within_object=self._decoder.holds_part)
                    self._read_on()
                    return
                # What follows it has come just now at the earliest; a busy stream may never pause between objects.
                self._part_began = self._loop.time()
                self._take(frame)
                if isinstance(frame, Request) and _brings_secret(frame):
                    self._decoder.renew()
        except FrameRefused as error:
            self._refuse(error)
            return
        self._pause()

    def _read_on(self) -> None:
        if not self._is_reading and not self._reading_over.is_set():
            self._is_reading = True
            self._loop.add_reader(self._socket.fileno(), self._on_readable)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket.fileno())

    def _end_reading(self) -> None:
        self._pause()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._reading_over.set()

    def _refuse(self, error: FrameRefused) -> None:
        self._rules.counters.frame_refused()
        log.warning("access.frame_refused", uid=self._caller.peer.uid, reason=str(error))
        self._outbox.put(encode(Notification(method="rpc.fatal", args=("INVALID", str(error)))))
        self._end_reading()

    def _watch_patience(self) -> None:
        """Look, as often as it can matter, whether the peer was silent for too long."""
        now, part = self._loop.time(), self._decoder.holds_part
        until = self._part_began + _PART_SECONDS if part else self._heard_at + self._rules.idle_seconds
        if self._is_reading and now >= until:
            if part:
                self._refuse(FrameRefused("an object was not finished in time"))
                return
            if not self._running:
                self._end_reading()
                return
            until = self._heard_at = now
        wait = min(max(until - now, 0.05), _PART_SECONDS, self._rules.idle_seconds)
        self._patience = self._loop.call_later(wait, self._watch_patience)

    async def _write_all(self) -> None:
        try:
            await self._outbox.send_all()
        except OSError as error:
            # TimeoutError is one of them: the peer is gone or as good as gone.
            log.debug("access.connection_lost", reason=str(error))
            self._outbox.drop()
            self._end_reading()

    def _take(self, frame: Frame) -> None:
        match frame:
            case Request():
                if frame.id in self._running:
                    raise FrameRefused("an id is used again while its request is in work")
                self._start(frame)
            case Notification():
                self._heed(frame)
            case Response():
                raise FrameRefused("a response to nothing that was asked")

    def _heed(self, frame: Notification) -> None:
        """Notifications are never answered, so one that cannot be understood changes nothing."""
        if frame.method != "rpc.cancel" or len(frame.args) != 1 or not isinstance(frame.args[0], dict):
            return
        wanted = cast("dict[str, object]", frame.args[0]).get("id")
        running = self._running.get(wanted) if isinstance(wanted, int) else None
        if running is not None:
            running.cancel("CANCELLED")

    def _start(self, request: Request) -> None:
        descriptor = self._inbox.take() if _brings_descriptor(request) else None
        try:
            if self._leaving:
                raise AccessError("GOING_AWAY", "the server ends")
            call = self._begin(request, self._loop.time())
        except MsgstoreError as error:
            if descriptor is not None:
                os.close(descriptor)
            self._respond(request, error=wire_error(error))
            return
        call.upload = descriptor
        running = _Running(call)
        self._running[request.id] = running
        assert self._group is not None
        running.task = self._group.create_task(self._run(request, running))
        timer = self._loop.call_later(call.timeout_seconds, running.cancel, "DEADLINE")
        running.task.add_done_callback(lambda _: timer.cancel())

    async def _run(self, request: Request, running: "_Running") -> None:
        call = running.call
        result: object = None
        error: AccessError | None = None
        try:
            running.begin()
            result = await self._answer(call)
        except asyncio.CancelledError:
            if running.reason is None:
                raise
            error = AccessError(running.reason, "given up as asked" if running.reason == "CANCELLED" else "too slow")
        except MsgstoreError as trouble:
            error = wire_error(trouble, log_id=call.log_id)
            if error.code in ("IO", "INTERNAL", "AUTH_TEMP"):
                log.error(  # noqa: TRY400 - not a logging.Logger
                    "access.request_failed", error=trouble, method=request.method, id=call.log_id, trace=call.trace
                )
        # The connection loop: a bug ends this request and nothing else.
        except Exception as trouble:  # noqa: BLE001
            error = wire_error(trouble, log_id=call.log_id)
            log.error("access.request_crashed", error=trouble, method=request.method, id=call.log_id, trace=call.trace)  # noqa: TRY400 - not a logging.Logger
        else:
            self._respond(request, result=result, call=call)
        finally:
            del self._running[request.id]
            call.finish()
            if error is not None:
                self._respond(request, error=error)
            self._note_progress()

    def _respond(
        self, request: Request, *, error: AccessError | None = None, result: object = None, call: Call | None = None
    ) -> None:
        octets: bytes | bytearray = b""
        if error is None:
            try:
                octets = encode(Response(id=request.id, result=result))
            except (TypeError, ValueError, OverflowError) as trouble:
                log.error("access.request_crashed", error=trouble, method=request.method)  # noqa: TRY400 - not a logging.Logger
                error = wire_error(trouble)
            if len(octets) > _FRAME_LIMIT_OCTETS:
                error = AccessError("TOO_LARGE", "the answer does not fit a frame", limit_octets=_FRAME_LIMIT_OCTETS)
            if call is not None and call.hidden and error is None:
                octets = filled(bytes(octets), call.hidden)
        if error is not None:
            octets = encode(Response(id=request.id, error=error.on_wire(self._caller.error_form)))
        descriptor = None if call is None or error is not None else call.take_descriptor()
        self._outbox.put(octets, descriptor)
        method = request.method if request.method in METHODS else "unknown"
        self._rules.counters.request_answered(method, "ok" if error is None else error.code)


def _do_nothing() -> None:
    return


def _brings_secret(request: Request) -> bool:
    method = METHODS.get(request.method)
    return method is not None and method.brings_secret


def _brings_descriptor(request: Request) -> bool:
    method = METHODS.get(request.method)
    if method is None or not method.takes_body or len(request.args) != 1 or not isinstance(request.args[0], dict):
        return False
    return cast("dict[str, object]", request.args[0]).get("as") == "fd"


class _Running:
    """A request in work and whether it was given up."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.reason: str | None = None
        self.task: asyncio.Task[None] | None = None
        self._has_begun = False

    def begin(self) -> None:
        """Start the work.

        Raises:
            CancelledError: it was given up in the same turn of the loop that brought it.
        """
        self._has_begun = True
        if self.reason is not None:
            raise asyncio.CancelledError

    def cancel(self, reason: str) -> None:
        """Give it up unless it has begun to change the store."""
        if self.reason is not None or self.call.committing or self.task is None:
            return
        self.reason = reason
        # A task that is cancelled before its first step never runs, so nobody would answer.
        if self._has_begun:
            self.task.cancel()
