"""Includes, duplicates, edits, notifications, lists: the examples of their RFCs, by section."""

import pytest

from msgstore.sieve import (
    Context,
    EditedMessage,
    Envelope,
    FileInto,
    Keep,
    Message,
    Notify,
    Redirect,
    Reject,
    SeenMark,
    Verdict,
)
from tests.sieve.room import MAIL, NOW, House, context_for, decided, errors, holds, run, vacate, value, with_field

INCLUDES = {
    "always_allow": 'if address :is "from" "boss@example.com" { keep; } elsif address :is "from" "ceo@example.com" { keep; }',  # noqa: E501
    "global:spam_tests": """require ["reject"];
        if anyof (header :contains "Subject" "$$", header :contains "Subject" "Make money")
        { reject "No thank you."; }""",
    "spam_tests": 'require ["reject"]; if header :contains "Subject" "XXXX" { reject "Subject XXXX is unacceptable."; }',  # noqa: E501
    "mailing_lists": 'require ["fileinto"]; if header :is "List-ID" "sieve.ietf.org" { fileinto "lists.sieve"; }',
    "subject_tests": """require ["include", "variables"]; global ["test", "test_mailbox"];
        if header :contains "Subject" "${test}" { set "test_mailbox" "spam-${test}"; }""",
    "returns": 'require "include"; return; discard;',
    "stops": "discard; stop;",
    "loop": 'require "include"; include "loop";',
    "once": 'require ["include", "fileinto"]; include :once "once"; fileinto "once";',
    "deep": 'require "include"; include "deeper";',
    "deeper": 'require "include"; include "deep";',
    "back": 'require "include"; include "test";',
    "broken": "nothing such",
    "private": 'require "variables"; set "a" "inner";',
    "edits": 'require ["editheader", "imap4flags"]; addheader "X-New" "1"; deleteheader "subject"; setflag "f";',
}


def included(script: str, mail: bytes = MAIL) -> Verdict:
    return run(f'require ["include", "variables", "fileinto", "relational"]; {script}', mail, House(scripts=INCLUDES))


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"From: boss@example.com\r\n\r\n", ["keep"]),
        (b"Subject: $$$\r\n\r\n", ["reject"]),
        (b"Subject: XXXX\r\n\r\n", ["reject"]),
        (b"List-ID: sieve.ietf.org\r\n\r\n", ["fileinto lists.sieve"]),
        (b"Subject: hello\r\n\r\n", ["implicit keep"]),
    ],
)
def test_rfc6609_3_2_the_default_script_includes_others(mail: bytes, expected: list[str]) -> None:
    script = """require ["include"]; include :personal "always_allow"; include :global "spam_tests";
        include :personal "spam_tests"; include :personal "mailing_lists";"""

    assert decided(script, mail, House(scripts=INCLUDES)) == expected


def test_rfc6609_3_4_1_global_variables_are_shared() -> None:
    script = """global "test"; global "test_mailbox"; set "test" "$$"; include "subject_tests";
        set "test" "Make money"; include "subject_tests";
        if string :count "eq" "${test_mailbox}" "1" { fileinto "${test_mailbox}"; stop; }"""

    action = included(script, b"Subject: Make money now\r\n\r\n").actions[0]

    assert isinstance(action, FileInto)
    assert str(action.folder) == "spam-Make money"


