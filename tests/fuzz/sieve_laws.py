"""What holds for any octets as a script and any octets as a message.

An input is a script, a line of ``=====``, and a message; without the line it is a script alone.
"""

import re
from typing import Final

from msgstore.model.folder import FolderName
from msgstore.sieve import (
    OFF_BY_DEFAULT,
    Action,
    Context,
    Envelope,
    InvalidScript,
    Keep,
    Level,
    Limits,
    Message,
    Notify,
    Owner,
    Program,
    Redirect,
    ScriptIsBroken,
    SeenBefore,
    Services,
    Vacate,
    default_engine,
    evaluate,
)

__all__ = ["SEPARATOR", "obeys_the_laws"]

SEPARATOR: Final = b"\n=====\n"
LIMITS: Final = Limits(operations=60_000, body_octets=64 * 1024, parts=60, includes=8)
ENGINE: Final = default_engine(also=OFF_BY_DEFAULT, limits=LIMITS)
OTHER: Final = 'require ["include", "variables", "fileinto"]; global "g"; set "g" "${g}1"; fileinto "x";'
_LINE_END: Final = re.compile(r"[\r\n\0]")
_ADDRESS: Final = re.compile(r"[^\s\0]+@[^\s\0]+")


class Oracle(Services):
    """Answers that depend on nothing but the question."""

    def __init__(self, script: bytes) -> None:
        self._script = script

    def folder_exists(self, folder: FolderName) -> bool:
        return len(str(folder)) % 2 == 0

    def special_use(self, folder: FolderName | None, use: str) -> bool:
        return folder is None or len(use) % 2 == 0

    def seen_before(self, question: SeenBefore) -> bool:
        return len(question.unique_id) % 2 == 0

    def script(self, name: str, *, is_global: bool) -> Program | ScriptIsBroken | None:
        assert name
        assert not re.search(r"[/\x00-\x1f\x7f]|^\.", name), name
        if name == "none":
            return None
        try:
            return ENGINE.compile(self._script if is_global else OTHER, name=name)
        except InvalidScript as error:
            return ScriptIsBroken(str(error))

    def list_contains(self, name: str, values: tuple[str, ...]) -> bool:
        return (len(name) + len(values)) % 2 == 0

    def list_known(self, name: str) -> bool:
        return len(name) % 2 == 0

    def environment_item(self, name: str) -> str | None:
        return name if len(name) % 2 == 0 else None

    def current_time(self) -> float:
        return 859_914_391.0

    def metadata(self, folder: FolderName | None, name: str) -> str | None:
        return None if folder is None else name

    def mailbox_id(self, mailbox_id: str) -> FolderName | None:
        return None if len(mailbox_id) % 2 else FolderName(("There",))


def obeys_the_laws(octets: bytes) -> None:
    """Compile, run, and look at what comes out; whatever is not as it has to be raises."""
    script, _, mail = octets.partition(SEPARATOR)
    found = ENGINE.check(script)
    assert len(found) <= LIMITS.diagnostics + 1
    for item in found:
        assert item.line >= 1
        assert item.text
    is_valid = all(item.level is not Level.ERROR for item in found)
    try:
        program = ENGINE.compile(script, name="fuzz")
    except InvalidScript:
        assert not is_valid
        return
    assert is_valid
    context = Context(
        Message.parse(mail),
        envelope=Envelope(reverse_path="bob@x.example", forward_path="alice+there@y.example"),
        owner=Owner(address="alice@y.example"),
        trace=True,
    )
    verdict = evaluate(ENGINE, program, context, Oracle(script))
    assert len(verdict.actions) <= LIMITS.actions + 1
    for action in verdict.actions:
        _look_at(action)
    if verdict.error is not None:
        assert verdict.keeps is False
        assert [(type(one), getattr(one, "message", None)) for one in verdict.actions] == [(Keep, None)]


def _look_at(action: Action) -> None:
    """Nothing in an action can begin a header field, a command or a path of its own."""
    if isinstance(action, Redirect) and action.list_name is None:
        assert _ADDRESS.fullmatch(action.address), action.address
    if isinstance(action, Vacate):
        assert _ADDRESS.fullmatch(action.to), action.to
        assert not _LINE_END.search(action.subject + (action.sender or "")), action
    if isinstance(action, Notify):
        texts = [action.message, *action.recipients, *(text for pair in action.headers for text in pair)]
        assert not any(map(_LINE_END.search, texts)), action
    message = getattr(action, "message", None)
    if message is not None and not isinstance(message, str):
        assert len(message.header) <= LIMITS.header_octets
        assert b"\r\n\r\n" not in message.header
        assert not message.header or message.header.endswith(b"\n")
