"""Who may connect, and as what: the kernel names the peer, the settings name its roles."""

import grp
import pwd
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from msgstore.config.schema import RoleName
from msgstore.model.errors import ConfigError

__all__ = ["ALL_ROLES", "Credentials", "Peers", "credentials_of"]

ALL_ROLES: Final[frozenset[RoleName]] = frozenset({"pop3", "imap", "smtp", "admin"})

_UCRED: Final = struct.Struct("iII")
"""struct ucred of unix(7): pid, uid, gid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the kernel says about the process that connected."""

    pid: int
    uid: int
    gid: int


class Peers:
    """Roles by user id and by group; the own user has every role."""

    def __init__(
        self,
        *,
        users: Mapping[int, Iterable[RoleName]],
        groups: Mapping[int, Iterable[RoleName]],
        own_uid: int | None,
    ) -> None:
        self._users: dict[int, frozenset[RoleName]] = {uid: frozenset(roles) for uid, roles in users.items()}
        self._groups: dict[int, frozenset[RoleName]] = {gid: frozenset(roles) for gid, roles in groups.items()}
        self._own_uid = own_uid

    @classmethod
    def from_settings(cls, roles: Mapping[str, Iterable[RoleName]], *, own_uid: int) -> Self:
        """Look the names of ``[access] roles`` up once, so that no accept waits for a name service.

        A group counts for its members and for processes whose group it is.

        Raises:
            ConfigError: a user or group does not exist; all of them are named.
        """
        users: dict[int, frozenset[RoleName]] = {}
        groups: dict[int, frozenset[RoleName]] = {}
        faults: list[str] = []
        for name, given in roles.items():
            try:
                if name.startswith("@"):
                    gid, members = _group(name[1:])
                    groups[gid] = groups.get(gid, frozenset()) | frozenset(given)
                    for uid in members:
                        users[uid] = users.get(uid, frozenset()) | frozenset(given)
                else:
                    uid = int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
                    users[uid] = users.get(uid, frozenset()) | frozenset(given)
            except KeyError:
                faults.append(f'access.roles."{name}": there is no such {"group" if name[0:1] == "@" else "user"}')
        if faults:
            raise ConfigError(tuple(faults))
        return cls(users=users, groups=groups, own_uid=own_uid)

    def roles_of(self, peer: Credentials) -> frozenset[RoleName]:
        """Give the roles of a peer; empty means that it has no business here."""
        if peer.uid == self._own_uid:
            return ALL_ROLES
        return self._users.get(peer.uid, frozenset()) | self._groups.get(peer.gid, frozenset())


def credentials_of(connected: socket.socket) -> Credentials:
    """Ask the kernel who connected; the answer holds for the moment of connect. unix(7), SO_PEERCRED."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return Credentials(pid=pid, uid=uid, gid=gid)


def _group(name: str) -> tuple[int, list[int]]:
    found = grp.getgrgid(int(name)) if name.isdecimal() else grp.getgrnam(name)
    members: list[int] = []
    for member in found.gr_mem:
        try:
            members.append(pwd.getpwnam(member).pw_uid)
        except KeyError:
            # A group file may name users that were removed long ago.
            continue
    return found.gr_gid, members