def test_rfc6609_3_4_2_the_namespace_is_the_same_place() -> None:
    script = """global "i_am_on_vacation"; set "global.i_am_on_vacation" "1";
        if string :is "${i_am_on_vacation}" "1" { fileinto "x${global.i_am_on_vacation}"; }"""

    action = included(script).actions[0]

    assert isinstance(action, FileInto)
    assert str(action.folder) == "x1"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('include "loop";', "includes itself"),
        ('include "deep";', "includes itself"),
        ('include "back";', "includes itself"),
        ('include "nowhere";', "there is no script"),
        ('include "broken";', "cannot be included"),
        ('set "a" "1"; global "a";', "was set before"),
    ],
)
def test_rfc6609_3_1_what_cannot_be_included_fails_when_it_runs(script: str, text: str) -> None:
    verdict = included(script)

    assert verdict.error is not None
    assert text in verdict.error.text
    assert [type(action).__name__ for action in verdict.actions] == ["Keep"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\\\\b", "x" * 129, "a\r\nb", "${a}"])
def test_rfc6609_4_unsafe_names_and_variables_are_errors(name: str) -> None:
    assert errors(f'require ["include", "variables"]; include "{name}";')


def test_rfc6609_3_returns_stops_once_and_optional() -> None:
    require = 'require ["include", "variables", "fileinto"]; '
    house = House(scripts=INCLUDES)

    assert decided(require + 'include "returns"; fileinto "x";', house=house) == ["fileinto x"]
    assert decided(require + 'include "stops"; keep;', house=house) == ["discard"]
    assert decided(require + 'include "once"; include :once "once";', house=house) == ["fileinto once"]
    assert decided(require + 'include :optional "nowhere"; discard;', house=house) == ["discard"]
    assert decided(require + "return; discard;", house=house) == ["implicit keep"]
    assert value("a", require + 'set "a" "outer"; include "private";', house=house) == "outer"
    assert errors('require "include"; global "a";')
    keep = run(require + 'include "edits";', house=house).actions[0]
    assert isinstance(keep, Keep)
    assert keep.flags == ("f",)
    assert keep.message is not None
    assert b"X-New: 1" in keep.message.header


def test_rfc7352_duplicates() -> None:
    seen = House(seen={("", "<1@desert.example.org>")})
    once = 'require "duplicate"; if duplicate { discard; }'

    assert decided(once, house=seen) == ["discard"]
    verdict = run(once)
    assert verdict.keeps
    assert verdict.seen == (SeenMark(handle="", unique_id="<1@desert.example.org>", seconds=604800, last=False),)
    assert holds('duplicate :header "message-id"', require=["duplicate"], house=seen)
    before = 'if header :matches "message-id" "*" { }'
    assert holds('duplicate :uniqueid "${0}"', require=["duplicate", "variables"], house=seen, before=before)
    assert not holds('duplicate :handle "h"', require=["duplicate"], house=seen)
    assert not holds("duplicate :seconds 0", require=["duplicate"], house=seen)
    assert not holds('duplicate :header "x-none"', require=["duplicate"], house=seen)
    assert not holds('duplicate :header "bad name:"', require=["duplicate"], house=seen)
    assert errors('require "duplicate"; if duplicate :header "a" :uniqueid "b" { keep; }')
    assert run('require "duplicate"; if duplicate :seconds 999999999 { keep; }').seen[0].seconds == 90 * 86400


def test_rfc7352_3_a_failed_run_records_nothing() -> None:
    verdict = run('require ["duplicate", "ihave"]; if duplicate { } error "no";')

    assert verdict.error is not None
    assert verdict.seen == ()


def edited(script: str, mail: bytes = MAIL) -> EditedMessage:
    action = run(f'require ["editheader", "variables", "regex", "relational"]; {script} keep;', mail).actions[0]
    assert isinstance(action, Keep)
    assert action.message is not None
    return action.message


def test_rfc5293_4_headers_are_added_at_both_ends() -> None:
    script = """if not header :contains "X-Sieve-Filtered" ["<kim@job.example.com>", "<kim@home.example.com>"]
        { addheader "X-Sieve-Filtered" "<kim@job.example.com>"; addheader :last "X-Last" "end"; }"""

    header = edited(script).header

    assert header.startswith(b"X-Sieve-Filtered: <kim@job.example.com>\r\nFrom: ")
    assert header.endswith(b"X-Last: end\r\n")


def test_rfc5293_5_the_first_field_goes_only_if_it_matches() -> None:
    mail = b"Delivered-To: al@x\r\nDelivered-To: bob@example.com\r\nX: 1\r\n\r\n"
    script = 'deleteheader :index 1 :contains "Delivered-To" "bob@example.com";'

    first = run(f'require "editheader"; {script} keep;', mail).actions[0]

    assert isinstance(first, Keep)
    assert first.message is None
    assert edited('deleteheader :index 1 :last "Delivered-To";', mail).header == b"Delivered-To: al@x\r\nX: 1\r\n"
    assert edited('deleteheader :matches "delivered-to" "bob*";', mail).header == b"Delivered-To: al@x\r\nX: 1\r\n"
    assert edited('deleteheader "x";', mail).header == b"Delivered-To: al@x\r\nDelivered-To: bob@example.com\r\n"


def test_rfc5293_edits_are_seen_at_once_and_some_are_passed_over() -> None:
    mail = b"Received: a\r\nX: 1\r\nX: 2\r\nX: 3\r\nAuto-Submitted: no\r\nSubject: s\r\n\r\n"

    assert edited('deleteheader :index 1 "x"; deleteheader :index 2 "x";', mail).header.count(b"X: 2") == 1
    assert edited('deleteheader "subject"; addheader "Subject" "new";', mail).header.startswith(b"Subject: new\r\n")
    verdict = run('require "editheader"; deleteheader "Received"; deleteheader "auto-submitted";', mail)
    assert isinstance(verdict.actions[0], Keep)
    assert verdict.actions[0].message is None
    assert len(verdict.notes) == 2
    assert errors('require "editheader"; addheader "bad name" "x";')
    assert errors('require "editheader"; deleteheader :last "x";')


@pytest.mark.parametrize(
    "text", ["a\r\nEvil: yes", "a\nEvil: yes", "a\0b", "a\r\n\r\nbody", "\u00e9\r\nEvil: x", "x" * 3000]
)
def test_rfc5293_4_no_value_begins_a_second_field(text: str) -> None:
    message = Message(b"From: a@b\r\n", b"").with_field("X-Test", text, last=False)

    fields = Message(message.header, b"").fields
    assert [field.name for field in fields] == ["x-test", "from"]
    assert max(map(len, message.header.split(b"\r\n"))) <= 998
    assert b"\0" not in message.header


def test_rfc5293_4_values_beyond_ascii_come_back_as_they_were() -> None:
    text = "Gr\u00fc\u00dfe " * 60

    message = Message(b"From: a@b\r\n", b"").with_field("Subject", text, last=True)

    assert message.header.isascii()
    assert Message(message.header, b"").values("subject") == (text.strip(),)


def notify(script: str, mail: bytes = MAIL) -> list[Notify]:
    verdict = run(f'require ["enotify", "variables"]; {script}', mail)
    assert verdict.error is None
    return [action for action in verdict.actions if isinstance(action, Notify)]


def test_rfc5435_and_rfc5436_notifications() -> None:
    script = """notify :importance "1" :message "This is probably very important"
        "mailto:alm@example.com?cc=b@example.org&subject=ignored&body=text&X-Level=3&from=evil@example.org&to=ALM@example.com";"""

    found = notify(script)[0]

    assert found.recipients == ("alm@example.com", "b@example.org")
    assert (found.importance, found.message, found.body) == (1, "This is probably very important", "text")
    assert found.headers == (("x-level", "3"),)
    assert decided('require "enotify"; notify "mailto:a@b.example";') == ["notify", "implicit keep"]


def test_rfc5436_2_nobody_is_told_twice_or_in_a_loop() -> None:
    twice = 'notify "mailto:a@b.example"; notify "mailto:a@b.example"; notify "mailto:c@b.example,a@b.example";'

    assert [action.recipients for action in notify(twice)] == [("a@b.example",), ("c@b.example",)]
    assert notify('notify "mailto:a@b.example";', with_field("Auto-Submitted: auto-notified")) == []
    assert notify('notify "mailto:a@b.example";', with_field("Auto-Submitted: (x) auto-replied")) == []
    assert notify('notify "mailto:a@b.example";', with_field("Auto-Submitted: no")) != []
    assert notify('notify "mailto:a@b.example";', with_field("Auto-Submitted: no (by hand)")) != []
    injected = notify('notify :message "a\r\nBcc: x@y" "mailto:a@b.example?subject=x%0D%0ABcc:y@z&X-A=1%0D%0AX-B:2";')[
        0
    ]
    assert "\n" not in injected.message
    assert injected.headers == (("x-a", "1 X-B:2"),)


@pytest.mark.parametrize("uri", ["mailto:", "mailto:nobody", "mailto:a@b.example?x", "mailto:%zz@b", "mailto:a b@c"])
def test_rfc5436_wrong_methods_are_errors(uri: str) -> None:
    assert errors(f'require "enotify"; notify "{uri}";')
    assert not holds(f'valid_notify_method "{uri}"', require=["enotify"])
    assert run(f'require ["enotify", "variables"]; set "u" "{uri}"; notify "${{u}}";').error is not None


def test_rfc5435_5_and_6_tests_and_modifier() -> None:
    assert holds('valid_notify_method "mailto:a@b.example"', require=["enotify"])
    assert holds('notify_method_capability "mailto:a@b.example" "Online" "maybe"', require=["enotify"])
    assert not holds('notify_method_capability "mailto:a@b.example" "other" "maybe"', require=["enotify"])
    assert value("x", 'require ["enotify", "variables"]; set :encodeurl "x" "a b&\u00e9/";') == "a%20b%26%C3%A9%2F"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('if ihave "fileinto" { fileinto "x"; } else { discard; }', "fileinto x"),
        ('if ihave "nothing.such" { nosuch :thing "x"; } else { discard; }', "discard"),
        ('if not ihave "nothing.such" { discard; stop; } nosuch;', "discard"),
        ('if ihave ["fileinto", "nothing.such"] { fileinto "x"; } else { discard; }', "discard"),
        ('if ihave "variables" { keep; } else { discard; }', "discard"),
        ('if allof (ihave "body", body :contains "anvil") { discard; }', "discard"),
    ],
)
def test_rfc5463_4_ihave(script: str, expected: str) -> None:
    assert decided(f'require "ihave"; {script}') == [expected]


