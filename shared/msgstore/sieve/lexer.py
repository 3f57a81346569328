"""Tokens of a script; what is none is told and passed over.  Linear in time and memory.

RFC 5228 §8.1.  More is accepted than written there where nothing else can be meant: LF for CRLF, a byte order mark, and
a backslash before any character, which §2.4.2 reads as if it were not there.  Line ends in strings become CRLF.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, cast

__all__ = ["END", "NUMBER_LIMIT", "Token", "tokens"]

NUMBER_LIMIT: Final = 2**63 - 1
"""RFC 5228 §2.4.1 wants 2147483647."""

END: Final = "end"

_TOKEN: Final = re.compile(
    r"""(?:[ \t\r\n]++|\#[^\n]*+|/\*(?s:.*?)\*/)*+
    (?:(?P<multi>[Tt][Ee][Xx][Tt]:[ \t]*+(?:\#[^\n]*+)?+\r?\n)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    |:(?P<tag>[A-Za-z_][A-Za-z0-9_]*+)
    |"(?P<quoted>[^"\\]*+(?:\\(?s:.)[^"\\]*+)*+)"
    |(?P<mark>[]\[(){},;])
    |(?P<number>[0-9]++[KkMmGg]?+(?![A-Za-z0-9_]))
    |(?P<end>\Z))""",
    re.VERBOSE,
)
_MULTI_END: Final = re.compile(r"^\.(?:\r?\n|\Z)", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_BARE_LF: Final = re.compile(r"(?<!\r)\n")
_BLANKS: Final = re.compile(r"(?:[ \t\r\n]++|\#[^\n]*+|/\*(?s:.*?)\*/)*+")
_JUNK_WORD: Final = re.compile(r"[0-9][A-Za-z0-9_]*+|:|.", re.DOTALL)
_SCALES: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

Tell = Callable[[int, str, str], None]
"""Takes offset, text and hint of an error."""


class Token(NamedTuple):
    """One token."""

    kind: str
    """``word``, ``tag``, ``number``, ``quoted``, ``multi``, ``mark`` or ``end``."""

    text: str
    """The word or tag in lower case, the mark, the value of the string."""

    offset: int
    number: int = 0


_make: Final = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # a generic one
_token: Final = cast("Callable[[tuple[str, str, int, int]], Token]", partial(_make, Token))
"""Makes a token in half of the time that its class takes: there are thousands of them."""


def tokens(text: str, tell: Tell) -> list[Token]:
    """Give all tokens; the last one is :data:`END`."""
    found: list[Token] = []
    match = _TOKEN.match
    at = 1 if text.startswith("\ufeff") else 0
    if "\0" in text:
        tell(text.index("\0"), "a script holds no NUL", "write ${hex:00} with encoded-character")
    while True:
        token = match(text, at)
        if token is None:
            at = _junk(text, at, found, tell)
            continue
        kind = token.lastgroup or END
        at = token.end()
        if kind == "mark":
            found.append(_token((kind, token[kind], at - 1, 0)))
        elif kind in ("word", "tag"):
            value = token[kind]
            found.append(_token((kind, value.lower(), at - len(value) - (kind == "tag"), 0)))
        elif kind == "quoted":
            value = token[kind]
            start = token.start(kind) - 1
            found.append(_token((kind, _unquoted(value), start, 0)))
        elif kind == "multi":
            at = _multiline(text, token, found, tell)
        elif kind == "number":
            found.append(_number(token, tell))
        else:
            found.append(Token(END, "", len(text)))
            return found


def _unquoted(value: str) -> str:
    if "\\" in value:
        value = _ESCAPE.sub(r"\1", value)
    return _BARE_LF.sub("\r\n", value) if "\n" in value else value


def _multiline(text: str, token: "re.Match[str]", found: list[Token], tell: Tell) -> int:
    start = token.start("multi")
    end = _MULTI_END.search(text, token.end())
    if end is None:
        tell(start, "a multi-line text has no end", "end it with a line that holds a single dot")
        found.append(Token("multi", "", start))
        return len(text)
    value = text[token.end() : end.start()]
    value = _BARE_LF.sub("\r\n", value)
    if value.startswith(".."):
        value = value[1:]
    found.append(Token("multi", value.replace("\n..", "\n."), start))
    return end.end()


def _number(token: "re.Match[str]", tell: Tell) -> Token:
    text, offset = token["number"], token.start("number")
    scale = _SCALES.get(text[-1].lower(), 0)
    digits = (text[:-1] if scale else text).lstrip("0") or "0"
    number = NUMBER_LIMIT + 1 if len(digits) > 20 else int(digits) * (scale or 1)
    if number > NUMBER_LIMIT:
        tell(offset, "the number is too large", "")
        number = NUMBER_LIMIT
    return Token("number", text, offset, number)


def _junk(text: str, at: int, found: list[Token], tell: Tell) -> int:
    """Tell what stands there and is no token; give where to go on."""
    blanks = _BLANKS.match(text, at)
    at = at if blanks is None else blanks.end()
    if text.startswith("/*", at):
        tell(at, "a comment has no end", "end it with */")
        return len(text)
    if text[at] == '"':
        tell(at, "a string has no end", 'end it with "')
        found.append(Token("quoted", "", at))
        return len(text)
    junk = _JUNK_WORD.match(text, at)
    assert junk is not None
    if junk[0][0].isascii() and junk[0][0].isdigit():
        tell(at, f"{junk[0][:40]!r} is no number", "digits, then K, M, G or nothing")
        found.append(Token("number", "0", at))
    elif junk[0] == "\0":
        pass
    else:
        tell(at, f"{junk[0]!r} means nothing here", "")
    return junk.end()
