"""Examples of RFC 5231, 5233, 5235, 5260 and 5293, written as they stand there, with what they do to a message."""

import pytest

from msgstore.sieve import (
    Context,
    Envelope,
    FileInto,
    Keep,
    Message,
    Owner,
    Scan,
)
from tests.sieve.room import (
    ENVELOPE,
    MAIL,
    NOW,
    OWNER,
    context_for,
    decided,
    errors,
    holds,
    run,
    value,
)

HOUR = 3600.0


COUNTED = b"""received: ...
received: ...
subject: example
to: foo@example.com, baz@example.com
cc: qux@example.com
"""


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('address :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] ["3"]', True),
        (
            """anyof ( address :count "ge" :comparator "i;ascii-numeric" ["to"] ["3"],
                       address :count "ge" :comparator "i;ascii-numeric" ["cc"] ["3"] )""",
            False,
        ),
        ('header :count "ge" :comparator "i;ascii-numeric" ["received"] ["3"]', False),
        ('header :count "ge" :comparator "i;ascii-numeric" ["received", "subject"] ["3"]', True),
        ('header :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] ["3"]', False),
    ],
)
def test_rfc5231_6_fields_and_addresses_are_counted(test: str, *, expected: bool) -> None:
    assert holds(test, COUNTED, require=["relational", "comparator-i;ascii-numeric"]) is expected


PRIORITIES = """require ["relational", "comparator-i;ascii-numeric", "fileinto"];

if header :value "lt" :comparator "i;ascii-numeric"
          ["x-priority"] ["3"]
{
   fileinto "Priority";
}

elsif address :count "gt" :comparator "i;ascii-numeric"
           ["to"] ["5"]
{
   # everything with more than 5 recipients in the "to" field
   # is considered SPAM
   fileinto "SPAM";
}

elsif address :value "gt" :all :comparator "i;ascii-casemap"
           ["from"] ["M"]
{
   fileinto "From N-Z";
} else {
   fileinto "From A-M";
}

if allof ( address :count "eq" :comparator "i;ascii-numeric"
                   ["to", "cc"] ["1"] ,
           address :all :comparator "i;ascii-casemap"
                   ["to", "cc"] ["me@foo.example.com"] )
{
   fileinto "Only me";
}
"""


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"X-Priority: 2\r\nTo: me@foo.example.com\r\n", ["Priority", "Only me"]),
        (b"To: a@x, b@x, c@x, d@x, e@x, f@x\r\n", ["SPAM"]),
        (b"X-Priority: 3\r\nFrom: zed@x\r\nTo: Me@Foo.Example.com\r\nCc: a@b\r\n", ["From N-Z"]),
        (b"From: adam@x\r\nCc: ME@foo.example.com\r\n", ["From A-M", "Only me"]),
        (b"X-Priority: high\r\nFrom: M\r\n", ["From A-M"]),
    ],
)
def test_rfc5231_7_mail_is_sorted_by_order_and_number(mail: bytes, expected: list[str]) -> None:
    assert decided(PRIORITIES, mail) == [f"fileinto {name}" for name in expected]


