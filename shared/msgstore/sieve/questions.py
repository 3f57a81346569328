"""What a run wants to know and cannot know: it yields one of these, and is sent the answer.

``run`` is a generator; :func:`ask` is what a handler yields from.  An answer of a wrong type is a mistake of whoever
drives the run and raises ``TypeError`` in there.
"""

from collections.abc import Generator
from dataclasses import dataclass
from inspect import CO_GENERATOR, isgeneratorfunction
from typing import ClassVar, Generic, TypeVar, cast

from msgstore.model.folder import FolderName
from msgstore.sieve.program import Program

__all__ = [
    "Answer",
    "Asking",
    "CurrentTime",
    "EnvironmentItem",
    "FolderExists",
    "ListContains",
    "ListKnown",
    "MailboxId",
    "Metadata",
    "Question",
    "Script",
    "ScriptIsBroken",
    "SeenBefore",
    "SpecialUseFolder",
    "ask",
    "is_asking",
]

_T = TypeVar("_T", covariant=True)  # noqa: PLC0105
_Result = TypeVar("_Result")

Answer = object
"""What is sent into a run; its type depends on the question."""


@dataclass(frozen=True, slots=True)
class Question(Generic[_T]):
    """Base of all questions; the parameter is the type of the answer."""

    answers: ClassVar[tuple[type, ...]] = (object,)
    """Types that an answer may have."""


Asking = Generator["Question[object]", object, _Result]
"""A run that ends with a result, or a part of one."""


def is_asking(function: object) -> bool:
    """Whether a function gives a generator when it is called."""
    code = getattr(function, "__code__", None)
    return bool(code.co_flags & CO_GENERATOR) if code is not None else isgeneratorfunction(function)


def ask(question: Question[_Result]) -> Asking[_Result]:
    """Ask, and give the answer.

    Raises:
        TypeError: the answer is of no type that fits.
    """
    answer = yield cast("Question[object]", question)
    if not isinstance(answer, question.answers):
        raise TypeError(f"{type(answer).__name__} is no answer to {type(question).__name__}")
    return cast("_Result", answer)


@dataclass(frozen=True, slots=True)
class FolderExists(Question[bool]):
    """Whether mail can be filed into the folder. RFC 5490 §3.1."""

    folder: FolderName
    answers: ClassVar[tuple[type, ...]] = (bool,)


@dataclass(frozen=True, slots=True)
class SpecialUseFolder(Question[bool]):
    """Whether a folder has the attribute: this one, or any where None is asked for. RFC 8579 §3."""

    folder: FolderName | None
    use: str
    """With its backslash, as the script writes it."""

    answers: ClassVar[tuple[type, ...]] = (bool,)


@dataclass(frozen=True, slots=True)
class SeenBefore(Question[bool]):
    """Whether this id was recorded by an earlier run and has not expired; asking records nothing. RFC 7352 §3."""

    handle: str
    unique_id: str
    seconds: int
    last: bool
    answers: ClassVar[tuple[type, ...]] = (bool,)


@dataclass(frozen=True, slots=True)
class ScriptIsBroken:
    """The answer for a script that is there and cannot be compiled or read."""

    why: str


@dataclass(frozen=True, slots=True)
class Script(Question["Program | ScriptIsBroken | None"]):
    """The script of this name; None where there is none. RFC 6609 §3.2.

    The name has no slash, no control character and no leading dot; the program must be of the same engine.
    """

    name: str
    is_global: bool
    answers: ClassVar[tuple[type, ...]] = (Program, ScriptIsBroken, type(None))


@dataclass(frozen=True, slots=True)
class ListContains(Question[bool]):
    """Whether the external list holds one of the values. RFC 6134 §2.1."""

    name: str
    values: tuple[str, ...]
    answers: ClassVar[tuple[type, ...]] = (bool,)


@dataclass(frozen=True, slots=True)
class ListKnown(Question[bool]):
    """Whether there is such a list. RFC 6134 §2.5."""

    name: str
    answers: ClassVar[tuple[type, ...]] = (bool,)


@dataclass(frozen=True, slots=True)
class EnvironmentItem(Question["str | None"]):
    """An item of the environment that neither context nor engine know; None where nobody does. RFC 5183 §4."""

    name: str
    answers: ClassVar[tuple[type, ...]] = (str, type(None))


@dataclass(frozen=True, slots=True)
class CurrentTime(Question[float]):
    """Seconds since 1970 UTC; asked once in a context."""

    answers: ClassVar[tuple[type, ...]] = (float, int)


@dataclass(frozen=True, slots=True)
class Metadata(Question["str | None"]):
    """The value of an annotation of a folder, or of the server where None; None where it is not set. RFC 5490 §4."""

    folder: FolderName | None
    name: str
    answers: ClassVar[tuple[type, ...]] = (str, type(None))


@dataclass(frozen=True, slots=True)
class MailboxId(Question["FolderName | None"]):
    """The folder that has this id, as the server calls it; None where none has it. RFC 9042 §4."""

    mailbox_id: str
    answers: ClassVar[tuple[type, ...]] = (FolderName, type(None))
