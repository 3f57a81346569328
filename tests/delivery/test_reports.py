import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis.strategies import sampled_from, text

from msgstore.delivery.composing import field, mailbox_field, text_field, text_part
from msgstore.delivery.reports import Letterhead, Original, compose_notification, compose_rejection, compose_vacation
from msgstore.mime.mailto import parse_mailto
from msgstore.mime.words import decode_words
from msgstore.model.address import parse_address

HEAD = Letterhead(
    owner=parse_address("alice@example.com"), at_seconds=1_700_000_000.5, unique="a1.b2", hostname="mx.example.com"
)
HEADER = (
    b"From: Bob <bob@example.net>\r\nTo: alice@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an dich\r\n"
    b"Message-ID: <m1@example.net>\r\nReferences: <r1@example.net>\r\n <r2@example.net>\r\n\r\n"
)
AWAY = "I am away.\nBack on Monday.\n"


def original(header: bytes = HEADER, reverse_path: str | None = "bob@example.net") -> Original:
    return Original(
        reverse_path=None if reverse_path is None else parse_address(reverse_path),
        header=header,
        forward_path=parse_address("alice+x@example.com"),
        orcpt="rfc822;a@x",
    )


def read(message: bytes) -> EmailMessage:
    """Read by the rules of the wire, as any receiver would, after looking at the lines themselves."""
    lines = message.split(b"\r\n")
    assert all(b"\n" not in line and b"\r" not in line and len(line) <= 998 for line in lines)
    assert lines[-1] == b""
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert not parsed.defects
    return parsed


def test_a_vacation_reply_goes_to_the_sender_and_asks_for_no_report() -> None:
    submission, message = compose_vacation(HEAD, original(), AWAY)

    assert submission.reverse_path is None
    assert [(str(one.address), one.notify) for one in submission.recipients] == [("bob@example.net", ("NEVER",))]
    found = read(message)
    assert {name: str(found[name]) for name in ("From", "To", "Subject", "Auto-Submitted", "In-Reply-To")} == {
        "From": "alice@example.com",
        "To": "bob@example.net",
        "Subject": "Auto: Gr\u00fc\u00dfe an dich",
        "Auto-Submitted": "auto-replied",
        "In-Reply-To": "<m1@example.net>",
    }
    assert found["References"].split() == ["<r1@example.net>", "<r2@example.net>", "<m1@example.net>"]
    assert (found["Message-ID"], found["Date"]) == ("<a1.b2@mx.example.com>", "Tue, 14 Nov 2023 22:13:20 +0000")
    assert found.get_content() == AWAY.replace("\n", "\r\n")


def test_subject_and_sender_are_the_scripts_to_choose() -> None:
    _, message = compose_vacation(
        HEAD, original(), AWAY, subject="Weg \u2014 bis Montag", from_='"\u00c4rger, A" <alice@example.com>'
    )

    found = read(message)
    assert found["Subject"] == "Weg \u2014 bis Montag"
    assert found["From"].addresses[0].display_name == "\u00c4rger, A"
    assert found["From"].addresses[0].addr_spec == "alice@example.com"


@pytest.mark.parametrize("from_", ["nobody", "a@b\r\nBcc: x@y, ,", "<>", ""])
def test_a_sender_that_is_no_mailbox_is_passed_over(from_: str) -> None:
    _, message = compose_vacation(HEAD, original(), AWAY, from_=from_)

    assert read(message)["From"] == "alice@example.com"


@pytest.mark.parametrize(
    ("header", "subject", "references"),
    [
        (b"\r\n", "Automated reply", None),
        (b"Subject:\r\nMessage-ID: nonsense\r\n\r\n", "Automated reply", None),
        (b"Message-ID: <a@b>\r\nIn-Reply-To: <c@d>\r\n\r\n", "Automated reply", "<c@d> <a@b>"),
        (b"Message-ID: <a@b>\r\nIn-Reply-To: <c@d> <e@f>\r\n\r\n", "Automated reply", "<a@b>"),
    ],
)
def test_what_the_original_lacks_is_not_invented(header: bytes, subject: str, references: str | None) -> None:
    _, message = compose_vacation(HEAD, original(header), AWAY)

    found = read(message)
    assert (found["Subject"], found["References"]) == (subject, references)
    assert (found["In-Reply-To"] is None) == (references is None)


def test_of_many_references_the_first_and_the_last_are_kept() -> None:
    many = b"".join(b" <r%d@x>\r\n" % number for number in range(500))

    _, message = compose_vacation(HEAD, original(b"Message-ID: <m@x>\r\nReferences:" + many + b"\r\n"), AWAY)

    references = read(message)["References"].split()
    assert (references[0], references[-2:], len(references)) == ("<r0@x>", ["<r499@x>", "<m@x>"], 21)


def test_a_mime_reason_says_what_its_content_is_and_nothing_else() -> None:
    reason = (
        "Content-Type: multipart/alternative;\n boundary=foo\nBcc: evil@example.org\nFrom: x@y\n\n"
        "--foo\n\nplain\n--foo\nContent-Type: text/html; charset=utf-8\n\n<b>\u00fc</b>\n--foo--\n"
    )

    _, message = compose_vacation(HEAD, original(), reason, is_mime=True)

    found = read(message)
    assert (found["Bcc"], found["From"]) == (None, "alice@example.com")
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]


def test_a_mime_reason_without_header_is_plain_text() -> None:
    _, message = compose_vacation(HEAD, original(), "\nFrom: x@y\n", is_mime=True)

    assert read(message).get_content() == "From: x@y\r\n"


