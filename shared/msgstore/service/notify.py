"""What we tell systemd: ready, status, stopping, alive. sd_notify(3)."""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

__all__ = ["Notifier"]

_MICROSECONDS: Final = 1_000_000


class Notifier:
    """Sends datagrams to the service manager; silent where there is none.

    A message that cannot be sent is dropped: mail is worth more than a status line.
    """

    def __init__(self, address: str | None = None, *, watchdog_seconds: float | None = None) -> None:
        self._address = None if not address else "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds: Final = watchdog_seconds
        """Silence after which systemd restarts us; None when it does not watch."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, *, pid: int | None = None) -> "Notifier":
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; sd_watchdog_enabled(3)."""
        if environ is None:
            environ = os.environ
        microseconds = environ.get("WATCHDOG_USEC", "")
        meant_for = environ.get("WATCHDOG_PID", "")
        is_watched = microseconds.isdecimal() and meant_for in ("", str(os.getpid() if pid is None else pid))
        return cls(
            environ.get("NOTIFY_SOCKET"),
            watchdog_seconds=int(microseconds) / _MICROSECONDS if is_watched and int(microseconds) else None,
        )

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, is done."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send("", status)

    def reloading(self, *, monotonic_seconds: float) -> None:
        """Say that settings are read again; :meth:`ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * _MICROSECONDS)}", "")

    def stopping(self, status: str = "") -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", status)

    def watchdog(self) -> None:
        """Say that a real probe has just succeeded."""
        self._send("WATCHDOG=1", "")

    def _send(self, state: str, status: str) -> None:
        if self._address is None:
            return
        lines = [state] if state else []
        if status:
            lines.append("STATUS=" + status.replace("\n", " "))
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # A manager that does not read must not stop us.
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)
