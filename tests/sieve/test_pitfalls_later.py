"""Places where evaluators of Sieve go wrong, from the twentieth on."""

from itertools import pairwise

import pytest

from msgstore.sieve import (
    Context,
    Envelope,
    Keep,
    Message,
    Owner,
    Redirect,
    ScriptIsBroken,
    Vacate,
    evaluate,
)
from tests.sieve.room import ENGINE, ENVELOPE, MAIL, House, context_for, decided, errors, holds, run

ALL = 'require ["fileinto", "copy", "reject", "vacation", "enotify", "imap4flags", "variables", "editheader"]; '


def test_20_two_tests_in_one_run_give_the_same_answer() -> None:
    class Moody(House):
        def seen_before(self, question: object) -> bool:  # noqa: ARG002
            self.items = {**self.items, str(len(self.items)): ""}
            return len(self.items) > 1

    script = 'require ["duplicate", "fileinto"]; if duplicate { fileinto "a"; } if duplicate { fileinto "b"; }'

    assert decided(script, house=Moody()) == ["implicit keep"]


def test_21_flags_are_kept_over_includes_and_scripts() -> None:
    context = context_for()
    evaluate(ENGINE, ENGINE.compile(ALL + 'setflag "\\\\Seen $x \\\\seen";'), context.child())

    keep = evaluate(ENGINE, ENGINE.compile("keep;"), context.child()).actions[0]

    assert isinstance(keep, Keep)
    assert keep.flags == ("\\Seen", "$x")


@pytest.mark.parametrize("name", ["../../x", "INBOX/", "a//b", "a/./b", "a\\r\r\nb", "/a", "a\x7fb", "${bad}"])
def test_22_names_that_no_folder_can_have_end_in_the_keep(name: str) -> None:
    script = f'require ["fileinto", "variables", "encoded-character"]; set "bad" "${{hex:ff}}"; fileinto "{name}";'

    verdict = run(script)

    assert verdict.error is not None
    assert verdict.actions == (Keep(implicit=True, script="test"),)


@pytest.mark.parametrize("name", ["inbox", "InBox", ""])
def test_22_the_inbox_is_found_in_any_case(name: str) -> None:
    assert decided(f'require "fileinto"; fileinto "{name}";') == ["fileinto INBOX"]


@pytest.mark.parametrize(
    "field",
    [
        "List-Id: <x.example>",
        "List-Post: <mailto:x@y>",
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated; x=y",
        "Precedence: bulk",
        "Precedence: LIST",
        "Precedence: junk",
        "X-Auto-Response-Suppress: OOF, DR",
    ],
)
def test_23_programs_and_lists_get_no_reply(field: str) -> None:
    verdict = run('require "vacation"; vacation "away";', field.encode() + b"\r\n" + MAIL)

    assert [type(action) for action in verdict.actions] == [Keep]
    assert verdict.notes


@pytest.mark.parametrize("value", ["no", "No", "no (by hand)", "(by hand) no", "no; x=y", ""])
def test_23_a_message_that_says_it_is_not_automatic_is_answered(value: str) -> None:
    verdict = run('require "vacation"; vacation "away";', f"Auto-Submitted: {value}\r\n".encode() + MAIL)

    assert [type(action) for action in verdict.actions] == [Vacate, Keep]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "<>",
        None,
        "MAILER-DAEMON@x.example",
        "owner-list@x.example",
        "list-request@x.example",
        "majordomo@x",
        "LISTSERV@x",
        "roadrunner@acme.example.com",
        "no-reply@x.example",
        "not an address",
    ],
)
def test_23_some_senders_get_no_reply(path: str | None) -> None:
    envelope = Envelope(reverse_path=path, forward_path="roadrunner@acme.example.com")

    verdict = run('require "vacation"; vacation "away";', context=context_for(envelope=envelope))

    assert [type(action) for action in verdict.actions] == [Keep]


