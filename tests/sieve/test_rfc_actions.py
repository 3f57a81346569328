"""Replies, refusals, folders, includes, edits, notifications, parts: the examples of their RFCs, by section."""

import pytest

from msgstore.model.folder import FolderName
from msgstore.sieve import (
    FileInto,
    Keep,
    Scan,
)
from tests.sieve.room import MAIL, House, context_for, decided, errors, holds, run, vacate


def test_rfc5230_4_8_a_reply_says_what_it_answers_and_keeps_the_mail() -> None:
    script = """require "vacation";
vacation :days 23 :addresses ["tjs@example.edu", "ts4z@landru.example.edu"]
"I'm away until October 19.
If it's an emergency, call 911, I guess." ;"""

    action = vacate(script)

    assert action.to == "coyote@desert.example.org"
    assert action.seconds == 23 * 86400
    assert action.subject == "Auto: I have a present for you"
    assert action.in_reply_to == "<1@desert.example.org>"
    assert action.references == ("<1@desert.example.org>",)
    assert action.reason == "I'm away until October 19.\r\nIf it's an emergency, call 911, I guess."
    assert decided(script) == ["vacate", "implicit keep"]


def test_rfc5230_4_2_handles_name_responses_before_variables_are_put_in() -> None:
    head = 'require ["vacation", "variables"]; if header :matches "subject" "*" { } '
    first = vacate(head + 'vacation :subject "Automatic response to: ${1}" "away";')
    again = vacate(
        head + 'vacation :subject "Automatic response to: ${1}" "away";', MAIL.replace(b"a present", b"another")
    )
    other = vacate(head + 'vacation "I cannot";')
    named = [vacate(head + f'vacation :handle "ran-away" "{text}";').handle for text in ("a", "b")]

    assert first.handle == again.handle
    assert first.subject != again.subject
    assert first.handle != other.handle
    assert named[0] == named[1] != first.handle


def test_rfc5230_4_2_arguments_do_not_run_together() -> None:
    one = vacate('require "vacation"; vacation :subject "ab" "c";')
    two = vacate('require "vacation"; vacation :subject "a" "bc";')

    assert one.handle != two.handle


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [("", 7 * 86400), (":days 0", 86400), (":days 1000", 90 * 86400), (":seconds 1800", 1800), (":seconds 0", 0)],
)
def test_rfc5230_4_1_and_rfc6131_periods(tag: str, seconds: int) -> None:
    assert vacate(f'require "vacation-seconds"; vacation {tag} "x";').seconds == seconds


def test_rfc6131_days_and_seconds_exclude_one_another() -> None:
    assert errors('require "vacation-seconds"; vacation :days 1 :seconds 5 "x";')
    assert errors('require "vacation"; vacation :seconds 5 "x";')


def test_rfc5230_4_7_a_second_vacation_and_a_reject_are_errors() -> None:
    require = 'require ["vacation", "reject"]; '

    assert run(require + 'vacation "a"; vacation "b";').error is not None
    assert run(require + 'vacation "a"; reject "b";').error is not None
    assert run(require + 'reject "b"; vacation "a";').error is not None


def test_rfc5230_4_3_and_4_4_from_and_mime() -> None:
    action = vacate(
        'require "vacation"; vacation :from "Me <me@example.org>" :mime text:\nContent-Type: text/html\n\nx\n.\n;'
    )

    assert (action.sender, action.is_mime) == ("Me <me@example.org>", True)
    assert errors('require "vacation"; vacation :from "nobody" "x";')
    assert errors('require "vacation"; vacation :mime "X: \u00e9\r\n\r\nx";')


@pytest.mark.parametrize("name", ["reject", "ereject"])
def test_rfc5429_refusals_carry_their_reason(name: str) -> None:
    script = f'require "{name}"; if header :contains "from" "coyote" {{ {name} "I am not taking mail from you"; }}'

    assert decided(script) == [name]


@pytest.mark.parametrize("other", ["keep", 'fileinto "a"', 'redirect "a@b.example"', 'reject "x"', 'ereject "x"'])
@pytest.mark.parametrize("order", [0, 1])
def test_rfc5429_2_4_refusals_stand_alone(other: str, order: int) -> None:
    pair = ['reject "no"', other] if order else [other, 'reject "no"']

    verdict = run(f'require ["reject", "ereject", "fileinto"]; {pair[0]}; {pair[1]};')

    assert verdict.error is not None
    assert verdict.actions == (Keep(flags=(), message=None, implicit=True, script="test"),)


