"""The state of a run: the message as edited so far, what was decided, variables, budget.

One :class:`Context` belongs to one message for one recipient.  ``run`` may be called with it again and goes on with
everything; :meth:`Context.child` has variables of its own and shares the rest, as the scripts before and after the
personal one do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Final

from msgstore.model.errors import InvalidFolderName
from msgstore.model.folder import FolderName
from msgstore.sieve.actions import Action, FileInto, Keep, Redirect, folder_of
from msgstore.sieve.addresses import parse_path
from msgstore.sieve.limits import DEFAULT_LIMITS, Limits
from msgstore.sieve.message import Message
from msgstore.sieve.problems import LimitReached, ScriptFailed
from msgstore.sieve.questions import Asking, CurrentTime, ask
from msgstore.sieve.values import Reference, Template, Text
from msgstore.sieve.verdict import SeenMark, Step

if TYPE_CHECKING:
    from msgstore.sieve.engine import Engine
    from msgstore.sieve.program import Program

__all__ = ["Context", "Envelope", "Owner", "Result", "Scan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What MAIL and RCPT said; texts as the peer sent them, with or without angle brackets."""

    reverse_path: str | None = None
    """``""`` is the null path; None is unknown."""

    forward_path: str | None = None
    auth: str | None = None
    orcpt: str | None = None
    notify: str | None = None
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose script it is."""

    address: str = ""
    """The address that replies come from; ``""`` takes the forward-path."""

    addresses: tuple[str, ...] = ()
    """Further addresses that are the user's."""

    separator: str = "+"
    """Between user and detail, one or more characters. RFC 5233."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What scanners said, from who may be believed; a header that came with the message never is. RFC 5235 §3."""

    spam_percent: float | None = None
    """0 is surely none, 100 surely spam; None was not looked at."""

    virus: int | None = None
    """1 clean, 2 cured, 3 perhaps cured, 4 cannot be cured, 5 surely one; None was not looked at. RFC 5235 §3.3."""


_NO_ENVELOPE: Final = Envelope()
_NO_OWNER: Final = Owner()
_NO_SCAN: Final = Scan()


@dataclass(slots=True, kw_only=True)
class Result:
    """What the scripts of one message share."""

    message: Message
    original: Message
    left: int
    actions: list[Action] = field(default_factory=list[Action])
    keeps: bool = True
    flags: tuple[str, ...] = ()
    """The internal variable of imap4flags."""

    seen: dict[tuple[str, str], SeenMark] = field(default_factory=dict[tuple[str, str], SeenMark])
    notes: list[str] = field(default_factory=list[str])
    trace: list[Step] | None = None
    state: dict[str, object] = field(default_factory=dict[str, object])
    """Of extensions, by their capability; for the life of the result."""

    now: float | None = None
    redirects: int = 0
    failed: ScriptFailed | None = None