SUBADDRESS = """require ["envelope", "subaddress", "fileinto"];
if envelope :user "to" "postmaster" {
    fileinto "inbox.postmaster";
    stop;
}
if envelope :detail "to" "mta-filters" {
    fileinto "inbox.ietf-mta-filters";
}
if envelope :detail "to" "foo" {
    redirect "ken@example.net";
}"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("postmaster@example.com", "fileinto inbox.postmaster"),
        ("postmaster+x@example.com", "fileinto inbox.postmaster"),
        ("ken+mta-filters@example.com", "fileinto inbox.ietf-mta-filters"),
        ("ken+foo@example.com", "redirect ken@example.net"),
        ("ken@example.com", "implicit keep"),
    ],
)
def test_rfc5233_4_mail_is_sorted_by_detail(path: str, expected: str) -> None:
    context = context_for(envelope=Envelope(reverse_path="a@b", forward_path=path))
    context.owner = Owner(separator="+")

    assert decided(SUBADDRESS, context=context) == [expected]


PLUS = """require ["spamtestplus", "fileinto", "relational", "comparator-i;ascii-numeric"];
if spamtest :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.unclassified"; }
elsif spamtest :percent :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.not-spam"; }
elsif spamtest :percent :value "lt" :comparator "i;ascii-numeric" "37" { fileinto "INBOX.spam-trap"; }
else { discard; }"""


COUNT = PLUS.replace('spamtest :value "eq"', 'spamtest :percent :count "eq"', 1)


SIMPLE = """require ["spamtest", "fileinto", "relational", "comparator-i;ascii-numeric"];
if spamtest :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.unclassified"; }
elsif spamtest :value "ge" :comparator "i;ascii-numeric" "3" { fileinto "INBOX.spam-trap"; }"""


@pytest.mark.parametrize(
    ("script", "percent", "expected"),
    [
        (SIMPLE, None, "fileinto INBOX.unclassified"),
        (SIMPLE, 0.0, "implicit keep"),
        (SIMPLE, 40.0, "fileinto INBOX.spam-trap"),
        *((script, None, "fileinto INBOX.unclassified") for script in (PLUS, COUNT)),
        *((script, 0.0, "fileinto INBOX.not-spam") for script in (PLUS, COUNT)),
        *((script, 36.4, "fileinto INBOX.spam-trap") for script in (PLUS, COUNT)),
        *((script, 37.0, "discard") for script in (PLUS, COUNT)),
    ],
)
def test_rfc5235_3_2_mail_is_sorted_by_what_the_scanner_said(script: str, percent: float | None, expected: str) -> None:
    context = context_for()
    context.scan = Scan(spam_percent=percent)

    assert decided(script, context=context) == [expected]


@pytest.mark.parametrize(
    ("virus", "expected"),
    [(None, "fileinto INBOX.unclassified"), (1, "implicit keep"), (4, "fileinto INBOX.quarantine"), (5, "discard")],
)
def test_rfc5235_3_3_mail_is_sorted_by_what_the_virus_scanner_said(virus: int | None, expected: str) -> None:
    script = """require ["virustest", "fileinto", "relational", "comparator-i;ascii-numeric"];
        if virustest :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.unclassified"; }
        if virustest :value "eq" :comparator "i;ascii-numeric" "4" { fileinto "INBOX.quarantine"; }
        elsif virustest :value "eq" :comparator "i;ascii-numeric" "5" { discard; }"""
    context = context_for()
    context.scan = Scan(virus=virus)

    assert decided(script, context=context) == [expected]


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"From: boss@example.com\r\nDate: Tue, 1 Apr 1997 09:00:00 -0800\r\n", "fileinto urgent"),
        (b"From: boss@example.com\r\nDate: Tue, 1 Apr 1997 16:59:59 -0800\r\n", "fileinto urgent"),
        (b"From: boss@example.com\r\nDate: Tue, 1 Apr 1997 17:00:00 -0800\r\n", "implicit keep"),
        (b"From: boss@example.com\r\nDate: Tue, 1 Apr 1997 08:59:59 -0800\r\n", "implicit keep"),
        (b"From: boss@example.com\r\n", "implicit keep"),
    ],
)
def test_rfc5260_4_4_mail_of_office_hours_is_urgent(mail: bytes, expected: str) -> None:
    script = """require ["date", "relational", "fileinto"];
        if allof(header :is "from" "boss@example.com",
                 date :value "ge" :originalzone "date" "hour" "09",
                 date :value "lt" :originalzone "date" "hour" "17")
        { fileinto "urgent"; }"""

    assert decided(script, mail) == [expected]


@pytest.mark.parametrize(("day", "expected"), [(4, "implicit keep"), (5, "fileinto weekend"), (6, "fileinto weekend")])
def test_rfc5260_4_4_mail_of_the_weekend_is_filed(day: int, expected: str) -> None:
    script = """require ["date", "relational", "fileinto"];
        if anyof(date :is "received" "weekday" "0",
                 date :is "received" "weekday" "6")
        { fileinto "weekend"; }"""
    mail = f"Received: by x; {day} Apr 1997 12:00:00 +0000\r\n".encode()

    assert decided(script, mail) == [expected]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0, "implicit keep"), (-9, "redirect pager@example.com"), (96, "redirect pager@example.com")],
)
def test_rfc5260_5_1_the_pager_rings_outside_office_hours(hours: float, expected: str) -> None:
    script = """require ["date", "relational"];
        if anyof(currentdate :is "weekday" "0",
                 currentdate :is "weekday" "6",
                 currentdate :value "lt" "hour" "09",
                 currentdate :value "ge" "hour" "17")
        { redirect "pager@example.com"; }"""
    tuesday_noon = NOW - NOW % 86400 + 12 * HOUR

    assert decided(script, context=Context(Message.parse(MAIL), now=tuesday_noon + hours * HOUR)) == [expected]


@pytest.mark.parametrize(("day", "answers"), [(29, False), (30, True), (37, True), (38, False)])
def test_rfc5260_5_1_a_reply_is_sent_in_the_first_week_of_july(day: int, *, answers: bool) -> None:
    script = """require ["date", "relational", "vacation"];
        if allof(currentdate :value "ge" "date" "2007-06-30",
                 currentdate :value "le" "date" "2007-07-07")
        { vacation :days 7  "I'm away during the first week in July."; }"""
    first_of_june = 1180656000.0
    noon = first_of_june + (day - 1) * 24 * HOUR + 12 * HOUR
    context = Context(Message.parse(MAIL), envelope=ENVELOPE, owner=OWNER, now=noon)

    assert decided(script, context=context) == [*(["vacate"] if answers else []), "implicit keep"]


def test_rfc5260_5_1_folders_and_fields_are_named_by_the_date() -> None:
    folder = """require ["date", "variables", "fileinto"];
        if currentdate :matches "month" "*" { set "month" "${1}"; }
        if currentdate :matches "year"  "*" { set "year"  "${1}"; }
        fileinto "${month}-${year}";"""
    stamp = """require ["variables", "date", "editheader"];
        if currentdate :matches "std11" "*"
          {addheader "Processing-date" "${0}";}"""

    assert decided(folder) == ["fileinto 04-1997"]
    keep = run(stamp).actions[0]
    assert isinstance(keep, Keep)
    assert keep.message is not None
    assert keep.message.header.startswith(b"Processing-date: Tue, 01 Apr 1997 17:06:31 +0000\r\n")


CUTOFF = """require ["date", "relational", "index"];
if date :value "gt" :index 2 :zone "-0500" "received"
        "iso8601" "2007-02-26T09:00:00-05:00"
{ redirect "aftercutoff@example.org"; }"""


@pytest.mark.parametrize(
    ("time", "expected"),
    [("14:00:01 +0000", "redirect aftercutoff@example.org"), ("09:00:00 -0500", "implicit keep")],
)
def test_rfc5260_6_1_the_second_trace_line_decides(time: str, expected: str) -> None:
    mail = f"Received: a; Tue, 27 Feb 2007 00:00:00 +0000\r\nReceived: b; Mon, 26 Feb 2007 {time}\r\n".encode()

    assert decided(CUTOFF, mail) == [expected]
    assert errors(CUTOFF.replace('-05:00"', '-05:00",'))  # the comma stands in the RFC, outside its own grammar


@pytest.mark.parametrize(
    ("script", "mail", "expected"),
    [
        ('addheader "X-Hello" "World"; deleteheader :index 1 "X-Hello";', b"X-Hello: 1\r\n", b"X-Hello: 1\r\n"),
        (
            'deleteheader :index 1 "X-Hello"; deleteheader :index 2 "X-Hello";',
            b"X-Hello: 1\r\nX-Hello: 2\r\nX-Hello: 3\r\nX-Hello: 4\r\n",
            b"X-Hello: 2\r\nX-Hello: 4\r\n",
        ),
        (
            'deleteheader :index 1 :contains "Delivered-To" "bob@example.com";',
            b"Delivered-To: bob@example.com\r\nDelivered-To: bob@example.com\r\n",
            b"Delivered-To: bob@example.com\r\n",
        ),
    ],
)
def test_rfc5293_5_and_7_edits_count_from_what_is_there_now(script: str, mail: bytes, expected: bytes) -> None:
    keep = run(f'require "editheader"; {script}', mail).actions[0]

    assert isinstance(keep, Keep)
    assert (mail if keep.message is None else keep.message.header) == expected


def test_rfc5293_7_tests_see_edits_and_an_edited_message_is_filed_once() -> None:
    script = """require ["editheader", "fileinto"]; addheader "X-Hello" "World";
        if header :contains "X-Hello" "World" { fileinto "international"; }"""
    twice = 'require "editheader"; keep; addheader "X-Flavor" "vanilla"; keep;'

    (filed,) = run(script).actions

    assert isinstance(filed, FileInto)
    assert filed.message is not None
    assert filed.message.header.startswith(b"X-Hello: World\r\n")
    assert decided(twice) == ["keep"]


def test_rfc5293_4_mail_is_not_redirected_twice() -> None:
    script = """require "editheader";
        /* Don't redirect if we already redirected */
        if not header :contains "X-Sieve-Filtered"
                ["<kim@job.example.com>", "<kim@home.example.com>"]
        {
                addheader "X-Sieve-Filtered" "<kim@job.example.com>";
                redirect "kim@home.example.com";
        }"""

    assert decided(script) == ["redirect kim@home.example.com"]
    assert decided(script, b"X-Sieve-Filtered: <kim@job.example.com>\r\n" + MAIL) == ["implicit keep"]


def test_rfc5229_4_1_a_quoted_wildcard_stands_for_itself() -> None:
    assert value("b", 'require "variables"; set :quotewildcard "b" "Rock*";') == "Rock\\*"
    before = 'set :quotewildcard "b" "Rock*";'
    assert holds('header :matches "subject" "${b}"', b"Subject: Rock*\r\n", require=["variables"], before=before)
    assert not holds('header :matches "subject" "${b}"', b"Subject: Rocky\r\n", require=["variables"], before=before)


@pytest.mark.parametrize("part", ["", ":all", ":localpart", ":domain", ":user", ":detail"])
def test_rfc5231_4_2_addresses_are_counted_whatever_part_of_them_is_compared(part: str) -> None:
    mail = b"To: a@b.example, G: c+d@e.example, f@g.example;, nobody\r\nCc: undisclosed-recipients:;\r\n"
    require = ["envelope", "relational", "subaddress"]

    def count(test: str, path: str = "a@b.example") -> list[int]:
        def is_count(number: int) -> bool:
            context = context_for(mail, envelope=Envelope(reverse_path=path))
            return holds(f'{test} "{number}"', require=require, context=context)

        return [number for number in range(6) if is_count(number)]

    assert count(f'address {part} :count "eq" ["to", "cc"]') == [3]
    assert count(f'envelope {part} :count "eq" "from"') == [1]
    assert count(f'envelope {part} :count "eq" "from"', "") == [0]