@pytest.mark.parametrize("field", ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"])
def test_23_the_user_must_be_named_as_a_recipient(field: str) -> None:
    there = f"{field}: x@y.example, Me <ROADRUNNER@acme.example.com>\r\n\r\n".encode()
    elsewhere = b"To: list@y.example\r\n\r\n"

    assert decided('require "vacation"; vacation "away";', there)[0] == "vacate"
    assert decided('require "vacation"; vacation "away";', elsewhere) == ["implicit keep"]
    assert decided('require "vacation"; vacation :addresses "list@y.example" "x";', elsewhere)[0] == "vacate"


def test_24_reject_stays_reject() -> None:
    assert decided('require ["reject", "ereject"]; reject "a";') == ["reject"]


@pytest.mark.parametrize(
    ("path", "test", "expected"),
    [
        ("<@a,@b:x@y>", 'envelope "from" "x@y"', True),
        ('""@x', 'envelope :contains "from" ""', False),
        ("x y", 'envelope :contains "from" ""', False),
        ("<>", 'envelope :domain "from" ""', True),
        ("a@b", 'envelope :domain "from" "B"', True),
        ("postmaster", 'envelope :localpart "from" "postmaster"', True),
    ],
)
def test_25_paths_of_the_envelope(path: str, test: str, *, expected: bool) -> None:
    context = context_for(envelope=Envelope(reverse_path=path))

    assert holds(test, require=["envelope"], context=context) is expected


def test_26_separators_have_several_characters() -> None:
    context = Context(Message(b"To: a--b-c@d\r\n"), owner=Owner(separator="--"))

    assert holds('address :detail "to" "b-c"', require=["subaddress"], context=context)


def test_27_and_28_are_with_their_rfcs_and_a_vanished_script_fails_in_the_run() -> None:
    house = House(scripts={})
    verdict = run('require "include"; include "gone";', house=house)

    assert verdict.error is not None

    class Broken(House):
        def script(self, name: str, *, is_global: bool) -> ScriptIsBroken:  # noqa: ARG002
            return ScriptIsBroken("it cannot be read")

    broken = run('require "include"; include :optional "gone";', house=Broken())
    assert broken.error is not None
    assert "cannot be read" in broken.error.text


STEPS = ("keep;", 'fileinto "a";', "discard;", "stop;", 'error "x";', 'addheader "X-A" "1";', 'setflag "f";')


@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("second", STEPS)
def test_29_the_next_script_runs_while_the_keep_stands(first: str, second: str) -> None:
    context = context_for()
    head = 'require ["fileinto", "ihave", "editheader", "imap4flags", "variables"]; '
    before = evaluate(ENGINE, ENGINE.compile(head + 'set "v" "1"; ' + first, name="before"), context.child())

    assert before.keeps is (first in ("stop;", 'addheader "X-A" "1";', 'setflag "f";'))
    if not before.keeps:
        return
    check = 'if string "${v}" "1" { error "variables are carried"; } '
    verdict = evaluate(ENGINE, ENGINE.compile(head + check + second, name="personal"), context.child())
    assert verdict.error is None or second == 'error "x";'
    if verdict.error is None and isinstance(verdict.actions[-1], Keep):
        wants_flags = "setflag" in first or "setflag" in second
        assert verdict.actions[-1].flags == (("f",) if wants_flags else ())
        assert (verdict.actions[-1].message is not None) is ("addheader" in first or "addheader" in second)


def test_29_global_variables_are_shared_with_included_scripts_only() -> None:
    context = context_for()
    head = 'require ["include", "variables", "ihave"]; global "g"; '
    evaluate(ENGINE, ENGINE.compile(head + 'set "g" "1";'), context.child())

    verdict = evaluate(ENGINE, ENGINE.compile(head + 'if string "${g}" "1" { error "carried"; }'), context.child())

    assert verdict.error is None


def test_29_an_error_leaves_what_earlier_scripts_decided() -> None:
    context = context_for()
    evaluate(ENGINE, ENGINE.compile(ALL + 'fileinto :copy "archive";', name="before"), context.child())

    verdict = evaluate(ENGINE, ENGINE.compile('require "ihave"; error "x";', name="personal"), context.child())

    assert [type(action).__name__ for action in verdict.actions] == ["FileInto", "Keep"]
    assert verdict.error is not None
    assert verdict.error.script == "personal"


def test_30_to_32_are_with_their_rfcs() -> None:
    assert errors('require "enotify"; notify "mailto:x";')
    assert errors('require ["fileinto", "no.such"];')
    assert errors('fileinto "x";')


def test_34_an_error_says_nothing_of_the_message() -> None:
    verdict = run(ALL + 'if header :matches "subject" "*" { redirect "${1}"; }')

    assert verdict.error is not None
    assert "script" not in str(verdict.notes)


def test_34_programs_are_cached_by_content_engine_and_extensions() -> None:
    assert ENGINE.cache_key("keep;") == ENGINE.cache_key(b"keep;") != ENGINE.cache_key("keep; ")
    for one, other in pairwise(["keep;", "discard;", "stop;"]):
        assert ENGINE.cache_key(one) != ENGINE.cache_key(other)
    assert isinstance(ENVELOPE, Envelope)
    assert Redirect.cancels_keep
