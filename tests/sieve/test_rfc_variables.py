"""Variables, relations, flags, subaddresses, dates, regular expressions: the examples of their RFCs, by section."""

import pytest

from msgstore.sieve import FileInto, Keep, Owner
from tests.sieve.room import House, context_for, decided, errors, holds, run, value

SET = 'require ["variables", "encoded-character", "fileinto", "relational"]; '


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("&%${}!", "&%${}!"),
        ("${doh!}", "${doh!}"),
        ("${full}", ""),
        ("${company}", "ACME"),
        ("${COMPANY}", "ACME"),
        ("${BAD${Company}", "${BADACME"),
        ("${President, ${Company} Inc.}", "${President, ACME Inc.}"),
        ("${com\\pany}", "ACME"),
        ("${com\\\\pany}", "${com\\pany}"),
        ("\\${company}", "ACME"),
        ("\\\\${company}", "\\ACME"),
        ("${1}${9}${00}", ""),
    ],
)
def test_rfc5229_3_variables_are_put_into_strings(text: str, expanded: str) -> None:
    assert value("x", f'{SET} set "company" "ACME"; set "x" "{text}";') == expanded


def test_rfc5229_3_1_encoded_characters_come_first_and_one_pass_is_made() -> None:
    assert value("x", SET + 'set "dollar" "$"; set "x" "regarding ${dollar}{beep}";') == "regarding ${beep}"
    assert value("x", SET + 'set "name" "Ethelbert"; set "x" "dear${hex:20 24 7b 4e}ame}";') == "dear Ethelbert"
    assert value("x", SET + 'set "a" "1"; set "x" "${${hex:61}}";') == "1"


@pytest.mark.parametrize("text", ["${100}", "${nothing.x}", "${global.x}"])
def test_rfc5229_3_unknown_namespaces_and_high_numbers_are_errors(text: str) -> None:
    assert errors(f'require "variables"; set "a" "{text}";')


@pytest.mark.parametrize(
    ("script", "mail", "expected"),
    [
        (
            'if header :matches "List-ID" "*<*@*" { set "x" "${2}"; }',
            b"List-ID: A list <filters@imc.org>\r\n\r\n",
            "filters",
        ),
        (
            'if header :matches "Subject" "[*] *" { set "x" "${1}|${2}|${0}|${3}"; }',
            b"Subject: [acme-users] [fwd] version 1.0 is out\r\n\r\n",
            "acme-users|[fwd] version 1.0 is out|[acme-users] [fwd] version 1.0 is out|",
        ),
        (
            'if address :matches ["To", "Cc"] ["coyote@**.com", "wile@**.com"] { set "x" "${0}|${1}|${2}"; }',
            b"To: coyote@ACME.Example.COM\r\n\r\n",
            "coyote@ACME.Example.COM||ACME.Example",
        ),
        ('if anyof (true, address :domain :matches "To" "*.com") { set "x" "<${1}>"; }', b"To: a@b.com\r\n\r\n", "<>"),
        (
            'if header :matches "a" "*-*" { } if header :matches "b" "z*" { } set "x" "${1}";',
            b"A: 1-2\r\nB: 3\r\n\r\n",
            "1",
        ),
        ('if header :matches "a" "*" { } if header :is "a" "1" { } set "x" "${1}";', b"A: 1\r\n\r\n", "1"),
        ('if header :matches "a" "?x?" { set "x" "${1}-${2}"; }', "A: \u00e9x\u00e9".encode() + b"\r\n\r\n", ""),
    ],
)
def test_rfc5229_3_2_match_variables(script: str, mail: bytes, expected: str) -> None:
    assert value("x", SET + script, mail) == expected


def test_rfc5229_4_set_builds_texts() -> None:
    script = """set "honorific" "Mr"; set "first_name" "Wile"; set "last_name" "Coyote";
set "vacation" text:
Dear ${HONORIFIC} ${last_name},
I'm out, please leave a message after the meep.
.
;"""

    assert value("vacation", SET + script) == ("Dear Mr Coyote,\r\nI'm out, please leave a message after the meep.\r\n")


