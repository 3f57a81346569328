"""Examples of RFC 5228, 3894, 5173, 5183 and 5229, written as they stand there, with what they do to a message."""

import pytest

from msgstore.sieve import (
    Context,
    Envelope,
    Message,
)
from tests.sieve.room import (
    MAIL,
    House,
    context_for,
    decided,
    holds,
)


@pytest.mark.parametrize(
    "script",
    [
        "if size :over 100k { # this is a comment\n             discard;\n          }",
        """if size :over 100K { /* this is a comment
             this is still a comment */ discard /* this is a comment
             */ ;
          }""",
    ],
)
def test_rfc5228_2_3_comments_are_passed_over(script: str) -> None:
    assert decided(script) == ["implicit keep"]
    assert decided(script, context=Context(Message(b"", b"", octets=100 * 1024 + 1))) == ["discard"]


@pytest.mark.parametrize(
    ("script", "mail", "expected"),
    [
        ("if not size :under 1M { discard; }", MAIL, "implicit keep"),
        ('if header :contains ["from"] ["idiot@example.com"] { discard; }', b"From: idiot@example.com\r\n", "discard"),
        ('if header :contains ["from"] ["idiot@example.com"] { discard; }', MAIL, "implicit keep"),
        ('if address :is :all "from" "tim@example.com" { discard; }', b"From: Tim <tim@example.com>\r\n", "discard"),
        ('if address :is :all "from" "tim@example.com" { discard; }', b"From: notim@example.com\r\n", "implicit keep"),
    ],
)
def test_rfc5228_4_3_to_5_1_mail_is_discarded_or_kept(script: str, mail: bytes, expected: str) -> None:
    assert decided(script, mail) == [expected]


def test_rfc5228_4_3_a_message_of_a_megabyte_is_discarded_by_its_size() -> None:
    big = Context(Message(b"", b"", octets=1024 * 1024))

    assert decided("if not size :under 1M { discard; }", context=big) == ["discard"]


@pytest.mark.parametrize(
    ("path", "expected"), [("tim@example.com", "discard"), ("TIM@Example.Com", "discard"), ("tom@example.com", "keep")]
)
def test_rfc5228_5_4_mail_is_discarded_by_its_reverse_path(path: str, expected: str) -> None:
    script = 'require "envelope"; if envelope :all :is "from" "tim@example.com" { discard; } else { keep; }'

    assert decided(script, context=context_for(envelope=Envelope(reverse_path=path))) == [expected]


SPREAD = 'fileinto "unfiltered"; keep; if header "Subject" "MAKE MONEY FAST!!!" { discard; }'


@pytest.mark.parametrize(
    ("script", "junk", "other"),
    [
        (SPREAD, ["fileinto unfiltered", "keep", "discard"], ["fileinto unfiltered", "keep"]),
        (
            SPREAD.replace('fileinto "unfiltered"; keep;', 'fileinto :copy "incoming";'),
            ["fileinto incoming", "discard"],
            ["fileinto incoming", "implicit keep"],
        ),
    ],
)
def test_rfc3894_1_and_3_a_copy_leaves_the_rest_of_the_script_its_say(
    script: str, junk: list[str], other: list[str]
) -> None:
    require = 'require ["copy", "fileinto"]; '

    assert decided(require + script, b"Subject: MAKE MONEY FAST!!!\r\n\r\n") == junk
    assert decided(require + script) == other


NESTED = b"""From: Whomever
To: Someone
Date: Whenever
Subject: whatever
Content-Type: multipart/mixed; boundary=outer

This is a multi-part message in MIME format.

--outer
Content-Type: multipart/alternative; boundary=inner

This is a nested multi-part message in MIME format.

--inner
Content-Type: text/plain; charset="us-ascii"

Hello

--inner
Content-Type: text/html; charset="us-ascii"

<html><body>Hello</body></html>

--inner--

This is the end of the inner MIME multipart.

--outer
Content-Type: message/rfc822

From: Someone Else
Subject: hello request

Please say Hello

--outer--

This is the end of the outer MIME multipart.
""".replace(b"\n", b"\r\n")


AMPERSANDS = (
    "This is a multi-part message in MIME format.",
    "This is a nested multi-part message in MIME format.",
    "This is the end of the inner MIME multipart.",
    "This is the end of the outer MIME multipart.",
)


