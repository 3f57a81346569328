"""Examples of RFC 5435 and 5436, written as they stand there, with what they decide."""

import pytest

from msgstore.sieve import (
    Envelope,
    Notify,
    Verdict,
)
from tests.sieve.room import (
    MAIL,
    context_for,
    decided,
    mail_with,
    run,
)


def notified(verdict: Verdict) -> list[tuple[str, int, tuple[str, ...]]]:
    assert verdict.error is None, verdict.error
    return [(one.message, one.importance, one.recipients) for one in verdict.actions if isinstance(one, Notify)]


BOSS = """require ["enotify", "fileinto", "variables"];

if header :contains "from" "boss@example.org" {
    notify :importance "1"
        :message "This is probably very important"
                    "mailto:alm@example.com";
    # Don't send any further notifications
    stop;
}

if header :contains "to" "sievemailinglist@example.org" {
    # :matches is used to get the value of the Subject header
    if header :matches "Subject" "*" {
        set "subject" "${1}";
    }

    # :matches is used to get the value of the From header
    if header :matches "From" "*" {
        set "from" "${1}";
    }

    notify :importance "3"
        :message "[SIEVE] ${from}: ${subject}"
        "mailto:alm@example.com";
    fileinto "INBOX.sieve";
}"""


@pytest.mark.parametrize(
    ("message", "notices", "actions"),
    [
        (
            mail_with(From="boss@example.org", To="sievemailinglist@example.org"),
            [("This is probably very important", 1, ("alm@example.com",))],
            ["notify", "implicit keep"],
        ),
        (
            mail_with(From="A <a@b>", To="sievemailinglist@example.org", Subject="x"),
            [("[SIEVE] A <a@b>: x", 3, ("alm@example.com",))],
            ["notify", "fileinto INBOX.sieve"],
        ),
        (MAIL, [], ["implicit keep"]),
    ],
)
def test_rfc5435_3_7_example_1(
    message: bytes, notices: list[tuple[str, int, tuple[str, ...]]], actions: list[str]
) -> None:
    assert notified(run(BOSS, message)) == notices
    assert decided(BOSS, message) == actions


SENDERS = """require ["enotify", "fileinto", "variables", "envelope"];

if header :matches "from" "*@*.example.org" {
    # :matches is used to get the MAIL FROM address
    if envelope :all :matches "from" "*" {
        set "env_from" " [really: ${1}]";
    }

    # :matches is used to get the value of the Subject header
    if header :matches "Subject" "*" {
        set "subject" "${1}";
    }

    # :matches is used to get the address from the From header
    if address :matches :all "from" "*" {
        set "from_addr" "${1}";
    }

    notify :message "${from_addr}${env_from}: ${subject}"
                    "mailto:alm@example.com";
}"""


def test_rfc5435_3_7_example_2() -> None:
    message = mail_with(From="al@x.example.org", Subject="s")
    context = context_for(message, envelope=Envelope(reverse_path="al@y.example"))

    notices = notified(run(SENDERS, context=context))

    assert notices == [("al@x.example.org [really: al@y.example]: s", 2, ("alm@example.com",))]
    assert notified(run(SENDERS, mail_with(From="al@example.org"))) == []


METHODS = """require ["enotify", "variables"];

set "notif_method"
"xmpp:tim@example.com?message;subject=SIEVE;body=You%20got%20mail";

if header :contains "subject" "Your dog" {
    set "notif_method" "tel:+14085551212";
}

if header :contains "to" "sievemailinglist@example.org" {
    set "notif_method" "";
}

if not string :is "${notif_method}" "" {
    notify "${notif_method}";
}

if header :contains "from" "boss@example.org" {
    # :matches is used to get the value of the Subject header
    if header :matches "Subject" "*" {
        set "subject" "${1}";
    }

    # don't need high importance notification for
    # a 'for your information'
    if not header :contains "subject" "FYI:" {
        notify :importance "1" :message "BOSS: ${subject}"
                           "tel:+14085551212";
    }
}"""


def test_rfc5435_3_7_example_3_a_method_that_is_not_there_is_an_error_where_it_is_used() -> None:
    quiet = mail_with(To="sievemailinglist@example.org")
    boss = mail_with(To="sievemailinglist@example.org", From="boss@example.org")
    here = METHODS.replace("tel:+14085551212", "mailto:tim@example.com")

    assert run(METHODS).error is not None
    assert decided(METHODS, quiet) == ["implicit keep"]
    assert run(METHODS, boss).error is not None
    assert notified(run(here, boss)) == [("BOSS: I have a present for you", 1, ("tim@example.com",))]
    assert notified(run(here, boss.replace(b"Subject: ", b"Subject: FYI: "))) == []
    assert notified(run(here, mail_with(Subject="Your dog"))) == [("Your dog", 2, ("tim@example.com",))]


def test_rfc5435_4_and_6_examples_4_and_6() -> None:
    methods = """require "enotify";
        if not valid_notify_method ["mailto:",
                "http://gw.example.net/notify?test"] {
            stop;
        } discard;"""
    body = """require ["enotify", "variables"];
        set :encodeurl "body_param" "Safe body&evil=evilbody";
        notify "mailto:tim@example.com?body=${body_param}";"""

    (action, _) = run(body).actions

    assert decided(methods) == ["implicit keep"]
    assert isinstance(action, Notify)
    assert (action.body, action.headers, action.recipients) == ("Safe body&evil=evilbody", (), ("tim@example.com",))


def test_rfc5436_3_a_list_is_told_of_by_text_message() -> None:
    knitting = b"""Return-Path: <knitting-bounces@example.com>
Received: from mail.example.com by mail.example.org
  for <recipient@example.org>; Wed, 7 Dec 2005 05:08:02 -0500
Received: from hobbies.example.com by mail.example.com
  for <knitting@example.com>; Wed, 7 Dec 2005 02:00:26 -0800
Message-ID: <1234567.89ABCDEF@example.com>
Date: Wed, 07 Dec 2005 10:59:19 +0100
Precedence: list
List-Id: Knitting Mailing List <knitting.example.com>
Sender: knitting-bounces@example.com
Errors-To: knitting-bounces@example.com
From: "Jeff Smith" <jeff@hobbies.example.com>
To: "Knitting Mailing List" <knitting@example.com>
Subject: [Knitting] A new sweater

I just finished a great new sweater!
"""
    script = """require ["enotify", "variables"];

        if header :contains "list-id" "knitting.example.com" {
          if header :matches "Subject" "[*] *" {
            notify :message "From ${1} list: ${2}"
                :importance "3"
                "mailto:0123456789@sms.example.net?to=backup@example.com";
          }
        }"""

    assert notified(run(script, knitting)) == [
        ("From Knitting list: A new sweater", 3, ("0123456789@sms.example.net", "backup@example.com"))
    ]
    assert notified(run(script)) == []