@pytest.mark.parametrize("name", ["1", "a.b", "a b", "", "${x}", "a!", "global.12"])
def test_rfc5229_4_invalid_names_are_errors(name: str) -> None:
    script = f'require ["variables", "include"]; set "{name}" "x";'

    assert errors(script) or run(script).error is not None


@pytest.mark.parametrize(
    ("modifiers", "text", "expected"),
    [
        ("", "${a}", "juMBlEd lETteRS"),
        (":length", "${a}", "15"),
        (":lower", "${a}", "jumbled letters"),
        (":upperfirst", "${a}", "JuMBlEd lETteRS"),
        (":upperfirst :lower", "${a}", "Jumbled letters"),
        (":quotewildcard", "Rock*", "Rock\\*"),
        (":quotewildcard", "a?b\\\\c", "a\\?b\\\\c"),
        (":upper", "\u00e4b", "\u00e4B"),
        (":length", "\u00e4b", "2"),
        (":lowerfirst :upper", "abc", "aBC"),
    ],
)
def test_rfc5229_4_1_modifiers(modifiers: str, text: str, expected: str) -> None:
    assert value("b", f'{SET} set "a" "juMBlEd lETteRS"; set {modifiers} "b" "{text}";') == expected


def test_rfc5229_4_1_two_of_a_precedence_and_unknown_ones_are_errors() -> None:
    assert errors('require "variables"; set :lower :upper "a" "b";')
    assert errors('require "variables"; set :nothing "a" "b";')


def test_rfc5229_5_string_strips_nothing_and_counts_what_is_not_empty() -> None:
    script = 'set "state" "x pending"; if string :matches " ${state} " "* pending *" { set "x" "yes"; }'

    assert value("x", SET + script) == "yes"
    assert holds('string :count "eq" ["", "a", "b"] "2"', require=["variables", "relational"])


def test_rfc5229_6_long_values_are_cut_and_never_an_error() -> None:
    ten = "0123456789"
    script = SET + f'set "a" "{ten * 100}"; set "b" "${{a}}${{a}}${{a}}${{a}}x"; set :length "c" "${{b}}";'

    assert value("c", script) == "4000"


@pytest.mark.parametrize(
    ("test", "mail", "expected"),
    [
        ('header :value "lt" :comparator "i;ascii-numeric" "x-priority" "3"', b"X-Priority: 1\r\n\r\n", True),
        ('header :value "lt" :comparator "i;ascii-numeric" "x-priority" "3"', b"X-Priority: 3\r\n\r\n", False),
        ('address :count "gt" "to" "1"', b"To: a@b, c@d\r\n\r\n", True),
        ('address :count "ge" :comparator "i;ascii-numeric" ["to"] ["3"]', b"To: a@b, c@d, e@f\r\n\r\n", True),
        ('address :count "ge" :comparator "i;ascii-numeric" ["to"] ["3"]', b"To: a@b, c@d\r\n\r\n", False),
        (
            'header :count "eq" :comparator "i;ascii-numeric" "received" "2"',
            b"Received: a\r\nReceived: b\r\n\r\n",
            True,
        ),
        ('header :value "gt" "subject" "hello"', b"Subject: Horses\r\n\r\n", True),
        ('header :count "eq" "x-none" "0"', b"\r\n", True),
    ],
)
def test_rfc5231_relations(test: str, mail: bytes, *, expected: bool) -> None:
    assert holds(test, mail, require=["relational", "comparator-i;ascii-numeric"]) is expected


def test_rfc5231_an_unknown_relation_is_an_error() -> None:
    assert errors('require "relational"; if header :value "xx" "a" "b" { keep; }')
    assert errors('require "relational"; if header :value "a" "b" { keep; }')


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [("0012", "12", True), ("x", "y", True), ("12a", "12", True), ("12", "13", False), ("", "z", True)],
)
def test_rfc4790_9_1_numbers_are_compared_as_numbers(first: str, second: str, *, equal: bool) -> None:
    test = f'string :comparator "i;ascii-numeric" "{first}" "{second}"'

    assert holds(test, require=["variables", "comparator-i;ascii-numeric"]) is equal