class Context:
    """See the module; made by who delivers, handed to every handler."""

    def __init__(
        self,
        message: Message,
        *,
        envelope: Envelope | None = None,
        owner: Owner | None = None,
        scan: Scan | None = None,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        now: float | None = None,
        zone: tzinfo = UTC,
        trace: bool = False,
        folder_name: Callable[[str], FolderName] = FolderName.parse,
        expired: Callable[[], bool] | None = None,
        result: Result | None = None,
    ) -> None:
        """Begin with a message as it came.

        ``now`` is in seconds since 1970, None asks for it; ``zone`` is the local one; ``folder_name`` reads names of
        folders and raises ``InvalidFolderName``; ``expired`` says, when asked now and then, that time is up;
        ``environment`` holds items by name, others are asked for; ``limits`` are those of the engine where None.
        """
        self.envelope = envelope or _NO_ENVELOPE
        self.owner = owner or _NO_OWNER
        self.scan = scan or _NO_SCAN
        self.environment = dict(environment or {})
        self.limits = limits or DEFAULT_LIMITS
        self._takes_limits = limits is None
        self.zone = zone
        self.folder_name = folder_name
        self.expired = expired
        self.result = result or Result(
            message=message, original=message, left=self.limits.operations, trace=[] if trace else None, now=now
        )
        self.variables: dict[str, str] = {}
        self.globals: dict[str, str] = {}
        """Shared with the scripts that this one includes."""

        self.match_values: tuple[str, ...] = ()
        self.global_names: set[str] = set()
        self.script = ""
        self.program: Program | None = None
        self.engine: Engine | None = None
        self._until_look = 1024

    def child(self) -> "Context":
        """Give a context with fresh variables that shares message, flags, result and budget with this one."""
        child = Context(
            self.result.message,
            envelope=self.envelope,
            owner=self.owner,
            scan=self.scan,
            environment=self.environment,
            limits=self.limits,
            zone=self.zone,
            folder_name=self.folder_name,
            expired=self.expired,
            result=self.result,
        )
        child.engine, child.script = self.engine, self.script
        return child

    def adopt(self, limits: Limits) -> None:
        """Take the limits of the engine, unless there are own ones."""
        if self._takes_limits and limits is not self.limits:
            self.result.left += limits.operations - self.limits.operations
            self.limits = limits

    # The message.

    @property
    def message(self) -> Message:
        """The message as edited so far; may be replaced by another one, which then is what actions carry."""
        return self.result.message

    @message.setter
    def message(self, message: Message) -> None:
        self.result.message = message

    @property
    def original(self) -> Message:
        """The message as it came."""
        return self.result.original

    @property
    def own_addresses(self) -> frozenset[str]:
        """Addresses of the user in lower case: those of the owner, and the one that the message came to."""
        found = [self.owner.address, *self.owner.addresses]
        if self.envelope.forward_path:
            path = parse_path(self.envelope.forward_path)
            found.append("" if path is None else path.text)
        return frozenset(address.lower() for address in found if address)

    # The result.

    @property
    def actions(self) -> tuple[Action, ...]:
        """What was decided so far, without the implicit keep."""
        return tuple(self.result.actions)

    @property
    def keeps(self) -> bool:
        """Whether the implicit keep stands; may be set."""
        return self.result.keeps

    @keeps.setter
    def keeps(self, stands: bool) -> None:
        self.result.keeps = stands

    def clear_result(self) -> None:
        """Forget what was decided; the implicit keep stands again."""
        self.result.actions.clear()
        self.result.seen.clear()
        self.result.keeps = True
        self.result.redirects = 0
        self.result.failed = None

    def add(self, action: Action) -> None:
        """Add an action; the second copy for one folder or address takes the place of the first.

        Raises:
            ScriptFailed: it cannot stand beside another one, or there are too many.

        RFC 5228 §2.10.1, §2.10.3, §2.10.4.
        """
        result = self.result
        name = type(action).__name__
        for other in result.actions:
            if type(other).__name__ in action.clashes or name in other.clashes:
                raise ScriptFailed(f"{name.lower()} cannot stand beside {type(other).__name__.lower()}", action.line)
        at = self._same(action)
        if at is not None:
            result.actions[at] = action
        else:
            if len(result.actions) >= self.limits.actions:
                raise LimitReached(f"more than {self.limits.actions} actions", action.line)
            if isinstance(action, Redirect):
                result.redirects += 1
                if result.redirects > self.limits.redirects:
                    raise LimitReached(f"more than {self.limits.redirects} redirects", action.line)
            result.actions.append(action)
        if action.cancels_keep and not action.copy:
            result.keeps = False
        if result.trace is not None:
            self.note_step("action", name.lower(), action.line, _named(action))

    def _same(self, action: Action) -> int | None:
        if isinstance(action, Redirect):
            target: object = _target(action)
        elif isinstance(action, FileInto) and (action.special_use or action.mailbox_id):
            target = (action.folder, action.special_use, action.mailbox_id)
        else:
            target = folder_of(action)
        if target is None:
            return None
        for at, other in enumerate(self.result.actions):
            if isinstance(other, Redirect):
                found: object = _target(other)
            elif isinstance(other, FileInto) and (other.special_use or other.mailbox_id):
                found = (other.folder, other.special_use, other.mailbox_id)
            else:
                found = folder_of(other)
            if found == target:
                return at
        return None

    def implicit_keep(self) -> Keep:
        """Give the keep that is carried out where nothing else was decided."""
        return Keep(flags=self.result.flags, message=self.message.edited, implicit=True, script=self.script)

    # Errors, notes, budget.

    def fail(self, text: str, line: int = 0) -> ScriptFailed:
        """Give the error to raise; a line of 0 becomes that of the command."""
        return ScriptFailed(text, line, self.script)

    def note(self, text: str, line: int = 0) -> None:
        """Say what was done otherwise than the script may have meant; never content of a message."""
        self.result.notes.append(text if not line else f"line {line}: {text}")
        if self.result.trace is not None:
            self.note_step("note", "", line, text)

    def note_step(self, kind: str, name: str, line: int, outcome: str) -> None:
        """Add a step to the trace, if there is one."""
        if self.result.trace is not None:
            self.result.trace.append(Step(script=self.script, line=line, kind=kind, name=name, outcome=outcome))

    def spend(self, operations: int) -> None:
        """Take from the budget.

        Raises:
            LimitReached: it is used up, or time is.
        """
        result = self.result
        result.left -= operations
        if result.left < 0:
            raise LimitReached("the script takes too many operations", 0, self.script)
        if self.expired is not None:
            self._until_look -= operations
            if self._until_look < 0:
                self._until_look = 1024
                if self.expired():
                    raise LimitReached("the script takes too long", 0, self.script)

    # Texts and variables.

    def expand(self, text: Text) -> str:
        """Put in the variables. RFC 5229 §3."""
        if isinstance(text, str):
            return text
        return self._expanded(text)

    def _expanded(self, template: Template) -> str:
        pieces = [part if isinstance(part, str) else self.lookup(part) for part in template.parts]
        text = "".join(pieces)
        self.spend(len(pieces) + (len(text) >> 6))
        return text[: self.limits.expansion_characters]

    def lookup(self, reference: Reference) -> str:
        """Give the value of a variable; ``""`` for an unknown one."""
        if reference.number >= 0:
            values = self.match_values
            return values[reference.number] if reference.number < len(values) else ""
        if reference.namespace:
            assert self.engine is not None
            namespace = self.engine.registry.everything.namespaces.get(reference.namespace)
            return "" if namespace is None else namespace.get(self, reference.name)
        if reference.name in self.global_names:
            return self.globals.get(reference.name, "")
        return self.variables.get(reference.name, "")

    def assign(self, name: str, value: str) -> None:
        """Set a variable, global where it was declared so; a value that is too long is cut. RFC 5229 §6.

        Raises:
            LimitReached: there are too many variables.
        """
        name = name.lower()
        if "." in name:
            assert self.engine is not None
            space, _, rest = name.partition(".")
            namespace = self.engine.registry.everything.namespaces.get(space)
            if namespace is None or namespace.set is None:
                raise self.fail(f"variables of {space!r} cannot be set")
            namespace.set(self, rest, value[: self.limits.variable_value_characters])
            return
        place = self.globals if name in self.global_names else self.variables
        if name not in place and len(place) >= self.limits.variables:
            raise LimitReached(f"more than {self.limits.variables} variables", 0, self.script)
        place[name] = value[: self.limits.variable_value_characters]

    def value(self, name: str) -> str:
        """Give a variable by its name, with a namespace or without."""
        space, dot, rest = name.lower().partition(".")
        return self.lookup(Reference(space, rest) if dot else Reference("", space))

    def match(self, values: Sequence[str], keys: Sequence[str], tags: Mapping[str, str] | None = None) -> Asking[bool]:
        """Compare as a test does; yield from it.

        ``tags`` holds the match type by its name with its operand, as ``{"contains": ""}``, and the comparator as
        ``{"comparator": "i;octet"}``; ``:is`` and ``i;ascii-casemap`` where nothing is said.

        Raises:
            ScriptFailed: there is no such match type or comparator, or a key is not valid.
        """
        assert self.engine is not None
        return (yield from self.engine.match(self, values, keys, tags or {}))

    def folder(self, text: str) -> FolderName:
        """Read the name of a folder.

        Raises:
            ScriptFailed: the text cannot name one.
        """
        try:
            return self.folder_name(text)
        except InvalidFolderName as error:
            raise ScriptFailed(f"no folder can have this name: {error}", 0, self.script) from error

    def time(self) -> Asking[float]:
        """Give the time of the run, asked once; yield from it."""
        if self.result.now is None:
            self.result.now = yield from ask(CurrentTime())
        return self.result.now


def _target(action: Redirect) -> tuple[str, str, str | None]:
    """Give what makes two redirects one; the cases of a local-part are for its host alone. RFC 5321 §2.4."""
    local_part, _, domain = action.address.rpartition("@")
    return local_part, domain.lower(), action.list_name


def _named(action: Action) -> str:
    if isinstance(action, FileInto):
        return str(action.folder)
    return "implicit" if isinstance(action, Keep) and action.implicit else ""
