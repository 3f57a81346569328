"""The error words of the protocol, and what each means to POP3, IMAP, ManageSieve and an SMTP relay.

The hints travel with every error, so the daemons print the response codes of RFC 2449, 3206 and 5530 without tables
of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from msgstore.model.errors import (
    DiskFull,
    MessageTooLarge,
    MsgstoreError,
    QuotaExceeded,
    RateLimited,
)

__all__ = ["CODES", "AccessError", "ErrorCode", "error_from_wire", "wire_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCode:
    """What a code means; None where the protocol has no word for it."""

    retry: bool
    """Whether the same request may succeed later."""

    pop3: str | None = None
    """Response code of RFC 2449 and 3206."""

    imap: str | None = None
    """Response code of RFC 5530."""

    sieve: str | None = None
    """Response code of RFC 5804 §1.3."""

    status: str | None = None
    """Enhanced status of RFC 3463."""


def _permanent(pop3: str | None = None, imap: str | None = None, status: str | None = None) -> ErrorCode:
    return ErrorCode(retry=False, pop3=pop3, imap=imap, status=status)


def _passing(pop3: str | None = None, imap: str | None = None, status: str | None = None) -> ErrorCode:
    return ErrorCode(retry=True, pop3=pop3, imap=imap, status=status)


CODES: Final[Mapping[str, ErrorCode]] = {
    "AUTH_FAILED": _permanent("AUTH", "AUTHENTICATIONFAILED", "5.7.8"),
    "AUTH_TEMP": _passing("SYS/TEMP", "UNAVAILABLE", "4.7.0"),
    "RATE_LIMITED": _passing("SYS/TEMP", "UNAVAILABLE", "4.7.0"),
    "DOMAIN_NOT_HOSTED": _permanent("AUTH", "AUTHENTICATIONFAILED", "5.1.2"),
    "DENIED": _permanent("SYS/PERM", "NOPERM", "5.7.1"),
    "NO_SESSION": _permanent("SYS/TEMP", "UNAVAILABLE", "4.3.0"),
    "KEY_NOT_FOUND": _permanent(),
    "KEY_UNREADABLE": _passing("SYS/TEMP", "UNAVAILABLE", "4.7.5"),
    "KEY_UNUSABLE": _permanent("SYS/PERM", "CONTACTADMIN", "4.7.5"),
    "SEALED": _permanent("SYS/PERM", "CANNOT"),
    "NO_MAILBOX": _permanent("SYS/PERM", "NONEXISTENT", "5.1.1"),
    "NO_FOLDER": _permanent(None, "NONEXISTENT"),
    "FOLDER_EXISTS": _permanent(None, "ALREADYEXISTS"),
    "INVALID_NAME": _permanent(None, "CANNOT"),
    "RESERVED_NAME": _permanent(None, "CANNOT"),
    "HAS_CHILDREN": _permanent(None, "HASCHILDREN"),
    "NO_MESSAGE": _permanent(None, "NONEXISTENT"),
    "EXPUNGED": _permanent(None, "EXPUNGEISSUED"),
    "OVER_QUOTA": ErrorCode(retry=True, imap="OVERQUOTA", sieve="QUOTA", status="4.2.2"),
    "TOO_LARGE": ErrorCode(retry=False, imap="TOOBIG", sieve="QUOTA/MAXSIZE", status="5.3.4"),
    "LOCKED": _passing("IN-USE", "INUSE"),
    "BUSY": _passing("SYS/TEMP", "UNAVAILABLE", "4.3.2"),
    "INVALID": _permanent("SYS/PERM", "CLIENTBUG", "5.5.4"),
    "INVALID_ADDRESS": _permanent(None, "CLIENTBUG", "5.1.3"),
    "NO_METHOD": _permanent("SYS/PERM", "SERVERBUG", "5.5.1"),
    "UNSUPPORTED": _permanent("SYS/PERM", "CANNOT", "5.5.1"),
    "DEADLINE": _passing("SYS/TEMP", "UNAVAILABLE", "4.3.0"),
    "CANCELLED": _passing(),
    "IO": _passing("SYS/TEMP", "UNAVAILABLE", "4.3.0"),
    "INTERNAL": _passing("SYS/TEMP", "SERVERBUG", "4.3.0"),
    "GOING_AWAY": _passing("SYS/TEMP", "UNAVAILABLE", "4.3.2"),
    "SCRIPT_INVALID": _permanent(None, "CANNOT"),
    "NO_SCRIPT": ErrorCode(retry=False, imap="NONEXISTENT", sieve="NONEXISTENT"),
    "SCRIPT_EXISTS": ErrorCode(retry=False, imap="ALREADYEXISTS", sieve="ALREADYEXISTS"),
    "SCRIPT_ACTIVE": ErrorCode(retry=False, imap="INUSE", sieve="ACTIVE"),
}
"""Every word of the protocol; the server decides, the client never guesses from the text."""

_PRIVATE: Final = frozenset({"IO", "INTERNAL", "AUTH_TEMP", "LOCKED", "KEY_UNREADABLE", "KEY_UNUSABLE"})
"""Codes whose cause may name paths and people: the text stays in the log."""


class AccessError(MsgstoreError):
    """One error of the protocol: raised by the server's methods, and again, equal, by the client's call.

    ``message`` is for logs and people at the site and is never shown to a remote peer.  ``data`` holds what the code
    adds, such as ``after_ms`` or ``key``, besides the hints of :class:`ErrorCode`.
    """

    def __init__(self, code: str, message: str, /, **data: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        hints = CODES.get(code, CODES["INTERNAL"])
        known = {"retry": hints.retry, "pop3": hints.pop3, "imap": hints.imap}
        known |= {"sieve": hints.sieve, "status": hints.status}
        self.data: dict[str, object] = {name: value for name, value in (known | data).items() if value is not None}

    def __str__(self) -> str:
        return f"{self.code} {self.message}"

    @property
    def retry(self) -> bool:
        """Whether the server says that trying again can help."""
        return self.data.get("retry") is True

    @property
    def pop3(self) -> str | None:
        """Response code for a POP3 client. RFC 2449 §8."""
        found = self.data.get("pop3")
        return found if isinstance(found, str) else None

    @property
    def imap(self) -> str | None:
        """Response code for an IMAP client. RFC 5530."""
        found = self.data.get("imap")
        return found if isinstance(found, str) else None

    def on_wire(self, form: str = "array") -> object:
        """Give what stands in a response: ``[code, message, data]``, or one text when ``form`` is ``string``."""
        return str(self) if form == "string" else [self.code, self.message, self.data]


def wire_error(error: BaseException, *, log_id: str = "") -> AccessError:
    """Translate what a method raised; errors of no known kind are INTERNAL and their text stays with us.

    ``log_id`` goes along as ``data.id`` so that a person at the site finds the line.
    """
    if isinstance(error, AccessError):
        return error
    data: dict[str, object] = {"id": log_id or None}
    if not isinstance(error, MsgstoreError):
        return AccessError("INTERNAL", "internal error", **data)
    code = error.rpc_code if error.rpc_code in CODES else "INTERNAL"
    match error:
        case RateLimited():
            data["after_ms"] = round(error.after_seconds * 1000)
        case QuotaExceeded():
            data |= {"used_octets": error.used_octets, "limit_octets": error.limit_octets}
            data |= {"retry": error.status.kind == 4, "status": str(error.status)}
        case MessageTooLarge():
            data["limit_octets"] = error.limit_octets
        case DiskFull():
            data["status"] = str(DiskFull.status)
        case _:
            pass
    return AccessError(code, "the cause is in the log" if code in _PRIVATE else str(error), **data)


def error_from_wire(found: object) -> AccessError:
    """Read the error of a response, in either form; what is not understood becomes INTERNAL and may be retried."""
    if isinstance(found, str):
        code, _, message = found.partition(" ")
        return AccessError(code, message) if code in CODES else AccessError("INTERNAL", found)
    if isinstance(found, Sequence) and not isinstance(found, bytes):
        parts = list(cast("Sequence[object]", found))
        if len(parts) >= 2 and isinstance(parts[0], str) and isinstance(parts[1], str):
            if _is_map(parts):
                return AccessError(parts[0], parts[1], **cast("Mapping[str, object]", parts[2]))
            return AccessError(parts[0], parts[1])
    return AccessError("INTERNAL", "an error of unknown form")


def _is_map(parts: Sequence[object]) -> bool:
    return len(parts) > 2 and isinstance(parts[2], Mapping)
