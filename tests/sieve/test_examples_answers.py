"""Examples of RFC 5230, 6131 and 5429, written as they stand there, with what they decide."""

import pytest

from msgstore.sieve import (
    Context,
    Ereject,
    Message,
    Reject,
    Scan,
)
from tests.sieve.room import (
    MAIL,
    context_for,
    decided,
    errors,
    mail_with,
    run,
    told,
    vacate,
)


def test_rfc5230_4_2_different_reasons_are_different_responses() -> None:
    script = """require "vacation";
        if header :contains "subject" "cyrus" {
            vacation "I'm out -- send mail to cyrus-bugs";
        } else {
            vacation "I'm out -- call me at +1 304 555 0123";
        }"""

    one, other = vacate(script, mail_with(Subject="cyrus is down")), vacate(script)

    assert (one.reason, other.reason) == (
        "I'm out -- send mail to cyrus-bugs",
        "I'm out -- call me at +1 304 555 0123",
    )
    assert one.handle != other.handle


def test_rfc5230_4_2_a_subject_with_variables_is_one_response() -> None:
    script = """require ["vacation", "variables"];
        if header :matches "subject" "*" {
            vacation :subject "Automatic response to: ${1}"
                     "I'm away -- send mail to foo in my absence";
        }"""

    one, other = vacate(script, mail_with(Subject="one")), vacate(script, mail_with(Subject="other"))

    assert [one.subject, other.subject] == ["Automatic response to: one", "Automatic response to: other"]
    assert one.handle == other.handle


def test_rfc5230_4_2_a_handle_makes_two_reasons_one_response() -> None:
    script = """require "vacation";
        if header :contains "subject" "lunch" {
            vacation :handle "ran-away" "I'm out and can't meet for lunch";
        } else {
            vacation :handle "ran-away" "I'm out";
        }"""

    one, other = vacate(script, mail_with(Subject="lunch?")), vacate(script)

    assert one.reason != other.reason
    assert one.handle == other.handle


def test_rfc5230_4_4_a_mime_entity_is_taken_as_it_stands() -> None:
    entity = """Content-Type: multipart/alternative; boundary=foo

--foo

I'm at the beach relaxing.  Mmmm, surf...

--foo
Content-Type: text/html; charset=us-ascii

<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.0//EN"
 "http://www.w3.org/TR/REC-html40/strict.dtd">
<HTML><HEAD><TITLE>How to relax</TITLE>
<BASE HREF="http://home.example.com/pictures/"></HEAD>
<BODY><P>I'm at the <A HREF="beach.gif">beach</A> relaxing.
Mmmm, <A HREF="ocean.gif">surf</A>...
</BODY></HTML>

--foo--
"""

    action = vacate(f'require "vacation";\nvacation :mime text:\n{entity}.\n;')

    assert action.is_mime
    assert action.reason == entity.replace("\n", "\r\n")
    assert errors(f'require "vacation";\nvacation :mime text:\n{entity}.\n')  # as the RFC prints it: nothing ends it


def test_rfc5230_4_8_the_boss_is_sent_on_and_others_are_answered() -> None:
    script = """require "vacation";
        if header :contains "from" "boss@example.edu" {
            redirect "pleeb@isp.example.org";
        } else {
            vacation "Sorry, I'm away, I'll read your
message when I get around to it.";
        }"""

    assert decided(script, mail_with(From="boss@example.edu")) == ["redirect pleeb@isp.example.org"]
    assert decided(script) == ["vacate", "implicit keep"]
    assert vacate(script).reason == "Sorry, I'm away, I'll read your\r\nmessage when I get around to it."


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (mail_with(Accept_Language="en-GB, de"), "I am away this week."),
        (mail_with(Content_Language="EN"), "I am away this week."),
        (MAIL, "Estoy ausente esta semana."),
    ],
)
def test_rfc5230_7_the_language_is_chosen_by_the_header(message: bytes, reason: str) -> None:
    script = """require "vacation";
        if header :contains ["accept-language", "content-language"] "en"
        {
            vacation "I am away this week.";
        } else {
            vacation "Estoy ausente esta semana.";
        }"""

    assert vacate(script, message).reason == reason


