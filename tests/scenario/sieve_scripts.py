"""Scripts and messages out of a seeded generator: small pieces that evaluators are known to take differently."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["Case", "acting", "naming", "probing", "quoted", "seeded"]

REQUIRE = (
    *("fileinto", "copy", "reject", "imap4flags", "variables", "vacation", "enotify", "envelope", "relational"),
    *("comparator-i;ascii-numeric", "regex", "subaddress", "body", "date", "index", "editheader", "mime", "mailbox"),
    *("encoded-character", "foreverypart", "extracttext"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run."""

    script: str
    message: bytes
    tests: tuple[str, ...] = ()
    """Of a script that only tests: the flag ``tN`` stands for the truth of test N."""


ADDRESSES = (
    *("Tim <tim@example.com>", "tim@example.com", '"a b"@c.example', "ken+sieve@example.org", "ken+@example.org"),
    *("Group: a@b.example, c@d.example;", "=?utf-8?q?a=40b?= <x@y.example>", "no address", "a@b.example, c@D.EXAMPLE"),
    *("<@r1.example,@r2.example:a@b.example>", "(comment) tim@example.com (other)", "Timo <tss(no spam)@fi.iki>"),
    *('"Doe, J." <j@doe.example>', "undisclosed-recipients:;", "", "a@b.example,", "A@B.example <c@d.example>"),
)
TEXTS = (
    *(
        "hello world",
        "=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        "=?iso-8859-1?q?=E9t=E9?= =?utf-8?b?w6k=?=",
        "[list] [fwd] it is out",
    ),
    *("folded\r\n line", "a\r\n\tb", "  padded  ", "*star?", "back\\slash", "", "10", "010", "9", "abc", "-5", "12abc"),
    *(
        "Gr\u00fc\u00dfe",
        "=?utf-8?b?broken",
        "=?x-none?q?abc?=",
        "RE: a.b",
        "UPPER",
        "ALERT: x",
        "aaaaab",
        "99999999999",
    ),
)
DATES = (
    *("Tue, 01 Apr 1997 09:06:31 -0800", "1 Jan 2009 00:00 +0000", "Wed, 31 Dec 2008 23:30:00 -0800", "no date"),
    *("Fri, 2 Jan 2009 10:00:00 +0100 (CET)", "Mon, 26 Feb 2007 14:00:01 GMT", "29 Feb 2008 12:00:00 +0530", ""),
)
FIELDS: tuple[tuple[str, Sequence[str]], ...] = (
    ("From", ADDRESSES),
    ("To", ADDRESSES),
    ("Cc", ADDRESSES),
    ("Subject", TEXTS),
    ("X-A", TEXTS),
    ("X-A", TEXTS),
    ("X-B", TEXTS),
    ("X-B", TEXTS),
    ("Date", DATES),
    ("Received", tuple(f"from a by b; {date}" for date in DATES)),
    ("Received", tuple(f"from c by d; {date}" for date in DATES)),
)
BODIES: tuple[bytes, ...] = tuple(
    text.replace("\n", "\r\n").encode()
    for text in (
        "\nplain hello\n",
        """Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe
""",
        """Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

aGVsbG8gd29ybGQ=
""",
        "Content-Type: text/html\n\n<p>hello <b>world</b></p>\n",
        """Content-Type: multipart/mixed; boundary=x

pre hello
--x

one hello
--x
Content-Type: text/html
Content-Disposition: attachment; filename=world.txt

<b>two</b>
--x--
post hello
""",
        """Content-Type: multipart/mixed; boundary=o

--o
Content-Type: message/rfc822

Subject: inner hello

most world
--o
Content-Type: multipart/alternative; boundary=i

--i

leaf
--i--
--o--
""",
        "Content-Type: application/octet-stream\n\nhello\n",
        "\n",
    )
)
KEYS = (
    *(
        "hello world",
        "HELLO",
        "Gr\u00fc\u00dfe",
        "\u00e9t\u00e9\u00e9",
        "",
        "10",
        "9",
        "abc",
        "tim",
        "example.com",
        "list",
    ),
    *(
        "folded line",
        "padded",
        "*star?",
        "back\\slash",
        "tim@example.com",
        "b.example",
        "a\tb",
        "a b",
        "world",
        "a",
        "ken",
    ),
)
GLOBS = ("*", "?*", "", "*hello*", "[*] *", "*@*", "h?llo*", "\\*star\\?", "*\\\\*", "a*b", "*a*b", "**", "?", "*e*")
PATTERNS = (
    "hello",
    "^h.*d$",
    "[0-9]+",
    "(a+)b",
    "^(re: *)?([a-z]+)\\.(.*)$",
    "^$",
    "a|b",
    "[^[:lower:]]",
    "w.{2,3}d",
    "x*",
)
RELATIONS = ("gt", "ge", "lt", "le", "eq", "ne")
COMPARATORS = ("i;octet", "i;ascii-casemap", "i;ascii-numeric")


