r"""POSIX extended regular expressions, read into a tree: one language whatever machine runs it.

Beyond POSIX are ``\d \w \s`` and their capitals, ``\b \B``, ``(?:...)`` and lazy repetitions, because scripts in the
field use them; back-references and look-around do not exist.  draft-murchison-sieve-regex §3.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Anchor", "Characters", "Choice", "Group", "Part", "Pattern", "Repeat", "Sequence_", "parse_pattern"]

_MAX: Final = 0x10FFFF
_REPEAT_LIMIT: Final = 1000
_DEPTH_LIMIT: Final = 30
_LENGTH_LIMIT: Final = 1024
_INSTRUCTIONS_LIMIT: Final = 4000

Ranges = tuple[tuple[int, int], ...]


class Anchor(Enum):
    """Places without a width."""

    BEGIN = "^"
    END = "$"
    WORD = r"\b"
    NOT_WORD = r"\B"


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of ranges."""

    ranges: Ranges
    is_inverted: bool = False
    """Whether it is one that is in none of them."""

    def every(self, *, fold: bool) -> Ranges:
        """Give the ranges of what fits; ``fold`` makes A to Z equal to a to z.

        Cases are folded first: where they are equal, ``[^a-z]`` is no letter at all.
        """
        ranges = _folded(self.ranges) if fold else self.ranges
        return _inverted(ranges) if self.is_inverted else ranges


@dataclass(frozen=True, slots=True)
class Sequence_:  # noqa: N801
    """One after the other."""

    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    """Several times; no upper bound is None."""

    part: "Part"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A part whose text is kept."""

    part: "Part"
    number: int


Part = Characters | Sequence_ | Choice | Repeat | Group | Anchor

_NOTHING: Final[Ranges] = ((_MAX, _MAX),)
"""For a class that holds nothing: a character that is none, so that no text has it."""

_DIGIT: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final[Ranges] = ((9, 13), (32, 32))
_ANY: Final[Ranges] = ((0, 9), (11, _MAX))
"""All but a newline, as the table of the draft has it."""

_MARKS: Final[dict[tuple[int, int | None], str]] = {(0, None): "*", (1, None): "+", (0, 1): "?"}
_CLASSES: Final[dict[str, Ranges]] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": _SPACE,
    "upper": ((65, 90),),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_ESCAPES: Final[dict[str, Ranges]] = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was read."""

    part: Part
    groups: int

    def text(self, *, fold: bool) -> str:
        """Write it so that RE2 understands the same."""
        return _text(self.part, fold=fold)


def parse_pattern(source: str) -> Pattern:
    """Read a pattern.

    Raises:
        ValueError: it is none, or beyond a limit.
    """
    if len(source) > _LENGTH_LIMIT:
        raise ValueError(f"the regular expression is longer than {_LENGTH_LIMIT} characters")
    reader = _Reader(source)
    part = reader.choice(0)
    if reader.at < len(source):
        raise ValueError(_wrong("a ')' opens nothing", source))
    if _cost(part) > _INSTRUCTIONS_LIMIT:
        raise ValueError(_wrong("it is too large when its repetitions are written out", source))
    return Pattern(part, reader.groups)


def _folded(ranges: Ranges) -> Ranges:
    """Add the other case of A to Z."""
    added: list[tuple[int, int]] = list(ranges)
    for low, high in ranges:
        for begin, end, shift in ((65, 90, 32), (97, 122, -32)):
            if max(low, begin) <= min(high, end):
                added.append((max(low, begin) + shift, min(high, end) + shift))
    return _merged(added)


