"""Command lines to values: verbs, MAIL and RCPT with their parameters, BDAT, XCLIENT and XFORWARD attributes; pure.

Addresses go through :func:`msgstore.model.address.parse_address` and nothing else.  A source route is read and
dropped, as RFC 5321 appendix C asks.  The case of ENVID and ORCPT is kept.
"""

import ipaddress
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from lmtpd import replies
from msgstore.model.address import Address, parse_address
from msgstore.model.envelope import SEAL_ALGORITHM, BodyType, EncryptionInfo, SpamVerdict
from msgstore.model.errors import InvalidAddress

__all__ = [
    "CommandFault",
    "MailCommand",
    "RcptCommand",
    "parse_attributes",
    "parse_bdat",
    "parse_mail",
    "parse_rcpt",
]

_PATH: Final = re.compile(
    r" *+<"
    r'(?P<route>@[^:<>" ]++:)?+'
    r'(?P<path>(?:"(?:[^"\\]|\\.)*+"|[^"<> ])*+)'
    r">(?P<parameters>(?: .*+)?)"
)
"""A path in angle brackets, its source route apart, and what follows; possessive, so of linear cost."""

_PARAMETER: Final = re.compile(
    r"(?P<keyword>[A-Za-z0-9][A-Za-z0-9-]*+)(?:=(?P<value>[!-<>-~\u0080-\ud7ff\ue000-\U0010ffff]++))?"
)
"""RFC 5321 §4.1.2 ``esmtp-param``."""

_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")
_ORCPT: Final = re.compile(r"[A-Za-z0-9-]++;[!-~\u0080-\ud7ff\ue000-\U0010ffff]++")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_SIZE: Final = re.compile(r"[0-9]{1,20}")
_BODIES: Final = {body.value: body for body in BodyType}
_ENVID_LIMIT: Final = 100
"""RFC 3461 §4.4."""

_ORCPT_LIMIT: Final = 500
"""RFC 3461 §4.2."""

_MAIL_KEYWORDS: Final = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"})
_TRUSTED_KEYWORDS: Final = frozenset({"XSPAM", "XSEALED"})
_XSPAM: Final = re.compile(
    r"(?P<flag>YES|NO),(?P<score>-?[0-9]{1,6}(?:\.[0-9]{1,6})?)(?:,(?P<checker>[A-Za-z0-9._-]{1,64}))?"
    r"(?:,(?P<action>[A-Za-z0-9._-]{1,64}))?",
    re.IGNORECASE,
)
"""``XSPAM=YES,15.2,rspamd,flag``: verdict, score, and if wanted who says so and what was to be done."""

_XSEALED: Final = re.compile(r"(?P<algorithm>[A-Za-z0-9-]{1,64}),(?P<octets>[0-9]{1,20})")
"""``XSEALED=x25519-xsalsa20-poly1305,4096``: how the message is sealed, and the octets of what is in it."""

_ATTRIBUTE_LIMIT: Final = 255
_UNAVAILABLE: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})


class CommandFault(Exception):
    """A line that is refused; ``line`` is the reply."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line.decode("ascii", "replace").strip())
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCommand:
    """What MAIL said. RFC 5321 §4.1.1.2."""

    reverse_path: Address | None
    """None is the null reverse-path."""

    declared_octets: int | None = None
    """SIZE. RFC 1870."""

    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    spam: SpamVerdict | None = None
    """XSPAM of a trusted peer; None where the message was not looked at."""

    encryption: EncryptionInfo | None = None
    """XSEALED of a trusted peer; None where the message comes as it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptCommand:
    """What RCPT said. RFC 5321 §4.1.1.3."""

    forward_path: Address
    orcpt: str | None = None
    """As given. RFC 3461 §4.2."""

    notify: tuple[str, ...] = ()
    ignores_quota: bool = False
    """IGNOREQUOTA of a trusted peer."""

    forwarded: str | None = None
    """XRCPTFORWARD of a trusted peer, as given."""