def test_rfc5051_case_is_folded_beyond_ascii() -> None:
    require = ["variables", "comparator-i;unicode-casemap"]

    assert holds('string :comparator "i;unicode-casemap" "\u00c9t\u00e9" "e\u0301T\u00c9"', require=require)
    assert holds('string :contains :comparator "i;unicode-casemap" "\u00c9t\u00e9s" "\u00e9TE\u0301"', require=require)
    assert not holds('string "\u00c9" "\u00e9"', require=require)
    assert not holds('string :comparator "i;unicode-casemap" "Stra\u00dfe" "strasse"', require=require)


def flags(script: str) -> tuple[str, ...]:
    verdict = run('require ["imap4flags", "variables", "fileinto", "relational"]; ' + script)
    assert verdict.error is None
    action = verdict.actions[-1]
    assert isinstance(action, Keep | FileInto)
    return action.flags


def test_rfc5232_flags_of_commands_and_of_the_internal_variable() -> None:
    assert flags('setflag "\\\\Deleted";') == ("\\Deleted",)
    assert flags('setflag "flagvar" "\\\\Flagged"; fileinto :flags "${flagvar}" "INBOX.From Boss";') == ("\\Flagged",)
    assert flags('addflag "flagvar" "\\\\Deleted"; addflag "flagvar" "\\\\Answered"; keep :flags "${flagvar}";') == (
        "\\Deleted",
        "\\Answered",
    )
    assert flags('setflag ["a b", "A"]; removeflag "B"; addflag "c  c "; keep;') == ("a", "c")
    assert flags('setflag "x"; keep :flags "";') == ()
    assert flags('setflag "\\\\Seen $x \\\\seen \\\\Recent \\\\Nope bad(flag) \u00e9";') == ("\\Seen", "$x")


def test_rfc5232_2_10_3_the_last_flags_win() -> None:
    verdict = run('require ["imap4flags", "fileinto"]; keep :flags "a"; fileinto :flags "b" "INBOX";')

    assert len(verdict.actions) == 1
    assert isinstance(verdict.actions[0], FileInto)
    assert verdict.actions[0].flags == ("b",)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('hasflag :contains "MyVar" "Junk"', True),
        ('hasflag :contains "MyVar" "forward"', True),
        ('hasflag :contains "MyVar" ["label", "forward"]', True),
        ('hasflag :contains "MyVar" ["junk", "forward"]', True),
        ('hasflag :contains "MyVar" "junk forward"', True),
        ('hasflag :contains "MyVar" "label"', False),
        ('hasflag :contains "MyVar" ["label1", "label2"]', False),
        ('hasflag :is "b A"', True),
        ('hasflag ["b","A"]', True),
        ('hasflag "c"', False),
        ('hasflag :count "ge" :comparator "i;ascii-numeric" "MyFlags" "2"', True),
        ('hasflag :count "eq" ["MyFlags", "MyVar"] "10"', True),
    ],
)
def test_rfc5232_4_hasflag(test: str, *, expected: bool) -> None:
    before = """set "MyVar" "NonJunk Junk gnus-forward $Forwarded NotJunk JunkRecorded $Junk $NotJunk";
        set "MyFlags" "A B"; setflag "A B";"""
    require = ["imap4flags", "variables", "relational", "comparator-i;ascii-numeric"]

    assert holds(test, require=require, before=before) is expected