def test_rfc5463_errors() -> None:
    assert run('require "ihave"; if ihave "nothing.such" { } nosuch;').error is not None
    failed = run('require "ihave";\n\nerror "sorry";').error
    assert failed is not None
    assert (failed.text, failed.line) == ("sorry", 3)
    assert errors('require "ihave"; fileinto "x"; if ihave "fileinto" { fileinto "y"; }')
    assert errors('require ["ihave", "variables"]; if ihave "${a}" { keep; }')


@pytest.mark.parametrize("branch", ["elsif true;", "else;", "elsif { keep; }", "elsif none { keep; }", "else true {}"])
def test_rfc5463_4_a_branch_that_cannot_be_understood_fails_where_it_is_reached(branch: str) -> None:
    script = 'require "ihave"; if {}ihave "no.such" {{ discard; }} {}'

    assert decided(script.format("not ", branch)) == ["discard"]
    assert run(script.format("", branch)).error is not None


def test_rfc6134_lists() -> None:
    house = House(lists={"urn:friends": ["coyote@desert.example.org"]})

    assert holds('address :list "from" "urn:friends"', require=["extlists"], house=house)
    assert not holds('address :list "to" "urn:friends"', require=["extlists"], house=house)
    assert holds('valid_ext_list "urn:friends"', require=["extlists"], house=house)
    assert not holds('valid_ext_list ["urn:friends", "urn:x"]', require=["extlists"], house=house)
    action = run('require "extlists"; redirect :list "urn:friends";').actions[0]
    assert isinstance(action, Redirect)
    assert (action.list_name, action.address) == ("urn:friends", "")