def parse_mail(argument: str, *, trusted: bool = False) -> MailCommand:
    """Read what follows ``MAIL``; ``trusted`` allows XSPAM and XSEALED, see ``EXTENSIONS.md``.

    Raises:
        CommandFault: 501, 553 or 555; 550 where the message is sealed in a way that cannot be kept.
    """
    path, parameters = _path_and_parameters(argument, "FROM:", replies.BAD_REVERSE_PATH)
    if not parameters:
        return MailCommand(reverse_path=_address(path, replies.BAD_REVERSE_PATH, utf8=False) if path else None)
    smtputf8 = "SMTPUTF8" in parameters
    body = BodyType.SEVEN_BIT
    octets: int | None = None
    ret: str | None = None
    envid: str | None = None
    spam: SpamVerdict | None = None
    encryption: EncryptionInfo | None = None
    for keyword, value in parameters.items():
        match keyword, value:
            case "SIZE", str() if _SIZE.fullmatch(value):
                octets = int(value)
            case "BODY", str() if value.upper() in _BODIES:
                body = _BODIES[value.upper()]
            case "SMTPUTF8", None:
                pass
            case "RET", str() if value.upper() in ("FULL", "HDRS"):
                ret = value.upper()
            case "ENVID", str() if len(value) <= _ENVID_LIMIT and _XTEXT.fullmatch(value):
                envid = value
            case "XSPAM", str() if trusted and (found := _XSPAM.fullmatch(value)):
                spam = _verdict(found)
            case "XSEALED", str() if trusted and (found := _XSEALED.fullmatch(value)):
                encryption = _sealing(found)
            case "AUTH", str():
                # RFC 4954 §5: to be accepted, and to be treated as <> by a server that does not use it.
                pass
            case _:
                raise _bad_parameter(keyword, _MAIL_KEYWORDS | _TRUSTED_KEYWORDS if trusted else _MAIL_KEYWORDS)
    if encryption is not None and body is not BodyType.BINARY_MIME:
        # Anything else could change the line ends of a blob.
        raise CommandFault(replies.BAD_ARGUMENTS)
    return MailCommand(
        reverse_path=_address(path, replies.BAD_REVERSE_PATH, utf8=smtputf8) if path else None,
        declared_octets=octets,
        body_type=body,
        smtputf8=smtputf8,
        ret=ret,
        envid=envid,
        spam=spam,
        encryption=encryption,
    )


def parse_rcpt(argument: str, *, utf8: bool = False, trusted: bool = False) -> RcptCommand:
    """Read what follows ``RCPT``; ``utf8`` says that MAIL had SMTPUTF8, ``trusted`` allows the parameters of Dovecot.

    Raises:
        CommandFault: 501, 553 or 555.
    """
    path, parameters = _path_and_parameters(argument, "TO:", replies.BAD_FORWARD_PATH)
    forward_path = _address(path, replies.BAD_FORWARD_PATH, utf8=utf8)
    if not parameters:
        return RcptCommand(forward_path=forward_path)
    orcpt: str | None = None
    notify: tuple[str, ...] = ()
    forwarded: str | None = None
    ignores_quota = False
    for keyword, value in parameters.items():
        match keyword, value:
            case "ORCPT", str() if len(value) <= _ORCPT_LIMIT and _ORCPT.fullmatch(value):
                orcpt = value
            case "NOTIFY", str() if _is_notify(value.upper()):
                notify = tuple(value.upper().split(","))
            case "IGNOREQUOTA", None if trusted:
                ignores_quota = True
            case "XRCPTFORWARD", str() if trusted:
                forwarded = value
            case _:
                raise _bad_parameter(keyword, {"ORCPT", "NOTIFY"})
    return RcptCommand(
        forward_path=forward_path, orcpt=orcpt, notify=notify, ignores_quota=ignores_quota, forwarded=forwarded
    )


