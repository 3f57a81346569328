"""Examples of RFC 6609 and 7352, written as they stand there, with what they decide."""

import pytest

from msgstore.sieve import (
    FileInto,
    SeenMark,
)
from tests.sieve.room import (
    ENVELOPE,
    House,
    context_for,
    decided,
    errors,
    filed,
    run,
    vacate,
)

ALLOW = """if address :is "from" "boss@example.com"
{
    keep;
}
elsif address :is "from" "ceo@example.com"
{
    keep;
}"""


PERSONAL_SPAM = """require ["reject"];

if header :contains "Subject" "XXXX"
{
    reject "Subject XXXX is unacceptable.";
}
elsif address :is "from" "money@example.com"
{
    reject "Mail from this sender is unwelcome.";
}"""


GLOBAL_SPAM = """require ["reject"];

if anyof (header :contains "Subject" "$$",
          header :contains "Subject" "Make money")
{
    reject "No thank you.";
}"""


MAILING_LISTS = """require ["fileinto"];

if header :is "List-ID" "sieve.ietf.org"
{
    fileinto "lists.sieve";
}
elsif header :is "List-ID" "ietf-imapext.imc.org"
{
    fileinto "lists.imapext";
}"""


SUBJECTS = """require ["include", "variables"];
global ["test", "test_mailbox"];

if header :contains "Subject" "${test}"
{
    set "test_mailbox" "spam-${test}";
}"""


SHELF = House(
    scripts={
        "always_allow": ALLOW,
        "spam_tests": PERSONAL_SPAM,
        "global:spam_tests": GLOBAL_SPAM,
        "mailing_lists": MAILING_LISTS,
        "subject_tests": SUBJECTS,
    }
)


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"From: boss@example.com\r\nList-ID: x\r\n", "keep"),
        (b"From: ceo@example.com\r\n", "keep"),
        (b"Subject: $$ for you\r\n", "reject"),
        (b"Subject: make MONEY now\r\n", "reject"),
        (b"Subject: XXXX\r\n", "reject"),
        (b"From: money@example.com\r\n", "reject"),
        (b"List-ID: sieve.ietf.org\r\n", "fileinto lists.sieve"),
        (b"List-ID: ietf-imapext.imc.org\r\n", "fileinto lists.imapext"),
        (b"List-ID: other.example\r\n", "implicit keep"),
    ],
)
def test_rfc6609_3_2_one_script_is_made_of_four(mail: bytes, expected: str) -> None:
    script = """require ["include"];

        include :personal "always_allow";
        include :global "spam_tests";
        include :personal "spam_tests";
        include :personal "mailing_lists";"""

    assert decided(script, mail, SHELF) == [expected]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [("$$$", "fileinto spam-$$"), ("Make money $$", "fileinto spam-Make money"), ("hello", "implicit keep")],
)
def test_rfc6609_3_4_1_a_script_is_called_like_a_function(subject: str, expected: str) -> None:
    script = """require ["fileinto", "include", "variables", "relational"];
        global "test";
        global "test_mailbox";

        set "test" "$$";
        include "subject_tests";

        set "test" "Make money";
        include "subject_tests";

        if string :count "eq" "${test_mailbox}" "1"
        {
            fileinto "${test_mailbox}";
            stop;
        }"""

    assert decided(script, f"Subject: {subject}\r\n".encode(), SHELF) == [expected]


def test_rfc6609_3_4_2_the_namespace_needs_no_declaration() -> None:
    first = 'require ["variables", "include"]; set "global.i_am_on_vacation" "1";'
    second = """require ["variables", "include", "vacation"];
        global "i_am_on_vacation";

        set "global.i_am_on_vacation" "1";

        if string :is "${i_am_on_vacation}" "1"
        {
            vacation "It's true, I am on vacation.";
        }"""

    assert decided(first) == ["implicit keep"]
    assert vacate(second).reason == "It's true, I am on vacation."