def _wrong(what: str, source: str) -> str:
    return f"{source[:60]!r} is no regular expression: {what}"


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.groups = 0

    def _fault(self, what: str) -> ValueError:
        return ValueError(_wrong(what, self.source))

    def _peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def choice(self, depth: int) -> Part:
        if depth > _DEPTH_LIMIT:
            raise self._fault("groups are nested too deeply")
        parts = [self._sequence(depth)]
        while self._peek() == "|":
            self.at += 1
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Part:
        parts: list[Part] = []
        while self._peek() not in ("", "|", ")"):
            part = self._atom(depth)
            repeats = 0
            while self._peek() in ("*", "+", "?", "{") and self._peek():
                bounds = self._bounds()
                if bounds is None:
                    break
                if isinstance(part, Anchor):
                    raise self._fault("a repetition has nothing to repeat")
                repeats += 1
                if repeats > 4:
                    raise self._fault("too many repetitions of one another")
                part = Repeat(part, *bounds)
                if self._peek() == "?":
                    # Lazy or greedy: the longest match is the same.
                    self.at += 1
            parts.append(part)
        return parts[0] if len(parts) == 1 else Sequence_(tuple(parts))

    def _bounds(self) -> tuple[int, int | None] | None:
        mark = self._peek()
        if mark != "{":
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[mark]
        end = self.source.find("}", self.at)
        inside = self.source[self.at + 1 : end] if end > 0 else ""
        least, comma, most = inside.partition(",")
        if not (least.isascii() and least.isdigit()) or not (most == "" or (most.isascii() and most.isdigit())):
            raise self._fault("'{' begins no repetition")
        low = int(least[:6])
        high = low if not comma else int(most[:6]) if most else None
        if low > _REPEAT_LIMIT or (high is not None and (high > _REPEAT_LIMIT or high < low)):
            raise self._fault("the bounds of a repetition are not right")
        self.at = end + 1
        return low, high

    def _atom(self, depth: int) -> Part:  # noqa: PLR0911
        mark = self._peek()
        self.at += 1
        match mark:
            case "(":
                return self._group(depth)
            case "[":
                return self._bracket()
            case ".":
                return Characters(_ANY)
            case "^":
                return Anchor.BEGIN
            case "$":
                return Anchor.END
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                raise self._fault("a repetition has nothing to repeat")
            case _:
                return Characters(((ord(mark), ord(mark)),))

    def _group(self, depth: int) -> Part:
        number = 0
        if self.source.startswith("?", self.at):
            if not self.source.startswith("?:", self.at):
                raise self._fault("groups that begin with '(?' are not known, but for '(?:'")
            self.at += 2
        else:
            self.groups += 1
            number = self.groups
        part = self.choice(depth + 1)
        if self._peek() != ")":
            raise self._fault("a '(' is not closed")
        self.at += 1
        return Group(part, number) if number else part

    def _escape(self) -> Part:
        mark = self._peek()
        if not mark:
            raise self._fault("it ends with a backslash")
        self.at += 1
        if mark in "bB":
            return Anchor.WORD if mark == "b" else Anchor.NOT_WORD
        if mark.lower() in _ESCAPES:
            ranges = _ESCAPES[mark.lower()]
            return Characters(ranges if mark.islower() else _inverted(ranges))
        if mark in _CONTROLS:
            return Characters(((_CONTROLS[mark], _CONTROLS[mark]),))
        if mark.isascii() and mark.isalnum():
            raise self._fault(f"'\\{mark}' is not known")
        return Characters(((ord(mark), ord(mark)),))

    def _bracket(self) -> Characters:
        is_inverted = self._peek() == "^"
        self.at += is_inverted
        found: list[tuple[int, int]] = []
        is_first = True
        while self._peek() != "]" or is_first:
            is_first = False
            if not self._peek():
                raise self._fault("a '[' is not closed")
            found += self._bracket_item()
        self.at += 1
        return Characters(_merged(found), is_inverted)

    def _bracket_item(self) -> Ranges:
        source = self.source
        if source.startswith("[:", self.at):
            end = source.find(":]", self.at)
            name = source[self.at + 2 : end] if end > 0 else ""
            if name not in _CLASSES:
                raise self._fault(f"there is no class {name[:20]!r}")
            self.at = end + 2
            return _CLASSES[name]
        if source.startswith(("[.", "[="), self.at):
            raise self._fault("collating elements are not known")
        if source.startswith("\\", self.at) and source[self.at + 1 : self.at + 2] in tuple("dwsDWS"):
            return self._shorthand()
        low = self._bracket_character()
        if self._peek() == "-" and source[self.at + 1 : self.at + 2] not in ("]", ""):
            self.at += 1
            high = self._bracket_character()
            if high < low:
                raise self._fault("a range goes backwards")
            return ((low, high),)
        return ((low, low),)

    def _shorthand(self) -> Ranges:
        self.at += 1
        part = self._escape()
        assert isinstance(part, Characters)
        return part.ranges

    def _bracket_character(self) -> int:
        mark = self._peek()
        self.at += 1
        if mark == "\\" and self._peek() and not self._peek().isalnum():
            mark = self._peek()
            self.at += 1
        elif mark == "\\" and self._peek() in _CONTROLS:
            self.at += 1
            return _CONTROLS[self.source[self.at - 1]]
        return ord(mark)


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return tuple(result)


def _inverted(ranges: Ranges) -> Ranges:
    result: list[tuple[int, int]] = []
    at = 0
    for low, high in ranges:
        if low > at:
            result.append((at, low - 1))
        at = high + 1
    if at <= _MAX:
        result.append((at, _MAX))
    return tuple(result)


def _cost(part: Part) -> int:
    match part:
        case Characters() | Anchor():
            return 1
        case Sequence_(parts) | Choice(parts):
            return sum(map(_cost, parts)) + len(parts)
        case Group(inner):
            return _cost(inner) + 2
        case Repeat(inner, least, most):
            return min((_cost(inner) + 1) * max(least + 1, most or 1), _INSTRUCTIONS_LIMIT + 1)


def _text(part: Part, *, fold: bool) -> str:  # noqa: PLR0911
    match part:
        case Characters():
            every = part.every(fold=fold)
            if every == _ANY:
                return "."
            return (
                "[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in every) + "]"
                if every
                else "[^\\x{0}-\\x{10ffff}]"
            )
        case Sequence_(parts):
            return "".join(_text(item, fold=fold) for item in parts)
        case Choice(parts):
            return "(?:" + "|".join(_text(item, fold=fold) for item in parts) + ")"
        case Group(inner):
            return "(" + _text(inner, fold=fold) + ")"
        case Repeat(inner, least, most):
            bounds = _MARKS.get((least, most))
            if bounds is None:
                bounds = f"{{{least},{'' if most is None else most}}}"
            return f"(?:{_text(inner, fold=fold)}){bounds}"
        case Anchor():
            return part.value