def test_rfc5230_7_the_language_is_chosen_by_the_sender() -> None:
    script = """require "vacation";
        if address :matches "from" "*@ourdivision.example.com"
        {
            vacation :subject "Gone fishing"
                     "Having lots of fun! Back in a day or two!";
        } else {
            vacation :subject "Je suis parti cette semaine"
                     "Je lirai votre message quand je retourne.";
        }"""

    assert vacate(script, mail_with(From="Al <al@OURDIVISION.example.com>")).subject == "Gone fishing"
    assert vacate(script).subject == "Je suis parti cette semaine"


def test_rfc6131_3_periods_in_seconds() -> None:
    meeting = """require ["vacation-seconds"];
        vacation :addresses ["tjs@example.edu", "ts4z@landru.example.edu"]
                 :seconds 1800
                 "I am in a meeting, and do not have access to email.";"""
    service = """require ["vacation-seconds"];
        vacation :handle "auto-resp" :seconds 0
            "Your request has been received.  A service
representative will contact you as soon as
possible, usually within one business day.";"""

    assert vacate(meeting, mail_with(To="tjs@example.edu")).seconds == 1800
    assert vacate(meeting, mail_with(To="tjs@example.edu")).own_address == "tjs@example.edu"
    assert vacate(service).seconds == 0


def test_rfc5429_2_1_and_2_2_refusals_with_their_reasons() -> None:
    ereject = """require ["ereject"];
        if address "from" "someone@example.com" {
            ereject "I no longer accept mail from this address";
        }"""
    size = """require ["reject"];

if size :over 100K {
    reject text:
Your message is too big.  If you want to send me a big attachment,
put it on a public web site and send me a URL.
.
    ;
}"""
    birdseed = """require ["reject"];

if header :contains "from" "coyote@desert.example.org" {
    reject text:
I am not taking mail from you, and I don't
want your birdseed, either!
.
    ;
}"""

    (refused,) = run(ereject, mail_with(From="someone@example.com")).actions
    (big,) = run(size, context=Context(Message(b"", b"", octets=102_401))).actions
    (mine,) = run(birdseed).actions

    assert isinstance(refused, Ereject)
    assert refused.reason == "I no longer accept mail from this address"
    assert isinstance(big, Reject)
    assert big.reason.endswith("big attachment,\r\nput it on a public web site and send me a URL.\r\n")
    assert isinstance(mine, Reject)
    assert mine.reason == "I am not taking mail from you, and I don't\r\nwant your birdseed, either!\r\n"
    assert decided(ereject) == decided(size) == decided(birdseed, mail_with(From="a@b")) == ["implicit keep"]


SCORE = """require ["ereject", "spamtest", "fileinto",
         "comparator-i;ascii-numeric"];

if spamtest :value "ge"
            :comparator "i;ascii-numeric" "6" {
    ereject text:
AntiSpam engine thinks your message is spam.
It is therefore being refused.
Please call 1-900-PAY-US if you want to reach us.
.
    ;
} elsif spamtest :value "ge"
                 :comparator "i;ascii-numeric" "4" {
    fileinto "Suspect";
}"""


@pytest.mark.parametrize(("percent", "expected"), [(60.0, "ereject"), (30.0, "fileinto Suspect"), (0, "implicit keep")])
def test_rfc5429_2_5_spam_is_refused_with_three_lines(percent: float, expected: str) -> None:
    context = context_for()
    context.scan = Scan(spam_percent=percent)

    (action,) = run(SCORE.replace('"ereject",', '"ereject", "relational",'), context=context).actions

    assert told([action]) == [expected]
    assert not isinstance(action, Ereject) or action.reason.count("\r\n") == 3
    assert errors(SCORE)  # as the RFC prints it, without "relational", which RFC 5231 §3 wants
