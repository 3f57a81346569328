import pytest

from msgstore.delivery.courtesy import (
    is_automatic,
    is_same_address,
    is_system_address,
    reason_against_notification,
    reason_against_reply,
)
from msgstore.model.address import parse_address

ALICE = parse_address("alice@example.com")
PERSONAL = b"From: Bob <bob@example.net>\r\nTo: Alice <alice@example.com>\r\nSubject: hi\r\n"


def reason(header: bytes, reverse_path: str | None = "bob@example.net", own: tuple[str, ...] = ()) -> str | None:
    return reason_against_reply(
        None if reverse_path is None else parse_address(reverse_path),
        header + b"\r\n",
        own=(ALICE, *(parse_address(one) for one in own)),
    )


def test_a_personal_message_may_be_answered() -> None:
    assert reason(PERSONAL) is None


@pytest.mark.parametrize(
    ("reverse_path", "why"),
    [
        (None, "null reverse-path"),
        ("bob", "reverse-path without a domain"),
        ("alice@example.com", "own address"),
        ("ALICE+x@Example.COM", "own address"),
        ("MAILER-DAEMON@example.net", "system address"),
        ("listserv@example.net", "system address"),
        ("Majordomo@example.net", "system address"),
        ("owner-list@example.net", "system address"),
        ("list-request@example.net", "system address"),
        ("list-bounces+alice=example.com@example.net", None),
        ("noreply@example.net", "system address"),
        ("SRS0=abcd=ef=example.org=bob@example.net", "system address"),
        ("postmaster@example.net", None),
        ("owner@example.net", None),
        ("request@example.net", None),
    ],
)
def test_some_senders_are_never_answered(reverse_path: str | None, why: str | None) -> None:
    assert reason(PERSONAL, reverse_path) == why


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"List-Id: <a.b>", "mailing list"),
        (b"LIST-UNSUBSCRIBE: <mailto:x@y>", "mailing list"),
        (b"List-Post: NO", "mailing list"),
        (b"Auto-Submitted: auto-generated", "Auto-Submitted"),
        (b"Auto-Submitted: auto-replied; owner-email=x", "Auto-Submitted"),
        (b"Auto-Submitted: No", None),
        (b"Auto-Submitted: no (a person)", None),
        (b"Auto-Submitted: no; x=y", None),
        (b"Auto-Submitted: (really (a) person) no", None),
        (b"Auto-Submitted: (no) auto-replied", "Auto-Submitted"),
        (b"Precedence: bulk", "Precedence"),
        (b"Precedence: LIST", "Precedence"),
        (b"Precedence: junk (x)", "Precedence"),
        (b"Precedence: first-class", None),
        (b"X-Auto-Response-Suppress: DR, OOF", "X-Auto-Response-Suppress"),
        (b"X-Auto-Response-Suppress: All", "X-Auto-Response-Suppress"),
        (b"X-Auto-Response-Suppress: DR, NDR", None),
        (b"Listen-To: music", None),
    ],
)
def test_some_messages_are_never_answered(line: bytes, why: str | None) -> None:
    assert reason(line + b"\r\n" + PERSONAL) == why


@pytest.mark.parametrize(
    ("line", "own", "may"),
    [
        (b"To: alice@example.com", (), True),
        (b'Cc: x@y, "A, B" <ALICE@EXAMPLE.COM>', (), True),
        (b"Bcc: alice+work@example.com", (), True),
        (b"Resent-To: alice@example.com", (), True),
        (b"Resent-Cc: alice@example.com", (), True),
        (b"Resent-Bcc: alice@example.com", (), True),
        (b"To: friends: x@y, alice@example.com;", (), True),
        (b"To: x@y\r\nTo: alice@example.com", (), True),
        (b"To: broken <\r\nCc: alice@example.com", (), True),
        (b"To: x@y", (), False),
        (b"From: alice@example.com", (), False),
        (b'To: "alice@example.com" <x@y>', (), False),
        (b"To: sales@example.org", (), False),
        (b"To: sales@example.org", ("Sales@Example.org",), True),
        (b"To: " + b"(" * 20_000, (), False),
    ],
)
def test_the_user_has_to_be_named_in_the_message(line: bytes, own: tuple[str, ...], *, may: bool) -> None:
    why = reason(b"Subject: x\r\n" + line + b"\r\n", own=own)

    assert why == (None if may else "own address not among the recipients")


def test_only_automatic_mail_is_not_told_of() -> None:
    assert reason_against_notification(b"List-Id: <x.y>\r\nPrecedence: list\r\n\r\n") is None
    assert reason_against_notification(b"Auto-Submitted: auto-notified\r\n\r\n") == "Auto-Submitted"
    assert not is_automatic(b"Subject: Auto-Submitted\r\n\r\nAuto-Submitted: yes\r\n")


def test_addresses_are_compared_as_they_are_delivered() -> None:
    assert is_same_address(parse_address("a+b@M\u00fcnchen.example"), parse_address("A@xn--mnchen-3ya.example"))
    assert not is_same_address(parse_address("a+b@x"), parse_address("a@x"), separator="")
    assert is_system_address(parse_address("mailer-daemon+x@y"))
