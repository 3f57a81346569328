"""Listening sockets that we bind ourselves."""

import contextlib
import grp
import ipaddress
import os
import socket
import stat
from typing import Final

from msgstore.model.errors import ConfigError

__all__ = ["Listener", "bind"]

BACKLOG: Final = 512
"""Connections that wait while we accept none; the kernel cuts it at net.core.somaxconn."""

_PROBE_SECONDS: Final = 2.0
"""A live listener answers a connect at once unless its queue is full, and that is a sign of life as well."""


class Listener:
    """One bound, listening, non-blocking socket."""

    def __init__(self, address: str, bound: socket.socket, *, path: str | None = None) -> None:
        self.address: Final = address
        """As written in the settings."""

        self.socket: Final = bound
        self._path = path
        # Held open, so that the number of the inode is not given to another file as long as we compare with it.
        self._anchor = None if path is None else os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the socket, and remove its file when it is still the one we made; harmless to repeat.

        Only the process that called :func:`bind` does this; workers that inherited the socket just close it.
        """
        self.socket.close()
        path, anchor, self._path, self._anchor = self._path, self._anchor, None, None
        if path is None or anchor is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(path), os.fstat(anchor)):
                os.unlink(path)  # noqa: PTH108
        os.close(anchor)


def bind(address: str, *, mode: int = 0o660, group: str = "", backlog: int = BACKLOG) -> Listener:
    """Listen at ``unix:PATH`` or ``tcp:ADDRESS:PORT``.

    A socket file that nobody listens at is replaced; one that answers is never touched.  ``mode`` and ``group`` are
    for socket files and hold before the first connect is possible.  ``tcp`` wants a literal address, IPv6 in square
    brackets: nothing listens everywhere because a name or an empty host was resolved so.

    Raises:
        ConfigError: the address cannot be read, is in use, or cannot be bound.
    """
    kind, _, place = address.partition(":")
    try:
        if kind == "unix" and place:
            return _bind_unix(address, place, mode=mode, group=group, backlog=backlog)
        if kind == "tcp":
            return _bind_tcp(address, place, backlog=backlog)
    except OSError as error:
        raise ConfigError((f"{address}: cannot be bound: {error.strerror or error}",)) from error
    raise ConfigError((f"{address}: is neither unix:PATH nor tcp:ADDRESS:PORT",))


def _bind_unix(address: str, path: str, *, mode: int, group: str, backlog: int) -> Listener:
    group_id = -1 if not group else _group_id(address, group)
    _remove_stale(address, path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Nobody may connect between bind and chmod; nobody can before listen either, and both are cheap.
        before = os.umask(0o177)
        try:
            bound.bind(path)
        finally:
            os.umask(before)
        if group_id != -1:
            os.chown(path, -1, group_id)
        os.chmod(path, mode)  # noqa: PTH101
        bound.listen(backlog)
        bound.setblocking(False)
        return Listener(address, bound, path=path)
    except BaseException:
        bound.close()
        raise


def _bind_tcp(address: str, place: str, *, backlog: int) -> Listener:
    host, colon, port = place.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        literal = ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigError((f"{address}: {host!r} is not an IP address",)) from error
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError((f"{address}: has no port",))
    bound = socket.socket(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if literal.version == 6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((str(literal), int(port)))
        bound.listen(backlog)
        bound.setblocking(False)
        return Listener(address, bound)
    except BaseException:
        bound.close()
        raise


def _remove_stale(address: str, path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError((f"{address}: something that is not a socket lies there",))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
            return
        except OSError:
            # A full queue, or a socket we may not use: somebody owns it.
            pass
    raise ConfigError((f"{address}: another program listens there",))


def _group_id(address: str, group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigError((f"{address}: there is no group {group!r}",)) from error
