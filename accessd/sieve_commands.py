"""What ManageSieve commands do to the scripts of a user, and what is answered; sees no socket.

RFC 5804 §2.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, TypeVarTuple

from accessd.calls import Services
from accessd.script_methods import IMPLEMENTATION, largest_script, notify_schemes, refuse_space
from accessd.sieve_lines import Word, answer, literal, quoted
from msgstore.access.codes import wire_error
from msgstore.model.errors import MsgstoreError
from msgstore.model.scripts import InvalidScriptName, ScriptShelf, ScriptTooLarge, TooManyScripts
from msgstore.scripts import ScriptInvalid, activate_checked, check, put_checked
from msgstore.sieve import Diagnostic, Engine

__all__ = ["COMMANDS", "WrongArguments", "capabilities", "refusal", "run_command"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_OK: Final = answer("OK")


class WrongArguments(Exception):
    """A command has other arguments than these."""


class _Desk:
    """The scripts of one user, for the time of one command."""

    def __init__(self, services: Services, shelf: ScriptShelf) -> None:
        self.services = services
        self.shelf = shelf
        self.engine: Engine = services.engine

    async def run(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run something in a worker thread."""
        return await self.services.offload.run(function, *args)


def capabilities(engine: Engine, *, mechanisms: str, starts_tls: bool, owner: str | None) -> bytes:
    """Write what this server can do; mechanisms are empty where no password may be sent.

    RFC 5804 §1.7.
    """
    lines: list[tuple[str, str | None]] = [
        ("IMPLEMENTATION", IMPLEMENTATION),
        ("SIEVE", " ".join(engine.capabilities)),
        ("SASL", mechanisms),
    ]
    if schemes := notify_schemes(engine):
        lines.append(("NOTIFY", " ".join(schemes)))
    lines.append(("MAXREDIRECTS", str(engine.limits.redirects)))
    if starts_tls:
        lines.append(("STARTTLS", None))
    if owner is not None:
        lines.append(("OWNER", owner))
    lines += [("UNAUTHENTICATE", None), ("VERSION", "1.0")]
    return b"".join(
        quoted(name.encode()) + (b"" if value is None else b" " + quoted(value.encode())) + b"\r\n"
        for name, value in lines
    )


async def run_command(name: str, arguments: Sequence[Word], *, services: Services, shelf: ScriptShelf) -> bytes:
    """Carry out a command of :data:`COMMANDS` and give the whole answer.

    Raises:
        WrongArguments: it takes others.
        MsgstoreError: it is refused; :func:`refusal` says how.
    """
    return await COMMANDS[name](_Desk(services, shelf), arguments)


def refusal(error: MsgstoreError) -> bytes:
    """Write what is answered to an error."""
    if isinstance(error, ScriptInvalid):
        return answer("NO", str(error))
    if isinstance(error, TooManyScripts):
        return answer("NO", str(error), code="QUOTA/MAXSCRIPTS")
    wire = wire_error(error)
    found = wire.data.get("sieve")
    code = found if isinstance(found, str) else "TRYLATER" if wire.retry else ""
    return answer("NO", wire.message, code=code)


async def _have_space(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(name), int(octets)]:
            await desk.run(refuse_space, desk.shelf, desk.engine, _name(name), octets)
            return _OK
        case _:
            raise WrongArguments


async def _put(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(name), bytes(content)]:
            if len(content) > largest_script(desk.engine):
                raise ScriptTooLarge
            return _accepted(await desk.run(put_checked, desk.shelf, desk.engine, _name(name), content))
        case _:
            raise WrongArguments


async def _check(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(content)]:
            if len(content) > largest_script(desk.engine):
                raise ScriptTooLarge
            findings = await desk.run(check, desk.engine, content)
            if not findings.is_valid:
                raise ScriptInvalid(findings)
            return _accepted(findings.warnings)
        case _:
            raise WrongArguments


async def _list(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    if arguments:
        raise WrongArguments
    rows = await desk.run(desk.shelf.list)
    # Names hold no control characters, so they fit between quotes, and clients read nothing else there.
    lines = [quoted(row.name.encode()) + (b" ACTIVE" if row.is_active else b"") + b"\r\n" for row in rows]
    return b"".join(lines) + _OK


async def _set_active(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(name)]:
            await desk.run(activate_checked, desk.shelf, desk.engine, _name(name) or None)
            return _OK
        case _:
            raise WrongArguments


async def _get(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(name)]:
            return literal(await desk.run(desk.shelf.read, _name(name))) + b"\r\n" + _OK
        case _:
            raise WrongArguments


async def _delete(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(name)]:
            await desk.run(desk.shelf.remove, _name(name))
            return _OK
        case _:
            raise WrongArguments


async def _rename(desk: _Desk, arguments: Sequence[Word]) -> bytes:
    match arguments:
        case [bytes(name), bytes(to)]:
            await desk.run(desk.shelf.rename, _name(name), _name(to))
            return _OK
        case _:
            raise WrongArguments


def _name(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidScriptName("the name of a script is UTF-8") from None


def _accepted(warnings: Sequence[Diagnostic]) -> bytes:
    return answer("OK", "\n".join(map(str, warnings)), code="WARNINGS") if warnings else _OK


COMMANDS: Final[dict[str, Callable[[_Desk, Sequence[Word]], Awaitable[bytes]]]] = {
    "HAVESPACE": _have_space,
    "PUTSCRIPT": _put,
    "CHECKSCRIPT": _check,
    "LISTSCRIPTS": _list,
    "SETACTIVE": _set_active,
    "GETSCRIPT": _get,
    "DELETESCRIPT": _delete,
    "RENAMESCRIPT": _rename,
}
"""Those that need a login."""