@pytest.mark.parametrize(
    ("local", "separator", "user", "detail"),
    [
        ("ken", "+", "ken", None),
        ("ken+sieve", "+", "ken", "sieve"),
        ("ken+a+b", "+", "ken", "a+b"),
        ("ken+", "+", "ken", ""),
        ("+x", "+", "", "x"),
        ("ken--x", "--", "ken", "x"),
        ("ken-x", "--", "ken-x", None),
    ],
)
def test_rfc5233_4_user_and_detail(local: str, separator: str, user: str, detail: str | None) -> None:
    def found(test: str) -> bool:
        context = context_for(f"To: {local}@example.org\r\n\r\n".encode())
        context.owner = Owner(separator=separator)
        return holds(test, require=["subaddress"], context=context)

    assert found(f'address :user "to" "{user}"')
    assert found(f'address :detail "to" "{detail}"') is (detail is not None)
    assert found('address :detail :contains "to" ""') is (detail is not None)
    assert found(f'address :localpart "to" "{local}"')


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("year", "1997"),
        ("month", "04"),
        ("day", "01"),
        ("date", "1997-04-01"),
        ("julian", "50539"),
        ("hour", "09"),
        ("minute", "06"),
        ("second", "31"),
        ("time", "09:06:31"),
        ("iso8601", "1997-04-01T09:06:31-08:00"),
        ("std11", "Tue, 01 Apr 1997 09:06:31 -0800"),
        ("zone", "-0800"),
        ("weekday", "2"),
    ],
)
def test_rfc5260_4_parts_of_a_date(part: str, expected: str) -> None:
    assert holds(f'date :originalzone "date" "{part}" "{expected}"', require=["date"])


@pytest.mark.parametrize(
    ("header", "test", "expected"),
    [
        ("Wed, 31 Dec 2008 23:30:00 -0800", 'date :zone "+0000" "date" "date" "2009-01-01"', True),
        ("Wed, 31 Dec 2008 23:30:00 -0800", 'date "date" "year" "2009"', True),
        ("1 Jan 99 00:00 EST", 'date :originalzone "date" "iso8601" "1999-01-01T00:00:00-05:00"', True),
        ("1 Jan 01 00:00:00 -0000", 'date :originalzone "date" "zone" "-0000"', True),
        ("from a; b by c; Fri, 2 Jan 2009 10:00:00 +0100 (CET)", 'date :zone "+0100" "date" "hour" "10"', True),
        ("no date", 'date :matches "date" "year" "*"', False),
        ("31 Feb 2009 00:00:00 +0000", 'date :matches "date" "year" "*"', False),
        ("1 Jan 0001 00:00:00 +2359", 'date :matches "date" "year" "*"', False),
        ("31 Dec 9999 23:59:59 -0000", 'date :zone "+0100" :matches "date" "year" "*"', False),
    ],
)
def test_rfc5260_4_zones_and_what_is_no_date(header: str, test: str, *, expected: bool) -> None:
    assert holds(test, f"Date: {header}\r\n\r\n".encode(), require=["date"]) is expected


def test_rfc5260_4_and_5_examples_of_dates() -> None:
    require = ["date", "relational", "index"]
    received = b"Received: a; Fri, 1 Jul 2005 10:00:00 +0000\r\nReceived: b; Sat, 2 Jul 2005 10:00:00 +0000\r\n\r\n"

    assert holds('date :value "ge" :originalzone "date" "hour" "09"', require=require)
    assert holds('currentdate :value "lt" "date" "2007-10-22"', require=require)
    assert holds('currentdate "weekday" "2"', require=require)
    assert holds('currentdate :zone "-0800" "time" "09:06:31"', require=require)
    assert holds('date :index 1 "received" "date" "2005-07-01"', received, require=require)
    assert holds('date :last :index 1 "received" "date" "2005-07-02"', received, require=require)
    assert not holds('date :index 3 :matches "received" "date" "*"', received, require=require)


@pytest.mark.parametrize(
    "script",
    [
        'if date :zone "x" "date" "year" "1" {}',
        'if date "date" "century" "1" {}',
        'if date :zone "+0000" :originalzone "a" "year" "1" {}',
    ],
)
def test_rfc5260_4_wrong_arguments_are_errors(script: str) -> None:
    assert errors(f'require "date"; {script}')