def test_rfc8580_copies_of_replies_are_filed() -> None:
    require = 'require ["vacation", "fcc", "mailbox", "imap4flags", "enotify", "special-use"]; '

    action = vacate(require + 'vacation :fcc "Sent" :create :flags ["\\\\Seen", "x"] "away";')

    assert action.fcc is not None
    assert (str(action.fcc.folder), action.fcc.create, action.fcc.flags) == ("Sent", True, ("\\Seen", "x"))
    told = run(require + 'notify :fcc "Sent" :specialuse "\\\\Sent" "mailto:a@b.example";').actions[0]
    assert isinstance(told, Notify)
    assert told.fcc is not None
    assert told.fcc.special_use == "\\Sent"
    assert errors(require + 'vacation :create "x";')


def test_rfc6009_delivery_reports() -> None:
    envelope = Envelope(notify="SUCCESS,DELAY", orcpt="rfc822;a@b", ret="HDRS", envid="QQ314")
    require = ["envelope", "envelope-dsn"]

    assert holds('envelope "notify" "delay"', require=require, context=context_for(envelope=envelope))
    assert holds('envelope :all "orcpt" "rfc822;a@b"', require=require, context=context_for(envelope=envelope))
    assert holds('envelope "envid" "QQ314"', require=require, context=context_for(envelope=envelope))
    assert not holds('envelope :contains "ret" ""', require=require, context=context_for(envelope=Envelope()))
    action = run('require "redirect-dsn"; redirect :notify "never" :ret "hdrs" "a@b.example";').actions[0]
    assert isinstance(action, Redirect)
    assert (action.notify, action.ret) == ("NEVER", "HDRS")
    assert errors('require "redirect-dsn"; redirect :notify "NEVER,DELAY" "a@b.example";')


def test_vendor_extensions() -> None:
    script = """require ["vnd.dovecot.debug", "vnd.dovecot.report"]; debug_log "hello\r\nthere";
        report :headers_only "abuse" "spam" "abuse@example.org";"""

    assert decided(script) == ["debug", "report", "implicit keep"]


def test_the_reason_of_a_reject_is_exact() -> None:
    action = run('require "reject"; reject text:\nLine 1\n..\n.\n;').actions[0]

    assert isinstance(action, Reject)
    assert action.reason == "Line 1\r\n.\r\n"


def test_the_time_is_asked_once() -> None:
    context = Context(Message.parse(MAIL), now=NOW + 86400)

    assert holds('currentdate "day" "02"', require=["date"], context=context)


def test_rfc5435_3_1_a_method_that_nobody_knows_fails_when_it_is_used() -> None:
    script = """require "enotify";
        if notify_method_capability "xmpp:tim@example.com?message;subject=SIEVE" "Online" "yes"
        { notify :importance "1" :message "You got mail" "xmpp:tim@example.com?message;subject=SIEVE"; }
        else { notify :message "You got mail" "tel:+14085551212"; }"""

    assert errors(script) == []
    assert run(script).error is not None