@pytest.mark.parametrize(
    "script",
    [
        'require "duplicate"; if duplicate { discard; }',
        'require "duplicate"; if duplicate :header "message-id" { discard; }',
        """require ["duplicate", "variables"];
        if header :matches "message-id" "*" {
          if duplicate :uniqueid "${0}" {
            discard;
          }
        }""",
    ],
)
def test_rfc7352_3_three_tests_of_the_same_id_are_the_same(script: str) -> None:
    seen = House(seen={("", "<1@desert.example.org>")})

    assert decided(script, house=seen) == ["discard"]
    assert run(script).seen == run('require "duplicate"; if duplicate { }').seen


def test_rfc7352_5_1_duplicates_are_filed() -> None:
    script = 'require ["duplicate", "fileinto", "mailbox"]; if duplicate { fileinto :create "Trash/Duplicate"; }'

    (action,) = run(script, house=House(seen={("", "<1@desert.example.org>")})).actions

    assert isinstance(action, FileInto)
    assert (str(action.folder), action.create) == ("Trash/Duplicate", True)
    assert decided(script) == ["implicit keep"]


def test_rfc7352_5_2_an_alert_that_came_before_is_marked() -> None:
    script = """require ["duplicate", "variables", "imap4flags",
          "fileinto"];

        if header :matches "subject" "ALERT: *" {
          if duplicate :seconds 60 :uniqueid "${1}" {
            setflag "\\\\seen";
          }
          fileinto "Alerts";
        }"""
    mail = b"Subject: ALERT: disk full\r\n"

    first, again = run(script, mail), run(script, mail, House(seen={("", "disk full")}))

    assert filed(first) == [("Alerts", ())]
    assert first.seen == (SeenMark(handle="", unique_id="disk full", seconds=60, last=False),)
    assert filed(again) == [("Alerts", ("\\Seen",))]


@pytest.mark.parametrize(
    ("middle", "test", "unique"),
    [
        ("", 'duplicate :seconds 1800 :uniqueid "${sender}"', "coyote@desert.example.org"),
        (
            """if string :comparator "i;ascii-casemap" :matches "${subject}" "Re:*" { set "subject" "${1}"; }""",
            'duplicate :seconds 1800 :uniqueid "${sender} ${subject}"',
            "coyote@desert.example.org  lunch",
        ),
    ],
)
def test_rfc7352_5_3_notifications_of_one_sender_are_limited(middle: str, test: str, unique: str) -> None:
    script = f"""require ["variables", "envelope", "enotify", "duplicate"];
        if envelope :matches "from" "*" {{ set "sender" "${{1}}"; }}
        if header :matches "subject" "*" {{ set "subject" "${{1}}"; }}
        {middle}
        if not {test}
        {{
          notify :message "[SIEVE] ${{sender}}: ${{subject}}"
            "mailto:user@im.example.com";
        }}"""
    mail = b"Subject: RE: lunch\r\n"

    first = run(script, mail, context=context_for(mail, envelope=ENVELOPE))
    again = run(script, mail, House(seen={("", unique)}), context_for(mail, envelope=ENVELOPE))

    assert [type(action).__name__ for action in first.actions] == ["Notify", "Keep"]
    assert [mark.unique_id for mark in first.seen] == [unique]
    assert [type(action).__name__ for action in again.actions] == ["Keep"]


def test_rfc7352_5_4_two_tests_have_records_of_their_own() -> None:
    script = """require ["duplicate", "imap4flags"];

        if duplicate :header "X-Event-ID" :handle "notifier" {
          discard;
        }
        if allof (
          duplicate :header "X-Ticket-ID" :handle "support",
          address "to" "support@example.com",
          header :contains "subject" "fileserver")
        {
          setflag "\\\\seen";
        }"""
    mail = b"X-Event-ID: 7\r\nX-Ticket-ID: 7\r\nTo: support@example.com\r\nSubject: fileserver\r\n"

    assert [(mark.handle, mark.unique_id) for mark in run(script, mail).seen] == [("notifier", "7"), ("support", "7")]
    assert filed(run(script, mail, House(seen={("support", "7")}))) == [("INBOX", ("\\Seen",))]
    assert decided(script, mail, House(seen={("notifier", "7")})) == ["discard"]
    assert errors('require "duplicate"; if duplicate :header "a" :uniqueid "b" { discard; }')