def seeded(seed: int) -> Random:
    """Make what chooses: for one seed the same for ever."""
    return Random(seed)  # noqa: S311


def quoted(text: str) -> str:
    """Write a string of a script."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list(rng: Random, values: Sequence[str], most: int = 3) -> str:
    chosen = [quoted(rng.choice(values)) for _ in range(rng.randint(1, most))]
    return chosen[0] if len(chosen) == 1 else f"[{', '.join(chosen)}]"


_EVERYONE_AGREES_NOT: Final = ("", "undisclosed-recipients:;", "no address", "a\r\n\tb", "a@b.example,", ADDRESSES[-1])
"""Values of fields that are read differently; the table of the tests has a row for each."""


def _message(rng: Random, *, is_plain: bool = False) -> bytes:
    lines: list[str] = []
    for name, choice in FIELDS:
        values = [value for value in choice if not is_plain or _is_plain(value)]
        if rng.random() < 0.7:
            lines.append(f"{name}{rng.choice(('', '', '', ' '))}: {rng.choice(values)}\r\n")
    lines.append("Resent-To: me@y.example\r\nMessage-ID: <1@x>\r\nMIME-Version: 1.0\r\n")
    return "".join(lines).encode() + rng.choice(BODIES)


def _is_plain(value: str) -> bool:
    return value.isascii() and "=?" not in value and value.rpartition("; ")[2] not in _EVERYONE_AGREES_NOT


def _match(rng: Random, *, regex: bool = True) -> tuple[str, str]:
    """Give the tags of a comparison, and its keys."""
    kind = rng.choice(("is", "contains", "matches", "regex" if regex else "is", "value", "count", ""))
    comparator = rng.choice(("", "", *COMPARATORS))
    if kind in ("contains", "matches", "regex") and comparator == "i;ascii-numeric":
        comparator = ""
    tags = f" :comparator {quoted(comparator)}" if comparator else ""
    if kind in ("value", "count"):
        number = _list(rng, ("0", "1", "2", "3", "10"), 2)
        tags += f' :{kind} "{rng.choice(RELATIONS)}"'
        return tags, number if kind == "count" else _list(rng, KEYS, 2)
    keys = {"matches": GLOBS, "regex": PATTERNS}.get(kind, KEYS)
    return f"{tags} :{kind}" if kind else tags, _list(rng, keys)


_NAMES = ("subject", "x-a", "x-b", "X-None", "from", "to", "Received", "bad:name", "cc")
_HEADS = ("from", "to", "cc", "resent-to", "sender")
_INDEX = ("", "", "", "", " :index 1", " :index 2", " :index 1 :last", " :index 2 :last")


def _header(rng: Random) -> str:
    tags, keys = _match(rng)
    return f"header{rng.choice(_INDEX)}{tags} {_list(rng, _NAMES)} {keys}"


def _address(rng: Random) -> str:
    tags, keys = _match(rng)
    part = rng.choice(("", " :all", " :localpart", " :domain", " :user", " :detail"))
    return f"address{rng.choice(_INDEX)}{tags}{part} {_list(rng, _HEADS)} {keys}"


def _envelope(rng: Random) -> str:
    tags, keys = _match(rng)
    part = rng.choice(("", " :all", " :localpart", " :domain", " :user", " :detail"))
    return f"envelope{tags}{part} {_list(rng, ('from', 'to'), 2)} {keys}"


_TYPES = ("text", "text/plain", "text/html", "", "message", "multipart", "application", "/", "a/b/c")


def _body(rng: Random) -> str:
    kind = rng.choice(("is", "contains", "contains", "matches"))
    transform = rng.choice((" :raw", " :text", "", " :content", " :content", " :content"))
    types = f" {_list(rng, _TYPES, 2)}" if transform == " :content" else ""
    return f"body{transform}{types} :{kind} {_list(rng, GLOBS if kind == 'matches' else KEYS)}"


_PARTS = ("year", "month", "day", "date", "julian", "hour", "minute", "time", "iso8601", "std11", "zone", "weekday")
_MOMENTS = ("1997-04-01", "2009", "12", "01", "09:06:31", "2009-01-01", "+0000", "3", "54832", DATES[0])
_ZONES = (" :originalzone", ' :zone "+0000"', ' :zone "-0800"', ' :zone "+0530"')


def _date(rng: Random) -> str:
    how = rng.choice((":is", ':value "ge"', ':value "lt"', ":contains", ':count "ge"'))
    keys = _list(rng, ("0", "1") if "count" in how else _MOMENTS)
    field = quoted(rng.choice(("date", "received", "x-a", "x-none")))
    return f"date{rng.choice(_INDEX)}{rng.choice(_ZONES)} {how} {field} {quoted(rng.choice(_PARTS))} {keys}"


_STRINGS = ("", "hello world", "${v}", "x${v}y", " a ", "${none}", "12abc", "${hex:68 65}llo")


def _string(rng: Random) -> str:
    tags, keys = _match(rng)
    return f"string{tags} {_list(rng, _STRINGS)} {keys}"


def _flagged(rng: Random) -> str:
    tags, _ = _match(rng, regex=False)
    variable = rng.choice(("", ' "flags"', ' ["flags", "none"]'))
    keys = ("0", "1", "2") if "count" in tags else ("a b", "A", "b", "c", "\\seen", "*", "", "x")
    return f"hasflag{tags}{variable} {_list(rng, keys)}"


def _mime(rng: Random) -> str:
    what = rng.choice((":type", ":subtype", ":contenttype", ':param "filename"', ':param ["boundary", "charset"]'))
    child = rng.choice(("", " :anychild"))
    field = rng.choice(("Content-Type", "Content-Disposition"))
    keys = _list(
        rng, ("text", "plain", "text/plain", "text/html", "multipart", "attachment", "world.txt", "x", "utf-8", "")
    )
    return f'header :mime{child} {what} {rng.choice((":is", ":contains"))} "{field}" {keys}'


def _simple(rng: Random) -> str:
    return rng.choice(
        (
            f"exists {_list(rng, _NAMES)}",
            f"size :{rng.choice(('over', 'under'))} {rng.choice(('0', '100', '300', '1K', '1M'))}",
            f"mailboxexists {_list(rng, ('INBOX', 'There', 'Nowhere', 'inbox'))}",
            "true",
            "false",
        )
    )


_TESTS: tuple[Callable[[Random], str], ...] = (
    *(_header, _header, _header, _address, _address, _address, _envelope, _body, _body, _date, _date, _string),
    *(_flagged, _mime, _simple),
)


Agreed = Callable[[str], bool]
"""Whether a test is one that nobody is known to take differently."""


def _test(rng: Random, is_agreed: Agreed, depth: int = 0) -> str:
    if depth < 2 and rng.random() < 0.3:
        name = rng.choice(("allof", "anyof", "not"))
        if name == "not":
            return f"not {_test(rng, is_agreed, depth + 1)}"
        return f"{name} ({', '.join(_test(rng, is_agreed, depth + 1) for _ in range(rng.randint(1, 3)))})"
    while True:
        test = rng.choice(_TESTS)(rng)
        if is_agreed(test):
            return test


def _head() -> str:
    return f"require [{', '.join(map(quoted, REQUIRE))}];\n"


def probing(rng: Random, count: int) -> Case:
    """Make a script that evaluates tests one after the other; their truth stands in flags of what is kept."""
    tests = tuple(rng.choice(_TESTS)(rng) for _ in range(count))
    lines = [f'if {test} {{ addflag "found" "t{number}"; }}\n' for number, test in enumerate(tests)]
    start = 'set "v" "Gr\u00fc\u00dfe"; setflag "flags" "a B c"; setflag "a b";\n'
    script = _head() + start + "".join(lines) + 'keep :flags "${found}";\n'
    return Case(script=script, message=_message(rng), tests=tests)


def naming(rng: Random) -> Case:
    """Make a script that fills variables by matches and modifiers, and tells them all in a reply."""
    lines: list[str] = []
    names = "abcdef"
    for name in names:
        match rng.randint(0, 3):
            case 0:
                modifiers = rng.sample((":lower", ":upperfirst", ":length", ":quotewildcard"), rng.randint(0, 2))
                text = rng.choice(
                    ("hElLo", "*a?b\\c", "${a}${b}", "Gr\u00fc\u00dfe", "${0}-${1}-${2}", "", "${x.", "$${a}")
                )
                lines.append(f'set {" ".join(modifiers)} "{name}" {quoted(text)};')
            case 1:
                keys = _list(rng, GLOBS)
                lines.append(
                    f'if header :matches {_list(rng, _NAMES)} {keys} {{ set "{name}" "${{0}}|${{1}}|${{2}}"; }}'
                )
            case 2:
                keys = _list(rng, PATTERNS)
                lines.append(f'if header :regex {_list(rng, _NAMES)} {keys} {{ set "{name}" "${{0}}|${{1}}|${{2}}"; }}')
            case _:
                keys = _list(rng, GLOBS)
                part = rng.choice(("", ":localpart", ":domain", ":user", ":detail"))
                lines.append(
                    f'if address {part} :matches {_list(rng, _HEADS)} {keys} {{ set "{name}" "${{0}}|${{1}}"; }}'
                )
    told = "".join(f"{name}=<${{{name}}}>\n" for name in names)
    script = _head() + "\n".join(lines) + f'\nvacation "{told}";\n'
    return Case(script=script, message=_message(rng, is_plain=True))


_FLAGS = ("", "", ' :flags "x"', ' :flags ["\\\\Seen", "a b"]', ' :flags "${v}"')
_TARGETS = ("a@b.example", "C <c@d.example>", "A@b.example", "nobody", "a@b, c@d", "${v}")
_VALUES = ("x", "a@b.example", "\\Flagged", "")
_OWN_FLAGS = ("x", "y z", "\\Seen", "\\answered", "\\Odd", "X")


def _action(rng: Random, is_agreed: Agreed, depth: int = 0) -> str:
    if depth < 3 and rng.random() < 0.3:
        inner = " ".join(_action(rng, is_agreed, depth + 1) for _ in range(rng.randint(1, 2)))
        other = f" else {{ {_action(rng, is_agreed, depth + 1)} }}" if rng.random() < 0.4 else ""
        return f"if {_test(rng, is_agreed)} {{ {inner} }}{other}"
    pick, copy = rng.choice, rng.choice(("", "", " :copy"))
    choices = (
        "keep;",
        f"keep{pick(_FLAGS)};",
        f"fileinto{copy}{pick(_FLAGS)} {quoted(pick(('There', 'Other', 'INBOX', 'inbox')))};",
        f'fileinto{pick(_FLAGS)} "There";',
        f"redirect{copy} {quoted(pick(_TARGETS))};",
        "discard;",
        "stop;",
        f'reject "no {rng.randint(0, 2)}";',
        f"{pick(('setflag', 'addflag', 'removeflag'))} {_list(rng, _OWN_FLAGS)};",
        f'set "v" {quoted(pick(_VALUES))};',
        f'vacation "away {rng.randint(0, 1)}";',
        'notify "mailto:n@x.example";',
        f'addheader{pick(("", " :last"))} "X-A" "added";',
        f'deleteheader{pick(("", " :index 1", " :index 1 :last"))} "X-A";',
        f'deleteheader {pick((":contains", ":is", ":matches"))} "X-A" {_list(rng, ("1", "a", "added", "*"))};',
    )
    return pick(choices)


def acting(rng: Random, is_agreed: Callable[[str, bytes], bool]) -> Case:
    """Make a script of actions; some are errors.  Its conditions are tests of which nobody is known to differ."""
    message = _message(rng, is_plain=True)
    actions = (_action(rng, lambda test: is_agreed(test, message)) for _ in range(rng.randint(1, 6)))
    return Case(script=_head() + "\n".join(actions) + "\n", message=message)
