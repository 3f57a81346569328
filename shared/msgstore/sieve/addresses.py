"""Addresses out of header fields: display names, comments, groups, routes and quoted local-parts.  Pure, linear, total.

RFC 5322 §3.4 with the obsolete forms of §4.4.  Encoded words are never decoded here: an encoded display name stays a
display name, whatever is hidden in it.

Of ``A@B.example <c@d.example>``, which no grammar allows (a phrase with an ``@`` stands in quotes), the address is the
one in angle brackets: every reader shows it as the sender's, and an answer goes to it.  The other one is a name that
anybody may choose; a script that lets friends in must not be satisfied by it.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgstore.model.address import Address, parse_address
from msgstore.model.errors import InvalidAddress

__all__ = ["ADDRESSES_LIMIT", "MailAddress", "outbound_address", "parse_addresses", "parse_path", "written"]

ADDRESSES_LIMIT: Final = 2000
"""Addresses of one field beyond this count as absent."""

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*+(?:(?P<quoted>"(?:[^"\\]|\\.)*+")|(?P<literal>\[[^][\\]*+\])|(?P<atom>[^\s()<>@,;:\\".\[\]]++)
    |(?P<special>.))""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK: Final = re.compile(r"[()]|\\.", re.DOTALL)
_DOT_ATOM: Final = re.compile(r'[^\s()<>@,;:\\"\[\].]+(?:\.[^\s()<>@,;:\\"\[\].]+)*')
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_SIMPLE: Final = re.compile(
    r"[^\s()<>@,;:\\\".\[\]]+(?:\.[^\s()<>@,;:\\\".\[\]]+)*@[^\s()<>@,;:\\\".\[\]]+(?:\.[^\s()<>@,;:\\\".\[\]]+)*"
)

_NAMED: Final = re.compile(rf"""(?:[^"<>(),:;@\\\[\]]*+|"[^"\\]*+"\s*+)<({_SIMPLE.pattern})>""")
"""What most fields are: a name and one address."""


class MailAddress(NamedTuple):
    """One address; where it is none, local-part and domain are None and the text is what stood there."""

    local_part: str | None
    domain: str | None
    text: str
    """The whole, without route, comments and blanks; a local-part in quotes where it needs them."""


class _Token(NamedTuple):
    kind: str
    text: str
    begin: int
    end: int


def written(local_part: str) -> str:
    """Give a local-part as it stands in an address."""
    if _DOT_ATOM.fullmatch(local_part):
        return local_part
    return '"' + re.sub(r'(["\\])', r"\\\1", local_part) + '"'


def parse_addresses(value: str) -> tuple[MailAddress, ...]:
    """Read the unfolded value of a field."""
    if _SIMPLE.fullmatch(value):
        local, _, domain = value.rpartition("@")
        return (MailAddress(local, domain, value),)
    named = _NAMED.fullmatch(value)
    if named is not None:
        local, _, domain = named[1].rpartition("@")
        return (MailAddress(local, domain, named[1]),)
    return tuple(_mailboxes(value)[:ADDRESSES_LIMIT])


def parse_path(path: str) -> MailAddress | None:
    """Read a path of MAIL or RCPT, with or without angle brackets; None for one that is not valid.

    The null path is an address without anything; a route is dropped. RFC 5321 §4.1.2, RFC 5228 §5.4.
    """
    bare = path[1:-1] if path.startswith("<") and path.endswith(">") else path
    if bare == "":
        return MailAddress("", "", "")
    if bare.startswith("@"):
        bare = bare.partition(":")[2]
    try:
        address: Address = parse_address(bare)
    except InvalidAddress:
        return None
    return MailAddress(address.local_part, address.domain or "", str(address))


def outbound_address(text: str) -> str | None:
    """Give the addr-spec of a ``sieve-address``; None where the text is none. RFC 5228 §2.4.2.3."""
    if any(character < " " or character == "\x7f" for character in text):
        return None
    tokens = _tokens(text)
    if any(token.kind == "special" and token.text in ",;:" for token in tokens):
        return None
    found = parse_addresses(text)
    if len(found) != 1 or found[0].local_part is None:
        return None
    try:
        address = parse_address(found[0].text)
    except InvalidAddress:
        return None
    return None if address.domain is None else str(address)


def _tokens(value: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        found = _TOKEN.match(value, at)
        if found is None:
            return tokens
        kind = found.lastgroup or "special"
        begin, at = found.span(kind)
        if kind == "special" and value[begin] == "(":
            at = _after_comment(value, begin)
        elif not (kind == "special" and value[begin].isspace()):
            tokens.append(_Token(kind, value[begin:at], begin, at))


def _after_comment(value: str, at: int) -> int:
    depth = 0
    for found in _COMMENT_MARK.finditer(value, at):
        depth += (found[0] == "(") - (found[0] == ")")
        if depth == 0:
            return found.end()
    return len(value)


def _mailboxes(value: str) -> list[MailAddress]:
    found: list[MailAddress] = []
    words: list[_Token] = []
    angle: list[_Token] | None = None
    is_inside = False
    for token in _tokens(value):
        special = token.text if token.kind == "special" else ""
        if is_inside:
            if special == ">":
                is_inside = False
            elif angle is not None:
                angle.append(token)
        elif special == "<" and angle is None:
            angle, is_inside = [], True
        elif special in (",", ";") and special:
            _finish(value, words, angle, found)
            words, angle = [], None
        elif special == ":" and angle is None:
            words = []
        else:
            words.append(token)
    if is_inside and angle is not None:
        # Without the closing bracket nobody knows what was meant.
        words, angle = [*words, *angle, _Token("special", "<", len(value), len(value))], None
    _finish(value, words, angle, found)
    return found


def _finish(value: str, words: Sequence[_Token], angle: Sequence[_Token] | None, found: list[MailAddress]) -> None:
    if angle is None and not words:
        return
    tokens = list(words if angle is None else angle)
    if angle is not None and tokens and tokens[0].text == "@":
        colons = [at for at, token in enumerate(tokens) if token.text == ":"]
        tokens = tokens[colons[-1] + 1 :] if colons else []
    parsed = _addr_spec(tokens)
    if parsed is not None:
        found.append(parsed)
        return
    every = [*words, *(angle or ())]
    if every:
        begin, end = min(token.begin for token in every), max(token.end for token in every)
        found.append(MailAddress(None, None, value[begin:end].strip()))


def _addr_spec(tokens: Sequence[_Token]) -> MailAddress | None:
    signs = [at for at, token in enumerate(tokens) if token.kind == "special" and token.text == "@"]
    if len(signs) != 1:
        return None
    local = _dotted(tokens[: signs[0]], "quoted")
    domain = _dotted(tokens[signs[0] + 1 :], "literal")
    if local is None or domain is None:
        return None
    return MailAddress(local, domain, f"{written(local)}@{domain}")


def _dotted(tokens: Sequence[_Token], other: str) -> str | None:
    """Join words with dots between them; None where it is anything else."""
    if not tokens or len(tokens) % 2 == 0:
        return None
    words: list[str] = []
    for at, token in enumerate(tokens):
        if at % 2:
            if token.text != "." or token.kind != "special":
                return None
        elif token.kind == "atom":
            words.append(token.text)
        elif token.kind == other:
            words.append(_ESCAPE.sub(r"\1", token.text[1:-1]) if other == "quoted" else token.text)
        else:
            return None
    return ".".join(words)