def test_a_mime_header_outside_of_ascii_is_refused() -> None:
    with pytest.raises(ValueError, match="ASCII"):
        compose_vacation(HEAD, original(), "Content-Type: text/plain; name=\u00fc\n\nx", is_mime=True)


@pytest.mark.parametrize("compose", [compose_vacation, compose_rejection])
def test_the_null_reverse_path_is_never_answered(compose: object) -> None:
    assert callable(compose)

    with pytest.raises(ValueError, match="never answered"):
        compose(HEAD, original(reverse_path=None), "x")


def test_a_rejection_is_a_disposition_notification_that_gives_the_header_back() -> None:
    submission, message = compose_rejection(HEAD, original(), "No birdseed, b\u00fctte!")

    found = read(message)
    assert submission.reverse_path is None
    assert found.get_content_type() == "multipart/report"
    assert found.get_param("report-type") == "disposition-notification"
    assert (found["Subject"], found["Auto-Submitted"]) == ("Rejected: Gr\u00fc\u00dfe an dich", "auto-replied")
    human, machine, returned = found.iter_parts()
    assert human.get_content().splitlines()[-1] == "No birdseed, b\u00fctte!"
    told = str(machine.get_payload(0)) if machine.is_multipart() else machine.get_content()
    assert [line for line in told.splitlines() if line] == [
        "Reporting-UA: mx.example.com; msgstore",
        "Original-Recipient: rfc822;a@x",
        "Final-Recipient: rfc822; alice+x@example.com",
        "Original-Message-ID: <m1@example.net>",
        "Disposition: automatic-action/MDN-sent-automatically; deleted",
    ]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert HEADER.rstrip() + b"\r\n" in message


def test_no_header_that_is_given_back_can_end_its_part() -> None:
    header = b"Subject: a\r\n--=_a1.b2--\r\nX: " + b"y" * 5000 + b"\r\nZ: \xff\r\n\r\n"

    _, message = compose_rejection(HEAD, original(header), "--=_a1.b2\n")

    assert len(list(read(message).iter_parts())) == 3


def test_a_notification_follows_uri_and_arguments() -> None:
    uri = parse_mailto("mailto:sms@x?cc=b@x&subject=from%20uri&body=hello&x-prio=1%0D%0ABcc:%20z@z")

    submission, message = compose_notification(HEAD, original(), uri, importance="1", from_="Alice <alice@example.com>")

    found = read(message)
    assert found["Auto-Submitted"] == 'auto-notified; owner-email="alice@example.com"'
    assert message.startswith(b"Auto-Submitted:")
    assert (found["To"], found["Cc"], found["Subject"], found["Importance"]) == ("sms@x", "b@x", "from uri", "High")
    assert (found["X-Prio"], found["Bcc"]) == ("1 Bcc: z@z", None)
    assert found.get_content() == "hello\r\n"
    assert str(submission.reverse_path) == "alice@example.com"
    assert [str(one.address) for one in submission.recipients] == ["sms@x", "b@x"]


def test_a_notification_without_words_tells_sender_and_subject() -> None:
    submission, message = compose_notification(HEAD, original(reverse_path=None), parse_mailto("mailto:sms@x"))

    found = read(message)
    assert submission.reverse_path is None
    assert found["Subject"] == "Gr\u00fc\u00dfe an dich"
    assert "From: Bob <bob@example.net>" in found.get_content()


def test_the_message_of_the_action_is_stronger_than_the_uri() -> None:
    _, message = compose_notification(HEAD, original(), parse_mailto("mailto:s@x?subject=no"), message="yes")

    assert read(message)["Subject"] == "yes"


@given(value=text())
def test_no_text_can_add_a_field_and_what_is_printable_comes_back(value: str) -> None:
    line = text_field("Subject", value)

    assert line.isascii()
    assert line.endswith(b"\r\n")
    assert all(one.startswith(b" ") and one.strip() for one in line.split(b"\r\n")[1:-1])
    if value.isprintable():
        unfolded = line.partition(b":")[2].replace(b"\r\n", b"").strip()
        assert decode_words(unfolded).split() == value.split() or "=?" in value


@given(value=text(), display=sampled_from(["", "x", '"']))
def test_no_mailbox_text_can_add_a_field(value: str, display: str) -> None:
    line = mailbox_field("From", f"{display}{value} <a@b>")

    assert line is None or all(one.startswith(b" ") for one in line.split(b"\r\n")[1:-1])


@given(value=text())
def test_a_text_part_reads_back_to_its_text(value: str) -> None:
    wanted = value.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    wanted = wanted if not wanted or wanted.endswith("\n") else wanted + "\n"

    part = text_part(value)

    parsed = email.message_from_bytes(part)
    octets = parsed.get_payload(decode=True)
    assert isinstance(octets, bytes)
    assert octets.decode(parsed.get_content_charset() or "").replace("\r\n", "\n") == wanted
    assert all(len(line) <= 998 for line in part.split(b"\r\n"))


def test_long_words_and_lines_are_never_longer_than_the_wire_allows() -> None:
    _, message = compose_vacation(
        HEAD, original(b"Subject: " + b"x" * 5000 + b"\r\n\r\n"), "y" * 5000, subject="z" * 3000
    )

    assert read(message).get_content() == "y" * 5000 + "\r\n"


def test_a_field_with_a_line_end_is_a_fault_of_the_caller() -> None:
    for name, word in (("A b", "x"), ("A", "x\r\ny")):
        with pytest.raises(ValueError, match="cannot be written"):
            field(name, [word])
    with pytest.raises(ValueError, match="message id"):
        Letterhead(owner=HEAD.owner, at_seconds=0, unique="a b", hostname="x")
