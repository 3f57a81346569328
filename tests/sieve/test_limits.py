"""Limits of a run, and runs of anything on anything."""

from hypothesis import given, settings
from hypothesis import strategies as st

from msgstore.sieve import (
    Context,
    FileInto,
    Keep,
    Level,
    LimitReached,
    Limits,
    Message,
    default_engine,
    drive,
    evaluate,
)
from tests.sieve.room import ENGINE, MAIL, House, context_for, run

LOOP = 'require ["foreverypart", "variables"]; foreverypart { set "a" "${a}${a}x"; }'


def test_the_budget_ends_a_run_and_the_mail_is_kept() -> None:
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 900
    context = Context(Message.parse(many), limits=Limits(operations=500))

    verdict = evaluate(ENGINE, ENGINE.compile(LOOP), context)

    assert isinstance(verdict.error, LimitReached)
    assert verdict.actions == (Keep(implicit=True),)


def test_time_that_is_up_ends_a_run() -> None:
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 900
    context = Context(Message.parse(many), expired=lambda: True)

    assert isinstance(evaluate(ENGINE, ENGINE.compile(LOOP), context).error, LimitReached)


def test_a_context_takes_the_limits_of_its_engine_unless_it_has_its_own() -> None:
    engine = default_engine(limits=Limits(actions=1, operations=2000))
    program = engine.compile('require "fileinto"; fileinto "a"; fileinto "b";')
    theirs, own = context_for(), Context(Message.parse(MAIL), limits=Limits())

    assert isinstance(evaluate(engine, program, theirs).error, LimitReached)
    assert 0 < theirs.result.left < 2000
    assert evaluate(engine, program, own).error is None


def test_question_marks_cost_what_they_may_take() -> None:
    pattern = "*" + "a?" * 5000 + "b*"
    mail = b"Subject: " + b"a" * 30_000 + b"\r\n\r\n"

    verdict = run(f'if header :matches "subject" "{pattern}" {{ discard; }}', mail)

    assert isinstance(verdict.error, LimitReached)


def test_too_many_actions_are_an_error() -> None:
    script = 'require "fileinto";' + "".join(f'fileinto "f{number}";' for number in range(33))

    assert isinstance(run(script).error, LimitReached)
    assert run(script.replace('fileinto "f32";', "")).error is None


def test_includes_have_a_depth_and_a_number() -> None:
    deep = {f"s{number}": f'require "include"; include "s{number + 1}";' for number in range(12)}
    wide = {"leaf": "", "main": ""}

    assert isinstance(run('require "include"; include "s0";', house=House(scripts=deep)).error, LimitReached)
    many = 'require "include";' + 'include "leaf";' * 256
    assert isinstance(run(many, house=House(scripts=wide)).error, LimitReached)


def test_the_body_is_read_only_when_it_is_asked_for() -> None:
    def unread() -> bytes:
        raise AssertionError

    context = Context(Message(b"Subject: x\r\n", unread, octets=5000))

    verdict = evaluate(ENGINE, ENGINE.compile('if allof (header "subject" "x", size :over 4K) { discard; }'), context)

    assert verdict.error is None
    assert not verdict.keeps


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.text(max_size=40))
def test_no_message_and_no_key_makes_a_run_raise(mail: bytes, key: str) -> None:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "").encode("utf-8", "replace").decode()
    script = f"""require ["variables", "body", "mime", "foreverypart", "extracttext", "date", "index",
        "editheader", "fileinto",

        "relational", "regex", "envelope", "vacation", "enotify", "subaddress", "replace", "enclose", "duplicate"];
        if header :matches ["subject", "from", "content-type"] ["*{quoted}*", "*?*"] {{ set "a" "${{1}}${{2}}"; }}
        if address :detail :contains ["from", "to"] "{quoted}" {{ set "b" "1"; }}
        if anyof (body :contains "{quoted}", body :raw :matches "*a?", date :originalzone "date" "year" "1",
            header :mime :anychild :param "name" "content-type" "x", header :count "ge" "received" "1", duplicate) {{ }}
        addheader "X-A" "${{a}}{quoted}"; deleteheader :matches "subject" "*{quoted}*";
        foreverypart {{ extracttext :first 10 "t"; replace "${{t}}"; }}
        vacation :subject "${{a}}" "${{t}}"; notify :message "${{a}}" "mailto:a@b.example";
        enclose :subject "${{a}}" "x"; if string :regex "${{a}}" "^.*$" {{ fileinto "${{a}}"; }}"""
    for envelope_path in ("a@b.example", "<>", key):
        context = context_for(mail)
        context.envelope = type(context.envelope)(reverse_path=envelope_path, forward_path=key)

        verdict = drive(ENGINE.run(ENGINE.compile(script), context), House())

        assert verdict.actions
        for action in verdict.actions:
            if isinstance(action, Keep | FileInto) and action.message is not None:
                assert action.message.header.count(b"\nX-A:") <= 1
                assert b"\0" not in action.message.header or b"\0" in mail


WORDS = st.sampled_from(
    [
        '"a"',
        '"${x}"',
        '"${1}"',
        '"subject"',
        '"*a*"',
        '["from", "x-a"]',
        "3",
        ":is",
        ":contains",
        ":matches",
        ":last",
        ":mime",
    ]
)


def written(name: str, words: list[str], end: str) -> str:
    return f"{name} {' '.join(words)}{end}"


STATEMENTS = st.builds(
    written,
    st.sampled_from(
        [
            *(
                "keep",
                "discard",
                "fileinto",
                "set",
                "addheader",
                "deleteheader",
                "setflag",
                "redirect",
                "stop",
                "return",
            ),
            *("if header", "if not exists", "if string", "foreverypart", "extracttext", "break", "replace", "error"),
        ]
    ),
    st.lists(WORDS, max_size=4),
    st.sampled_from([";", "{ keep; }", '{ set "x" "${x}a"; }']),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(STATEMENTS, max_size=8), st.binary(max_size=200))
def test_random_programs_on_random_messages_end_in_a_verdict(statements: list[str], mail: bytes) -> None:
    head = ", ".join(f'"{name}"' for name in ENGINE.capabilities)
    good: list[str] = []
    for statement in statements:
        found = ENGINE.check(f"require [{head}]; {' '.join(good)} {statement}")
        if all(item.level is Level.WARNING for item in found):
            good.append(statement)

    verdict = run(f"require [{head}]; {' '.join(good)}", mail or MAIL)

    assert verdict.error is None or verdict.error.text
    assert verdict.keeps is False or isinstance(verdict.actions[-1], Keep)
