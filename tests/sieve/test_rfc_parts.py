"""The body and the parts of messages: RFC 5173 and RFC 5703, by section."""

import pytest

from msgstore.sieve import Context, FileInto, Keep, Message
from tests.sieve.room import decided, errors, holds, run, value

MULTI = b"""From: a@b.example\r
Subject: parts\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=foo\r
\r
the preamble\r
--foo\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
Gr=FC=DFe mit MAKE MONEY FAST\r
--foo\r
Content-Type: text/html\r
Content-Transfer-Encoding: base64\r
\r
PGI+SGVsbG88L2I+IDxzY3JpcHQ+c2VjcmV0PC9zY3JpcHQ+d29ybGQ=\r
--foo\r
Content-Type: message/rfc822\r
\r
From: inner@b.example\r
Subject: inside\r
Content-Type: application/x-test; name="evil.exe"\r
Content-Disposition: attachment; filename="evil.exe"\r
\r
the innermost\r
--foo--\r
the epilogue\r
"""


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('body :raw :contains "=FC=DFe"', True),
        ('body :raw :contains "Gr\u00fc\u00dfe"', False),
        ('body :text :contains "Gr\u00fc\u00dfe"', True),
        ('body :contains "hello"', True),
        ('body :contains "secret"', False),
        ('body :content "text" :contains "make money fast"', True),
        ('body :content "text/html" :contains "<b>hello"', True),
        ('body :content "text/plain" :contains "hello"', False),
        ('body :content "tex" :contains ""', False),
        ('body :content "text/" :contains ""', False),
        ('body :content "/plain" :contains ""', False),
        ('body :content "a/b/c" :contains ""', False),
        ('body :content "multipart" :contains "the preamble"', True),
        ('body :content "multipart/mixed" :contains "the epilogue"', True),
        ('body :content "multipart" :contains "hello"', False),
        ('body :content "message/rfc822" :contains "Subject: inside"', True),
        ('body :content "message" :contains "innermost"', False),
        ('body :content "application" :contains "innermost"', True),
        ('body :content "" :contains "innermost"', True),
        ('body :content ["image", "video"] :contains ""', False),
        ('body :content "text" :count "eq" "2"', True),
    ],
)
def test_rfc5173_5_transforms(test: str, *, expected: bool) -> None:
    assert holds(test, MULTI, require=["body", "relational"]) is expected


def test_rfc5173_6_a_body_sets_no_match_variables() -> None:
    script = """require ["body", "variables"]; if header :matches "subject" "*" { }
        if body :raw :matches "*preamble*" { set "x" "${1}"; }"""

    assert value("x", script, MULTI) == "parts"


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Type: text/plain; charset=nonsense\r\n\r\nhello \xff\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsb!!!G8=\r\n",
        b"Content-Type: text/plain; charset=utf-16\r\n\r\nh\r\nhello",
    ],
)
def test_rfc5173_broken_contents_are_no_errors(body: bytes) -> None:
    assert run('require "body"; if body :contains "nothing here" { discard; }', body).error is None


def test_a_sealed_message_shows_its_octets_alone_and_the_trace_says_so() -> None:
    message = Message(MULTI.partition(b"\r\n\r\n")[0] + b"\r\n", MULTI.partition(b"\r\n\r\n")[2], sealed=True)
    context = Context(message, trace=True)
    script = """require ["body", "fileinto"]; if body :contains "hello" { fileinto "no"; }
        if body :contains "=FC=DFe" { fileinto "octets"; }"""

    verdict = run(script, context=context)

    assert [str(action.folder) for action in verdict.actions if isinstance(action, FileInto)] == ["octets"]
    assert any("sealed" in note for note in verdict.notes)
    assert any(step.kind == "note" and "sealed" in step.outcome for step in verdict.trace)


REQUIRE = (
    'require ["foreverypart", "mime", "extracttext", "variables", "fileinto", "replace", "enclose", "imap4flags"]; '
)


