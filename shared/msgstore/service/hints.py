"""Hints between the processes of this machine: in which mailbox something has changed just now.

Every receiver binds a datagram socket in one directory; a sender sends to all of them and never waits.  A hint may get
lost, come twice or come from anywhere: whoever gets one looks at the store, and what the store says is the truth.
"""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.model.errors import InvalidAddress, InvalidFolderName
from msgstore.model.folder import FolderName
from msgstore.telemetry.log import logger

__all__ = ["Changed", "HintReceiver", "HintSender", "Hints", "hints_from", "packed"]

log = logger(__name__)

Changed = tuple[MailboxId, FolderName | None]
"""Where something changed; without a folder it is the folders themselves."""

LISTING_SECONDS: Final = 1.0
"""How old a sender's knowledge of the receivers may be."""

_DATAGRAM_OCTETS: Final = 8192
_SUFFIX: Final = ".hints"
_READ_LIMIT: Final = 256
"""Datagrams of one read: the loop of the receiver has other work."""


def packed(places: Iterable[Changed]) -> Iterator[bytes]:
    """Write hints into as few datagrams as hold them; a place a line, a tab between its parts."""
    lines: list[bytes] = []
    octets = 0
    for mailbox, folder in dict.fromkeys(places):
        parts = [mailbox.local_part, mailbox.domain, *(() if folder is None else (str(folder),))]
        line = "\t".join(parts).encode("utf-8", "surrogatepass")
        if lines and octets + len(line) >= _DATAGRAM_OCTETS:
            yield b"\n".join(lines)
            lines, octets = [], 0
        lines.append(line)
        octets += len(line) + 1
    if lines:
        yield b"\n".join(lines)


def hints_from(octets: bytes) -> tuple[Changed, ...]:
    """Read a datagram; lines that name no place are passed over."""
    found: list[Changed] = []
    for line in octets.decode("utf-8", "replace").split("\n"):
        parts = line.split("\t")
        if len(parts) not in (2, 3):
            continue
        with contextlib.suppress(InvalidAddress, InvalidFolderName):
            found.append((MailboxId(parts[0], parts[1]), FolderName.parse(parts[2]) if len(parts) == 3 else None))
    return tuple(found)


class HintSender:
    """Sends to every receiver of a directory, in one thread; trouble of any kind drops the hint."""

    def __init__(self, directory: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._listed_at = -LISTING_SECONDS
        self._directory_fd = -1
        self._receivers: list[str] = []
        self._socket: socket.socket | None = None
        self.own: str | None = None
        """Name of the receiver of this process, which knows already."""

    def send(self, places: Iterable[Changed]) -> None:
        """Tell every receiver; never waits, never fails."""
        now = self._clock()
        if now - self._listed_at >= LISTING_SECONDS:
            self._listed_at = now
            self._list()
        if not self._receivers:
            return
        for datagram in packed(places):
            for path in tuple(self._receivers):
                self._send_to(path, datagram)

    def close(self) -> None:
        """Give the descriptors back; harmless to repeat."""
        self._receivers = []
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._close_directory()

    def _send_to(self, path: str, datagram: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(datagram, socket.MSG_DONTWAIT, path)
        except BlockingIOError:
            # It has more unread than fits and will look at everything that it knows of.
            return
        except OSError:
            self._receivers.remove(path)

    def _list(self) -> None:
        self._close_directory()
        try:
            fd = self._directory_fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            names = [name for name in _names_in(fd) if name != self.own]
            if names and self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:
            self._receivers = []
            return
        # By the descriptor: a Unix address holds 108 octets, and the directory may lie deep.
        self._receivers = [f"/proc/self/fd/{fd}/{name}" for name in names]

    def _close_directory(self) -> None:
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1


class Hints:
    """A receiver, and a sender to all others; of one thread."""

    def __init__(self, directory: str) -> None:
        """Bind in the directory.

        Raises:
            OSError: nothing can be bound there.
        """
        self._receiver = HintReceiver(directory)
        self._sender = HintSender(directory)
        self._sender.own = self._receiver.name

    def fileno(self) -> int:
        """Readable when there are hints."""
        return self._receiver.fileno()

    def read(self) -> tuple[Changed, ...]:
        """Give what has come; never waits."""
        return self._receiver.read()

    def send(self, places: Iterable[Changed]) -> None:
        """Tell the others; never waits, never fails."""
        self._sender.send(places)

    def close(self) -> None:
        """Take the socket away."""
        self._receiver.close()
        self._sender.close()


class HintReceiver:
    """One socket in the directory; it is gone with :meth:`close`, and swept by others where its process was killed."""

    def __init__(self, directory: str) -> None:
        """Bind, and make the directory where it is missing.

        Raises:
            OSError: nothing can be bound there.
        """
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name: Final = f"{os.getpid()}.{secrets.token_hex(6)}{_SUFFIX}"
        self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._sweep()
            self._socket.bind(self._path(self.name))
        except BaseException:
            self._socket.close()
            os.close(self._directory_fd)
            raise

    def fileno(self) -> int:
        """Readable when there are hints."""
        return self._socket.fileno()

    def read(self) -> tuple[Changed, ...]:
        """Give what has come; never waits."""
        found: dict[Changed, None] = {}
        for _ in range(_READ_LIMIT):
            try:
                octets = self._socket.recv(2 * _DATAGRAM_OCTETS)
            except OSError:
                break
            found.update(dict.fromkeys(hints_from(octets)))
        return tuple(found)

    def close(self) -> None:
        """Take the socket away; harmless to repeat."""
        if self._directory_fd < 0:
            return
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.name, dir_fd=self._directory_fd)
        os.close(self._directory_fd)
        self._directory_fd = -1

    def _path(self, name: str) -> str:
        return f"/proc/self/fd/{self._directory_fd}/{name}"

    def _sweep(self) -> None:
        """Remove the sockets of processes that are gone: nobody reads them any more."""
        for name in _names_in(self._directory_fd):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect(self._path(name))
                except ConnectionRefusedError:
                    with contextlib.suppress(OSError):
                        os.unlink(name, dir_fd=self._directory_fd)
                    log.debug("hints.socket_swept", name=name)
                except OSError:
                    continue


def _names_in(directory_fd: int) -> list[str]:
    with os.scandir(directory_fd) as found:
        return [entry.name for entry in found if entry.name.endswith(_SUFFIX)]