def test_rfc5260_6_index_chooses_one_field() -> None:
    mail = b"X: one\r\nX: two\r\nX: three\r\nTo: a@b\r\nTo: c@d\r\n\r\n"

    assert holds('header :index 2 "x" "two"', mail, require=["index"])
    assert holds('header :index 1 :last "x" "three"', mail, require=["index"])
    assert not holds('header :index 0 :contains "x" ""', mail, require=["index"])
    assert holds('address :index 2 "to" "c@d"', mail, require=["index"])
    assert errors('require "index"; if header :last "x" "y" { keep; }')


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('header :index 2 ["subject", "x"] "one"', True),
        ('header :index 1 ["subject", "x"] "one"', False),
        ('header :index 1 :last ["x", "subject"] "two"', False),
        ('header :index 1 :last ["x", "subject"] "first"', True),
        ('header :index 4 :contains ["x", "subject"] ""', False),
        ('address :index 2 ["from", "to"] "c@d"', True),
        ('address :index 1 ["from", "to"] "c@d"', False),
    ],
)
def test_rfc5260_6_fields_of_several_names_are_counted_together(test: str, *, expected: bool) -> None:
    mail = b"X: one\r\nSubject: first\r\nX: two\r\nTo: c@d\r\nFrom: a@b\r\n\r\n"

    assert holds(test, mail, require=["index"]) is expected


def test_regex_draft_examples() -> None:
    script = """require ["regex", "variables"];
        if address :comparator "i;ascii-casemap" :regex "from" ["postmaster@.*", "root@.*"] { set "x" "one"; }
        elsif header :regex "subject" "^(re: *)?\\\\[([a-z]+)\\\\] (.*)$" { set "x" "${2}:${3}"; }"""

    assert value("x", script, b"From: Postmaster@example.org\r\n\r\n") == "one"
    assert value("x", script, b"Subject: RE: [list] hello\r\n\r\n") == "list:hello"
    assert value("y", 'require ["regex", "variables"]; set :quoteregex "y" "a.b[c]";') == "a\\.b\\[c\\]"
    assert errors('require "regex"; if header :regex "a" "[" { keep; }')
    assert errors('require "regex"; if header :regex "a" "*" { keep; }')
    assert run('require ["regex", "variables"]; set "x" "["; if string :regex "a" "${x}" { stop; }').error is not None


def test_regex_draft_3_junk_is_caught() -> None:
    script = """require "regex"; if anyof (not address :regex ["to", "cc", "bcc"] "me(\\\\+.*)?@company\\\\.com",
        header :regex :comparator "i;octet" "subject" "^[^[:lower:]]+$") { discard; }"""

    assert decided(script, b"To: me+x@company.com\r\nSubject: Hello\r\n\r\n") == ["implicit keep"]
    assert decided(script, b"To: me@company.com\r\nSubject: BUY NOW\r\n\r\n") == ["discard"]
    assert decided(script, b"To: you@company.com\r\nSubject: Hello\r\n\r\n") == ["discard"]


def test_rfc3894_copies_leave_the_implicit_keep() -> None:
    script = 'require ["copy", "fileinto"]; fileinto :copy "incoming"; redirect :copy "a@b.example";'

    assert decided(script) == ["fileinto incoming", "redirect a@b.example", "implicit keep"]


def test_rfc5183_environment() -> None:
    house = House(items={"remote-host": "mx.example.org"})

    assert holds('environment "location" "MDA"', require=["environment"])
    assert holds('environment "phase" "during"', require=["environment"])
    assert holds('environment :contains "remote-host" ".example."', require=["environment"], house=house)
    assert not holds('environment :contains "vnd.nothing" ""', require=["environment"])
    assert value("x", 'require ["vnd.dovecot.environment", "variables"]; set "x" "${env.phase}";') == "during"


@pytest.mark.parametrize(
    "test", ['header "${h}" "x"', 'address ["cc", "${h}"] "x"', 'exists ["${h}"]', 'header ["a", "${h}"] "${v}"']
)
def test_rfc5229_3_names_of_fields_hold_variables_too(test: str) -> None:
    mail = b"To: x\r\n\r\n"

    assert holds(test, mail, require=["variables"], before='set "h" "To"; set "v" "x";')
