"""The scripts of a session of the asynchronous client."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from msgstore.access import entries
from msgstore.access.contract import fields_of
from msgstore.access.entries import Method
from msgstore.access.scriptshapes import (
    FoundRules,
    Kept,
    RuleShape,
    RulesKept,
    ScriptCapabilities,
    ScriptRow,
    ScriptText,
)

__all__ = ["Asking", "Scripts"]

Result = TypeVar("Result")


class Asking(Protocol):
    """The client, seen from here."""

    async def ask(self, method: Method[Any, Result], **args: object) -> Result:
        """Call a method."""
        ...


class Scripts:
    """Sieve scripts of the user who is logged in.

    Every method raises AccessError with NO_SCRIPT where there is no script of a name it is given, and with INVALID_NAME
    where no script can have that name.
    """

    def __init__(self, client: Asking, session: str) -> None:
        self._client = client
        self._session = session

    async def capabilities(self) -> ScriptCapabilities:
        """Say what scripts may say here."""
        return await self._ask(entries.SCRIPT_CAPABILITIES)

    async def list(self) -> tuple[ScriptRow, ...]:
        """Give all scripts, ascending by name."""
        return (await self._ask(entries.SCRIPT_LIST)).scripts

    async def get(self, name: str) -> ScriptText:
        """Give a script as it was put."""
        return await self._ask(entries.SCRIPT_GET, name=name)

    async def check(self, text: bytes) -> Kept:
        """Compile a script and keep nothing.

        Raises:
            AccessError: SCRIPT_INVALID with ``data.errors``, TOO_LARGE.
        """
        return await self._ask(entries.SCRIPT_CHECK, text=text)

    async def space(self, name: str, octets: int) -> None:
        """Ask whether a script of that size may come.

        Raises:
            AccessError: OVER_QUOTA.
        """
        await self._ask(entries.SCRIPT_SPACE, name=name, octets=octets)

    async def put(self, name: str, text: bytes, *, activate: bool | None = None) -> Kept:
        """Keep a script that compiles, in the place of one of that name.

        Raises:
            AccessError: SCRIPT_INVALID with ``data.errors``, TOO_LARGE, OVER_QUOTA; nothing has changed.
        """
        return await self._ask(entries.SCRIPT_PUT, name=name, text=text, activate=activate)

    async def activate(self, name: str | None) -> None:
        """Make a script the active one, or with None none of them.

        Raises:
            AccessError: SCRIPT_INVALID where it does not compile.
        """
        await self._ask(entries.SCRIPT_ACTIVATE, name=name or "")

    async def delete(self, name: str, *, request_id: str | None = None) -> None:
        """Take a script away.

        Raises:
            AccessError: SCRIPT_ACTIVE.
        """
        await self._ask(entries.SCRIPT_DELETE, name=name, _request_id=request_id)

    async def rename(self, name: str, new_name: str, *, request_id: str | None = None) -> None:
        """Give a script another name; an active one stays active.

        Raises:
            AccessError: SCRIPT_EXISTS.
        """
        await self._ask(entries.SCRIPT_RENAME, name=name, new_name=new_name, _request_id=request_id)

    async def rules(self, name: str) -> FoundRules:
        """Give the rules of a script, or its text where rules would not say all it says."""
        return await self._ask(entries.SCRIPT_GET_RULES, name=name)

    async def put_rules(self, name: str, rules: Sequence[RuleShape], *, activate: bool | None = None) -> RulesKept:
        """Keep rules as a script.

        Raises:
            AccessError: SCRIPT_INVALID where no script stands for them.
        """
        plain = [fields_of(rule) for rule in rules]
        return await self._ask(entries.SCRIPT_PUT_RULES, name=name, rules=plain, activate=activate)

    async def _ask(self, method: Method[Any, Result], **args: object) -> Result:
        return await self._client.ask(method, session=self._session, **args)