def test_rfc5490_3_mailboxes() -> None:
    house = House(folders=("INBOX", "Partners"))

    assert holds('mailboxexists ["INBOX", "Partners"]', require=["mailbox"], house=house)
    assert not holds('mailboxexists ["Partners", "Nope"]', require=["mailbox"], house=house)
    assert not holds('mailboxexists "../../x"', require=["mailbox"], house=house)
    action = run('require ["mailbox", "fileinto"]; fileinto :create "Partners/MS";').actions[0]
    assert isinstance(action, FileInto)
    assert (action.folder, action.create) == (FolderName(("Partners", "MS")), True)


def test_rfc5490_4_and_5_annotations() -> None:
    house = House(annotations={("INBOX", "/private/x"): "yes", ("", "/shared/y"): "*"})

    assert holds('metadata "INBOX" "/private/x" "YES"', require=["mboxmetadata"], house=house)
    assert not holds('metadata :contains "INBOX" "/private/z" ""', require=["mboxmetadata"], house=house)
    assert holds('metadataexists "INBOX" ["/private/x"]', require=["mboxmetadata"], house=house)
    assert not holds('metadataexists "INBOX" ["/private/x", "/private/z"]', require=["mboxmetadata"], house=house)
    assert holds('servermetadata "/shared/y" "*"', require=["servermetadata"], house=house)
    assert not holds('servermetadataexists "/shared/z"', require=["servermetadata"], house=house)


def test_rfc8579_special_use() -> None:
    house = House(folders=("INBOX", "Spam"), uses={"Spam": "\\Junk"})

    assert holds('specialuse_exists "\\\\Junk"', require=["special-use"], house=house)
    assert holds('specialuse_exists "Spam" "\\\\junk"', require=["special-use"], house=house)
    assert not holds('specialuse_exists "INBOX" "\\\\Junk"', require=["special-use"], house=house)
    assert not holds('specialuse_exists ["\\\\Junk", "\\\\Sent"]', require=["special-use"], house=house)
    action = run('require ["special-use", "fileinto"]; fileinto :specialuse "\\\\Junk" "Spam";').actions[0]
    assert isinstance(action, FileInto)
    assert action.special_use == "\\Junk"
    assert errors('require ["special-use", "fileinto"]; fileinto :specialuse "Junk" "Spam";')


def test_rfc9042_mailbox_ids() -> None:
    house = House(ids={"F6352ae03": "Lists"})

    assert holds('mailboxidexists "F6352ae03"', require=["mailboxid"], house=house)
    assert not holds('mailboxidexists ["F6352ae03", "X"]', require=["mailboxid"], house=house)
    action = run('require ["mailboxid", "fileinto"]; fileinto :mailboxid "F6352ae03" "INBOX/x";').actions[0]
    assert isinstance(action, FileInto)
    assert action.mailbox_id == "F6352ae03"


@pytest.mark.parametrize(
    ("percent", "test", "expected"),
    [
        (None, 'spamtest :value "eq" :comparator "i;ascii-numeric" "0"', True),
        (0.0, 'spamtest :value "eq" :comparator "i;ascii-numeric" "1"', True),
        (100.0, 'spamtest :value "ge" :comparator "i;ascii-numeric" "10"', True),
        (50.0, 'spamtest :value "ge" :comparator "i;ascii-numeric" "3"', True),
        (37.4, 'spamtest :percent :value "eq" :comparator "i;ascii-numeric" "37"', True),
        (0.0, 'spamtest :percent :count "eq" "1"', True),
        (None, 'spamtest :percent :count "eq" "0"', True),
        (20.0, 'spamtest :percent :value "gt" :comparator "i;ascii-numeric" "85"', False),
    ],
)
def test_rfc5235_spam(percent: float | None, test: str, *, expected: bool) -> None:
    context = context_for()
    context.scan = Scan(spam_percent=percent)

    require = ["spamtestplus", "relational", "comparator-i;ascii-numeric"]
    assert holds(test, require=require, context=context) is expected


@pytest.mark.parametrize(("virus", "key"), [(None, "0"), (1, "1"), (4, "4"), (9, "5")])
def test_rfc5235_virus(virus: int | None, key: str) -> None:
    context = context_for()
    context.scan = Scan(virus=virus)

    assert holds(f'virustest "{key}"', require=["virustest"], context=context)


def test_rfc5235_the_value_is_one_string_and_percent_is_required() -> None:
    assert errors('require "spamtest"; if spamtest ["0", "1"] { keep; }')
    assert errors('require "spamtest"; if spamtest :percent "0" { keep; }')


def test_rfc5235_a_forged_header_means_nothing() -> None:
    assert holds('spamtest "0"', b"X-Spam-Score: 100\r\n" + MAIL, require=["spamtest"])