def test_rfc5703_3_every_part_is_visited_and_loops_can_be_left() -> None:
    script = """foreverypart { if header :mime :matches "Content-Type" "*" { set "x" "${x}|${1}"; }
        if header :mime :type "Content-Type" "message" { set "seen" "yes"; } }"""

    assert value("seen", REQUIRE + script, MULTI) == "yes"
    assert value("x", REQUIRE + script, MULTI).count("|") == 5
    inner = """foreverypart :name "outer" { foreverypart { set "x" "${x}1"; break :name "outer"; } set "x" "${x}2"; }"""
    assert value("x", REQUIRE + inner, MULTI) == "1"
    plain = 'foreverypart { set "x" "${x}1"; break; } set "x" "${x}2";'
    assert value("x", REQUIRE + plain, MULTI) == "12"
    assert run(REQUIRE + 'foreverypart { break :name "nowhere"; }', MULTI).error is not None


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('header :mime :type "Content-Type" "multipart"', True),
        ('header :mime :subtype "Content-Type" "mixed"', True),
        ('header :mime :contenttype "Content-Type" "multipart/mixed"', True),
        ('header :mime :param "boundary" "Content-Type" "foo"', True),
        ('header :mime :anychild :contenttype "Content-Type" "text/html"', True),
        ('header :mime :anychild :param ["filename", "name"] ["Content-Type", "Content-Disposition"] "EVIL.exe"', True),
        ('header :mime :contenttype "Content-Type" "text/html"', False),
        ('header :mime :anychild :type "Content-Disposition" "attachment"', True),
        ('header :mime :anychild :subtype "Content-Disposition" ""', True),
        ('address :mime :anychild "from" "inner@b.example"', True),
        ('address "from" "inner@b.example"', False),
        ('exists :mime :anychild "Content-Disposition"', True),
        ('exists "Content-Disposition"', False),
        ('header :mime :type "Subject" ""', True),
        ('header :mime :contenttype "Subject" "parts"', False),
    ],
)
def test_rfc5703_4_headers_of_parts(test: str, *, expected: bool) -> None:
    assert holds(test, MULTI, require=["mime"]) is expected


def test_rfc5703_7_text_is_extracted() -> None:
    script = """foreverypart { if header :mime :contenttype "Content-Type" "text/plain" {
        extracttext :upper :first 5 "x"; extracttext "y"; break; } }"""

    assert value("x", REQUIRE + script, MULTI) == "GR\u00fc\u00dfE"
    assert value("y", REQUIRE + script, MULTI) == "Gr\u00fc\u00dfe mit MAKE MONEY FAST"


@pytest.mark.parametrize(
    "script",
    [
        'extracttext "x";',
        "break;",
        'foreverypart { extracttext "1"; }',
        "foreverypart;",
        'if header :anychild "a" "b" {}',
        'if header :type "a" "b" {}',
        'if header :mime :type :subtype "a" "b" {}',
    ],
)
def test_rfc5703_what_stands_in_the_wrong_place_is_an_error(script: str) -> None:
    assert errors(REQUIRE + script)


def replaced(script: str) -> Message:
    action = run(REQUIRE + script + " keep;", MULTI).actions[0]
    assert isinstance(action, Keep)
    assert action.message is not None
    assert action.message.body is not None
    return Message(action.message.header, action.message.body)


def test_rfc5703_5_parts_are_replaced_and_the_rest_stays() -> None:
    script = """foreverypart { if header :mime :anychild :param "filename" "Content-Disposition" "evil.exe" {
        if header :mime :contenttype "Content-Type" "application/x-test" { replace "gone\r\n"; } }
        if header :mime :contenttype "Content-Type" "text/html" { replace :mime text:
Content-Type: text/plain
X-Evil: yes

no markup
.
; } }"""

    message = replaced(script)

    assert message.values("subject") == ("parts",)
    assert b"innermost" not in message.body()
    assert b"gone\r\n" in message.body()
    assert b"X-Evil" not in message.body()
    assert holds(
        'body :content "text" :contains "no markup"', message.header + b"\r\n" + message.body(), require=["body"]
    )
    assert holds('body :contains "Gr\u00fc\u00dfe"', message.header + b"\r\n" + message.body(), require=["body"])


def test_rfc5703_5_a_whole_message_is_replaced() -> None:
    message = replaced('replace :subject "new\r\nX-Evil: 1" :from "x@y.example" "only this";')

    assert message.values("subject") == ("new X-Evil: 1",)
    assert message.values("x-evil") == ()
    assert message.values("from") == ("x@y.example",)
    assert message.values("content-type") == ("text/plain; charset=utf-8",)
    assert message.body() == b"only this\r\n"


def test_rfc5703_6_a_message_is_enclosed() -> None:
    message = replaced('enclose :subject "Warning" :headers ["X-Note: read\r\nX-Evil: 1"] "Take care";')

    whole = message.header + b"\r\n" + message.body()
    assert message.values("subject") == ("Warning",)
    assert message.values("x-note") == ("read X-Evil: 1",)
    assert message.values("x-evil") == ()
    assert holds('body :content "text/plain" :contains "Take care"', whole, require=["body"])
    assert holds('header :mime :anychild "subject" "parts"', whole, require=["mime"])


def test_edits_and_replacements_reach_the_next_test() -> None:
    script = 'require ["replace", "body"]; replace "needle"; if body :contains "needle" { discard; }'

    assert decided(script, MULTI) == ["discard"]


def test_a_bomb_of_parts_ends_within_the_budget() -> None:
    mail = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000 + b"--b--\r\n"
    script = 'foreverypart { foreverypart { set "x" "${x}1"; } }'

    verdict = run(REQUIRE + script, mail)

    assert len(verdict.actions) == 1
