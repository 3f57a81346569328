"""Scripts from and to other servers by ManageSieve (RFC 5804), with sievelib's client."""

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from sievelib.managesieve import Client, Error

from msgstore.model.errors import MsgstoreError
from msgstore.model.result import EnhancedStatus
from msgstore.model.scripts import (
    SCRIPT_LIMIT_OCTETS,
    InvalidScriptName,
    ScriptShelf,
    ScriptTooLarge,
    StoredScript,
    TooManyScripts,
)
from msgstore.scripts.checking import ScriptInvalid, put_checked
from msgstore.sieve import Engine

__all__ = [
    "MANAGESIEVE_PORT",
    "Imported",
    "Remote",
    "RemoteFailed",
    "RemoteScript",
    "fetch_scripts",
    "push_scripts",
    "take_scripts",
]

MANAGESIEVE_PORT: Final = 4190
"""RFC 5804 §1.8."""


class RemoteFailed(MsgstoreError):
    """The other server did not do what it was asked, or cannot be reached."""

    status = EnhancedStatus(4, 4, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Another server, and who is known there."""

    host: str
    port: int = MANAGESIEVE_PORT
    user: str
    security: Literal["starttls", "tls", "none"] = "starttls"
    """Certificates are checked against the machine's trust store; ``none`` sends the password as it is."""

    act_as: str = ""
    """Whose scripts they are, where ``user`` may act for others; empty means the user's own."""

    @classmethod
    def parse(cls, url: str, *, act_as: str = "") -> "Remote":
        """Read ``managesieve://USER@HOST[:PORT]``, or ``managesieves:`` for TLS from the first octet.

        Raises:
            ValueError: it has another form.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("managesieve", "managesieves") or not parts.hostname or not parts.username:
            raise ValueError("give managesieve://USER@HOST or managesieves://USER@HOST")
        if parts.password is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("nothing stands in the address but user, host and port")
        return cls(
            host=parts.hostname,
            port=parts.port or MANAGESIEVE_PORT,
            user=unquote(parts.username),
            security="tls" if parts.scheme == "managesieves" else "starttls",
            act_as=act_as,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteScript:
    """A script as another server has it; None for a content that could not be fetched."""

    name: str
    content: bytes | None
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one script."""

    name: str
    outcome: Literal["taken", "kept", "refused"]
    """``kept`` is what was here before under that name; ``refused`` does not compile here, or cannot be kept."""

    why: str = ""
    is_active: bool = False


def fetch_scripts(remote: Remote, password: str) -> tuple[RemoteScript, ...]:
    """Give all scripts of a user on another server, the active one last.

    Raises:
        RemoteFailed: the server cannot be reached, refuses the login, or breaks off.
    """
    with _connected(remote, password) as client:
        listed = client.listscripts()
        if listed is None:
            raise RemoteFailed(f"{remote.host} gives no list: {_said(client)}")
        active, others = listed
        found = [_fetched(client, name, is_active=False) for name in others]
        return (*found, *((_fetched(client, active, is_active=True),) if active else ()))


def push_scripts(remote: Remote, password: str, scripts: Sequence[StoredScript], *, active: str | None) -> None:
    """Put scripts on another server and make one of them the active one there; with None nothing is made active.

    Raises:
        RemoteFailed: the server cannot be reached, or refuses one; those before it are there.
    """
    with _connected(remote, password) as client:
        for script in scripts:
            if not client.putscript(script.name, script.content.decode("utf-8", "surrogateescape")):
                raise RemoteFailed(f"{remote.host} refuses {script.name!r}: {_said(client)}")
        if active is not None and not client.setactive(active):
            raise RemoteFailed(f"{remote.host} does not activate {active!r}: {_said(client)}")


def take_scripts(
    shelf: ScriptShelf, engine: Engine, scripts: Sequence[RemoteScript], *, overwrite: bool = False
) -> tuple[Imported, ...]:
    """Put scripts of another server on a shelf; the active one becomes active where none was, or with ``overwrite``.

    Raises:
        MailboxNotFound, StoreError: the shelf cannot be used; what was taken before is there.
    """
    here = shelf.list()
    known = {info.name for info in here}
    may_activate = overwrite or not any(info.is_active for info in here)
    done: list[Imported] = []
    for script in scripts:
        if script.name in known and not overwrite:
            done.append(Imported(name=script.name, outcome="kept", why="a script of that name is here"))
        elif script.content is None:
            done.append(Imported(name=script.name, outcome="refused", why="the server did not give it"))
        else:
            done.append(_take(shelf, engine, script.name, script.content, activate=script.is_active and may_activate))
    return tuple(done)


def _take(shelf: ScriptShelf, engine: Engine, name: str, content: bytes, *, activate: bool) -> Imported:
    try:
        put_checked(shelf, engine, name, content, activate=activate)
    except (ScriptInvalid, InvalidScriptName, ScriptTooLarge, TooManyScripts) as error:
        return Imported(name=name, outcome="refused", why=str(error))
    return Imported(name=name, outcome="taken", is_active=activate)


@contextmanager
def _connected(remote: Remote, password: str) -> Generator[Client]:
    client = Client(remote.host, remote.port)
    try:
        with warnings.catch_warnings():
            # Whoever asks for no TLS knows what is sent.
            warnings.simplefilter("ignore")
            is_in = client.connect(
                remote.user,
                password,
                remote.act_as,
                starttls=remote.security == "starttls",
                ssl=remote.security == "tls",
            )
        if not is_in:
            raise RemoteFailed(f"{remote.host} refuses the login: {_said(client)}")
        yield client
        with suppress(Error, OSError):
            client.logout()
    except (Error, OSError, UnicodeError, KeyError, AttributeError) as error:
        # The last two are what the client makes of capabilities that lack what it looks for.
        raise RemoteFailed(f"{remote.host}: {error}") from error


def _fetched(client: Client, name: str, *, is_active: bool) -> RemoteScript:
    text = client.getscript(name)
    content = None if text is None else _with_crlf(text)
    if content is not None and len(content) > SCRIPT_LIMIT_OCTETS:
        content = None
    return RemoteScript(name=name, content=content, is_active=is_active)


def _with_crlf(text: str) -> bytes:
    """Undo what the client did to line ends."""
    return "".join(f"{line}\r\n" for line in text.split("\n")).encode("utf-8")


def _said(client: Client) -> str:
    return client.errmsg.decode("utf-8", "replace") or "it does not say why"
