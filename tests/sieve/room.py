"""A place where scripts are run: one engine, a message, and services that remember what they were told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgstore.model.folder import FolderName
from msgstore.sieve import (
    OFF_BY_DEFAULT,
    Action,
    Context,
    Envelope,
    FileInto,
    InvalidScript,
    Keep,
    Level,
    Message,
    Owner,
    Program,
    Redirect,
    ScriptIsBroken,
    SeenBefore,
    Services,
    Vacate,
    Verdict,
    default_engine,
    evaluate,
)

ENGINE = default_engine(also=OFF_BY_DEFAULT)

MAIL = b"""From: Wile E. Coyote <coyote@desert.example.org>\r
To: Roadrunner <roadrunner@acme.example.com>\r
Date: Tue, 01 Apr 1997 09:06:31 -0800\r
Subject: I have a present for you\r
Message-ID: <1@desert.example.org>\r
\r
Look, I'm sorry about the whole anvil thing.\r
"""

NOW = 859_914_391.0
"""The Date of that message."""


@dataclass
class House(Services):
    """Services out of a few tables."""

    folders: Sequence[str] = ("INBOX",)
    uses: Mapping[str, str] = field(default_factory=dict[str, str])
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    scripts: Mapping[str, str] = field(default_factory=dict[str, str])
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    items: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    ids: Mapping[str, str] = field(default_factory=dict[str, str])

    def folder_exists(self, folder: FolderName) -> bool:
        return str(folder) in self.folders

    def special_use(self, folder: FolderName | None, use: str) -> bool:
        found = [name for name, attribute in self.uses.items() if attribute.lower() == use.lower()]
        return bool(found) if folder is None else str(folder) in found

    def seen_before(self, question: SeenBefore) -> bool:
        return (question.handle, question.unique_id) in self.seen

    def script(self, name: str, *, is_global: bool) -> Program | ScriptIsBroken | None:
        text = self.scripts.get(("global:" if is_global else "") + name)
        if text is None:
            return None
        try:
            return ENGINE.compile(text, name=name)
        except InvalidScript as error:
            return ScriptIsBroken(str(error))

    def list_contains(self, name: str, values: tuple[str, ...]) -> bool:
        return any(value in self.lists.get(name, ()) for value in values)

    def list_known(self, name: str) -> bool:
        return name in self.lists

    def environment_item(self, name: str) -> str | None:
        return self.items.get(name)

    def current_time(self) -> float:
        return NOW

    def metadata(self, folder: FolderName | None, name: str) -> str | None:
        return self.annotations.get(("" if folder is None else str(folder), name))

    def mailbox_id(self, mailbox_id: str) -> FolderName | None:
        found = self.ids.get(mailbox_id)
        return None if found is None else FolderName.parse(found)


ENVELOPE = Envelope(reverse_path="coyote@desert.example.org", forward_path="roadrunner@acme.example.com")
OWNER = Owner(address="roadrunner@acme.example.com")


def context_for(mail: bytes = MAIL, *, envelope: Envelope = ENVELOPE, trace: bool = False) -> Context:
    return Context(Message.parse(mail), envelope=envelope, owner=OWNER, trace=trace)


def run(script: str, mail: bytes = MAIL, house: House | None = None, context: Context | None = None) -> Verdict:
    """Run a script; its text may leave out what it requires: see :func:`requiring`."""
    context = context or context_for(mail)
    return evaluate(ENGINE, ENGINE.compile(script, name="test"), context, house or House())


def holds(
    test: str,
    mail: bytes = MAIL,
    *,
    require: Sequence[str] = (),
    house: House | None = None,
    context: Context | None = None,
    before: str = "",
) -> bool:
    """Whether a test is true; the run must end without an error."""
    names = ", ".join(f'"{name}"' for name in ("fileinto", *require))
    verdict = run(f'require [{names}]; {before} if {test} {{ fileinto "yes"; }}', mail, house, context)
    assert verdict.error is None, verdict.error
    return any(isinstance(action, FileInto) and str(action.folder) == "yes" for action in verdict.actions)


def value(name: str, script: str, mail: bytes = MAIL, house: House | None = None) -> str:
    """Run a script and give a variable."""
    context = context_for(mail)
    verdict = evaluate(ENGINE, ENGINE.compile(script), context, house or House())
    assert verdict.error is None, verdict.error
    return context.value(name)


def errors(script: str | bytes) -> list[str]:
    """Give the texts of all errors."""
    return [item.text for item in ENGINE.check(script) if item.level is Level.ERROR]


def told(actions: Sequence[Action]) -> list[str]:
    """Write actions in short: their names, and where to."""
    words: list[str] = []
    for action in actions:
        name = type(action).__name__.lower()
        if isinstance(action, FileInto):
            words.append(f"fileinto {action.folder}")
        elif isinstance(action, Redirect):
            words.append(f"redirect {action.address}")
        elif isinstance(action, Keep) and action.implicit:
            words.append("implicit keep")
        else:
            words.append(name)
    return words


def decided(script: str, mail: bytes = MAIL, house: House | None = None, context: Context | None = None) -> list[str]:
    """Run a script and write what it decided in short."""
    return told(run(script, mail, house, context).actions)


def vacate(script: str, mail: bytes = MAIL) -> Vacate:
    """Run a script and give its only reply."""
    verdict = run(script, mail)
    assert verdict.error is None
    found = [action for action in verdict.actions if isinstance(action, Vacate)]
    assert len(found) == 1, verdict.notes
    return found[0]


def with_field(field: str) -> bytes:
    """Give the message with one field more."""
    return field.encode() + b"\r\n" + MAIL


def mail_with(**fields: str) -> bytes:
    """Give the message with these fields instead of its own; an underline stands for a hyphen."""
    named = {name.replace("_", "-"): text for name, text in fields.items()}
    replaced = {name.lower().encode() for name in named}
    lines = MAIL.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].lower() not in replaced]
    added = [f"{name}: {text}".encode() for name, text in named.items()]
    return b"\r\n".join([*kept, *added]) + b"\r\n\r\ntext\r\n"


def filed(verdict: Verdict) -> list[tuple[str, tuple[str, ...]]]:
    """Give the folders of a run without an error, with flags; INBOX for a keep."""
    assert verdict.error is None, verdict.error
    found: list[tuple[str, tuple[str, ...]]] = []
    for action in verdict.actions:
        if isinstance(action, FileInto):
            found.append((str(action.folder), action.flags))
        elif isinstance(action, Keep):
            found.append(("INBOX", action.flags))
    return found