@pytest.mark.parametrize(
    ("types", "looked_at"),
    [
        (["multipart"], AMPERSANDS),
        (["text/plain"], ("Hello", "Please say Hello")),
        (["text/html"], ("<html><body>Hello</body></html>",)),
        (["text"], ("Hello", "Please say Hello", "<html><body>Hello</body></html>")),
        (["message/rfc822"], ("From: Someone Else\r\nSubject: hello request",)),
    ],
)
def test_rfc5173_5_2_every_line_of_the_example_is_looked_at_for_its_type(
    types: list[str], looked_at: list[str]
) -> None:
    every = {*AMPERSANDS, "Please say Hello", "<html><body>", "From: Someone Else\r\nSubject: hello request"}
    kind = f'"{types[0]}"'

    for line in every:
        expected = any(line in one for one in looked_at)
        assert holds(f'body :content {kind} :contains "{line}"', NESTED, require=["body"]) is expected, line
    for word in ("Hello", "MIME"):
        expected = any(word.lower() in one.lower() for one in looked_at)
        assert holds(f'body :content {kind} :contains "{word}"', NESTED, require=["body"]) is expected


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"Subject: x\r\n\r\nthe coordinates of the MISSILE\r\n", ["fileinto secrets"]),
        (b"Content-Type: audio/mp3\r\n\r\nmissile\r\n", ["fileinto jukebox"]),
        (b"Content-Type: audio/mpeg\r\n\r\nmissile\r\n", ["implicit keep"]),
        (b"Subject: missile\r\n\r\nnothing\r\n", ["implicit keep"]),
    ],
)
def test_rfc5173_5_2_secrets_and_music_are_filed(mail: bytes, expected: list[str]) -> None:
    script = """require ["body", "fileinto"];
        if body :content "text" :contains ["missile", "coordinates"] { fileinto "secrets"; }
        if body :content "audio/mp3" :contains "" { fileinto "jukebox"; }"""

    assert decided(script, mail) == expected


def test_rfc5173_5_1_and_5_3_raw_and_text() -> None:
    raw = 'require "body"; if body :raw :contains "MAKE MONEY FAST" { discard; }'
    text = """require ["body", "fileinto"];
        if body :text :contains "project schedule" { fileinto "project/schedule"; }"""
    encoded = b"Content-Transfer-Encoding: quoted-printable\r\n\r\nMAKE MONEY =\r\nFAST. The project=20schedule.\r\n"

    assert decided(raw, b"\r\n... make money fast ...") == ["discard"]
    assert decided(raw, encoded) == ["implicit keep"]
    assert decided(text, encoded) == ["fileinto project/schedule"]
    assert decided(text) == ["implicit keep"]


def test_rfc5183_4_an_item_holds_the_empty_key_exactly_where_it_is_known() -> None:
    house = House(items={"remote-host": ""})
    require = ["environment", "relational"]

    assert not holds('environment :contains "item" ""', require=require, house=house)
    assert not holds('environment :count "eq" "item" "0"', require=require, house=house)
    assert holds('environment :contains "remote-host" ""', require=require, house=house)
    assert holds('environment :count "eq" "remote-host" "0"', require=require, house=house)
    assert holds('environment :count "eq" "location" "1"', require=require, house=house)
    assert holds('environment "name" "msgstore"', require=require)


LISTS = """require ["fileinto", "variables"];

if header :matches "List-ID" "*<*@*" {
    fileinto "INBOX.lists.${2}"; stop;
}
if header :matches "Subject" "[*] *" {
    fileinto "INBOX.lists.${1}"; stop;
}
if address :matches ["To", "Cc"] ["coyote@**.com",
        "wile@**.com"] {
    fileinto "INBOX.business.${2}"; stop;
} else {
    fileinto "none-${0}${1}";
}
if anyof (true, address :domain :matches "To" "*.com") {
    fileinto "none-${0}${1}"; stop;
}"""


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"List-ID: Filters <ietf-mta-filters@imc.org>\r\n", "INBOX.lists.ietf-mta-filters"),
        (b"Subject: [acme-users] [fwd] version 1.0 is out\r\n", "INBOX.lists.acme-users"),
        (b"To: coyote@ACME.Example.COM\r\n", "INBOX.business.ACME.Example"),
        (b"Cc: x@y, wile@ACME.Example.COM\r\n", "INBOX.business.ACME.Example"),
        (b"To: x@ACME.Example.COM\r\n", "none-"),
    ],
)
def test_rfc5229_3_2_match_variables_name_the_folder(mail: bytes, expected: str) -> None:
    assert decided(LISTS, mail) == [f"fileinto {expected}"]


def test_rfc5229_3_1_a_key_is_put_together_before_it_is_compared() -> None:
    before = 'set "name" "Ethelbert";'
    test = 'header :contains "Subject" "dear${hex:20 24 7b 4e}ame}"'
    require = ["encoded-character", "variables"]

    assert holds(test, b"Subject: My dear Ethelbert!\r\n", require=require, before=before)
    assert not holds(test, b"Subject: dear ${Name}\r\n", require=require, before=before)


@pytest.mark.parametrize("state", ["", "old", "pending"])
def test_rfc5229_5_a_word_is_found_among_others(state: str) -> None:
    script = f"""require ["variables"]; set "state" "{state}"; set "state" "${{state}} pending";
        if string :matches " ${{state}} " "* pending *" {{ discard; }}"""

    assert decided(script) == ["discard"]