def parse_bdat(argument: str) -> tuple[int, bool]:
    """Read what follows ``BDAT``: octets of the chunk, and whether it is the last.

    Raises:
        CommandFault: 501; the size is unknown then, so what follows cannot be told from commands.

    RFC 3030 §2.
    """
    octets, _, last = argument.partition(" ")
    if not _SIZE.fullmatch(octets) or last.upper() not in ("", "LAST"):
        raise CommandFault(replies.BAD_ARGUMENTS)
    return int(octets), bool(last)


def parse_attributes(argument: str, known: frozenset[str]) -> Mapping[str, str | None]:
    """Read the ``NAME=value`` list of XCLIENT or XFORWARD; None where the peer says that it does not know.

    Names are upper-cased, values decoded from xtext, ADDR is given in its normal form.

    Raises:
        CommandFault: 501; a name is not ``known``, or a value is no xtext, too long, not printable or no address.
    """
    found: dict[str, str | None] = {}
    for word in filter(None, argument.split(" ")):
        name, separator, value = word.partition("=")
        name = name.upper()
        if name not in known or not separator or len(value) > _ATTRIBUTE_LIMIT or not _XTEXT.fullmatch(value):
            raise CommandFault(replies.BAD_ARGUMENTS)
        text = re.sub(r"\+([0-9A-F]{2})", lambda octet: chr(int(octet[1], 16)), value)
        if text.upper() in _UNAVAILABLE or not text:
            found[name] = None
            continue
        if not text.isascii() or not text.isprintable():
            raise CommandFault(replies.BAD_ARGUMENTS)
        found[name] = _ip_address(text) if name == "ADDR" else text
    if not found:
        raise CommandFault(replies.BAD_ARGUMENTS)
    return found


def _path_and_parameters(argument: str, label: str, fault: bytes) -> tuple[str, dict[str, str | None]]:
    if argument[: len(label)].upper() != label:
        raise CommandFault(replies.BAD_ARGUMENTS)
    found = _PATH.fullmatch(argument, len(label))
    # A route to nobody is not the null path: mail with that one is never answered.
    if found is None or (found["route"] and not found["path"]):
        raise CommandFault(fault)
    parameters: dict[str, str | None] = {}
    if found["parameters"]:
        for word in found["parameters"].split(" "):
            if not word:
                continue
            parameter = _PARAMETER.fullmatch(word)
            if parameter is None or parameter["keyword"].upper() in parameters:
                raise CommandFault(replies.BAD_ARGUMENTS)
            parameters[parameter["keyword"].upper()] = parameter["value"]
    return found["path"], parameters


def _address(text: str, fault: bytes, *, utf8: bool) -> Address:
    try:
        address = parse_address(text)
    except InvalidAddress as error:
        raise CommandFault(fault) from error
    if not utf8 and not text.isascii():
        raise CommandFault(replies.NEEDS_SMTPUTF8)
    return address


def _verdict(found: re.Match[str]) -> SpamVerdict:
    return SpamVerdict(
        is_spam=found["flag"].upper() == "YES",
        score=float(found["score"]),
        checker=found["checker"] or "",
        action=found["action"] or "",
    )


def _sealing(found: re.Match[str]) -> EncryptionInfo:
    if found["algorithm"].lower() != SEAL_ALGORITHM:
        raise CommandFault(replies.ALGORITHM_UNKNOWN)
    return EncryptionInfo(algorithm=SEAL_ALGORITHM, encrypted=True, plaintext_octets=int(found["octets"]))


def _bad_parameter(keyword: str, known: AbstractSet[str]) -> CommandFault:
    return CommandFault(replies.BAD_ARGUMENTS if keyword in known else replies.BAD_PARAMETER)


def _is_notify(value: str) -> bool:
    words = value.split(",")
    return value == "NEVER" or (set(words) <= _NOTIFY and len(set(words)) == len(words))


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text[5:] if text[:5].upper() == "IPV6:" else text))
    except ValueError as error:
        raise CommandFault(replies.BAD_ARGUMENTS) from error
