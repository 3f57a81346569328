"""Sockets that systemd passed to this process. sd_listen_fds(3)."""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

__all__ = ["PassedSocket", "passed_sockets"]

_FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedSocket:
    """One socket made by systemd."""

    name: str
    """``FileDescriptorName=`` of its unit; ``unknown`` when systemd gave none."""

    socket: socket.socket
    """Owned by whoever asked for it; not inherited by programs that are started."""


def passed_sockets(
    environ: MutableMapping[str, str] | None = None,
    *,
    pid: int | None = None,
    first_descriptor: int = _FIRST_DESCRIPTOR,
) -> tuple[PassedSocket, ...]:
    """Take the sockets over and clear the three variables, so that no child takes them a second time.

    Empty when systemd passed none, or passed them to another process (``LISTEN_PID``).  Descriptors that are no
    sockets are left alone.

    sd_listen_fds(3).
    """
    if environ is None:
        environ = os.environ
    if pid is None:
        pid = os.getpid()
    meant_for = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if meant_for != str(pid) or not count.isdecimal():
        return ()
    found: list[PassedSocket] = []
    for index in range(int(count)):
        descriptor = first_descriptor + index
        try:
            passed = socket.socket(fileno=descriptor)
        except OSError:
            continue
        passed.set_inheritable(False)
        name = names[index] if index < len(names) and names[index] else "unknown"
        found.append(PassedSocket(name=name, socket=passed))
    return tuple(found)
