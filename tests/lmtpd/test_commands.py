import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.commands import CommandFault, parse_attributes, parse_bdat, parse_mail, parse_rcpt
from msgstore.model.address import Address
from msgstore.model.envelope import BodyType


def test_mail_keeps_every_parameter_and_the_case_of_envid() -> None:
    mail = parse_mail("from:<A@b.example> SIZE=10 body=8bitmime RET=hdrs ENVID=QQ+2Bab AUTH=<> SMTPUTF8")

    assert mail.reverse_path == Address(local_part="A", domain="b.example")
    assert (mail.declared_octets, mail.body_type) == (10, BodyType.EIGHT_BIT_MIME)
    assert (mail.ret, mail.envid, mail.smtputf8) == ("HDRS", "QQ+2Bab", True)


def test_rcpt_keeps_orcpt_as_given_and_takes_a_bare_local_part() -> None:
    rcpt = parse_rcpt("TO:<user> ORCPT=rfc822;User@Old.Example NOTIFY=success,DELAY")

    assert rcpt.forward_path == Address(local_part="user", domain=None)
    assert (rcpt.orcpt, rcpt.notify) == ("rfc822;User@Old.Example", ("SUCCESS", "DELAY"))


def test_the_null_path_is_none_and_a_source_route_is_dropped() -> None:
    assert parse_mail("FROM:<>").reverse_path is None
    assert parse_mail("FROM:<@a.example,@b.example:u@c.example>").reverse_path == Address(
        local_part="u", domain="c.example"
    )


def test_a_source_route_to_nobody_is_not_the_null_path() -> None:
    with pytest.raises(CommandFault) as refused:
        parse_mail("FROM:<@a.example:>")

    assert refused.value.line.startswith(b"501 5.1.7")


def test_a_quoted_local_part_may_hold_brackets_and_blanks() -> None:
    assert parse_rcpt('TO:<"a> b\\"c"@d.example>').forward_path.local_part == 'a> b"c'


@pytest.mark.parametrize(
    "argument",
    [
        "TO:u@d", "TO:<u@d", "TO:< u@d >", "TO:<u(c)@d>", "TO:<a b@d>", "TO:<\x01@d>", "TO:<>", "TO:<u@d>x",
        "TO:<u@d> NOTIFY=NEVER,DELAY", "TO:<u@d> ORCPT=x", "TO:<u@d> IGNOREQUOTA", "TO:<u@d> NOTIFY=DELAY NOTIFY=DELAY",
        "TO:<../../etc@d>", 'TO:<""@d>', "FROM:<u@d>", "", "TO:<@a.example:>",
    ],
)  # fmt: skip
def test_what_is_no_recipient_is_refused(argument: str) -> None:
    with pytest.raises(CommandFault):
        parse_rcpt(argument)


def test_an_encoded_word_is_taken_literally() -> None:
    assert parse_rcpt("TO:<=?utf-8?b?Li4vLi4v?=@d.example>").forward_path.local_part == "=?utf-8?b?Li4vLi4v?="


def test_a_trusted_peer_may_say_more() -> None:
    rcpt = parse_rcpt("TO:<u@d.example> IGNOREQUOTA XRCPTFORWARD=abc", trusted=True)

    assert (rcpt.ignores_quota, rcpt.forwarded) == (True, "abc")


def test_bdat_and_attributes_are_read() -> None:
    assert parse_bdat("12 last") == (12, True)
    assert parse_bdat("0") == (0, False)
    assert parse_attributes("ADDR=IPv6:2001:DB8::1 HELO=[UNAVAILABLE]", frozenset({"ADDR", "HELO"})) == {
        "ADDR": "2001:db8::1",
        "HELO": None,
    }
    for bad in ("x", "1 2", "-1", "1 LASTLY"):
        with pytest.raises(CommandFault):
            parse_bdat(bad)
    for bad in ("FOO=1", "ADDR=x", "HELO=a+0Ab", ""):
        with pytest.raises(CommandFault):
            parse_attributes(bad, frozenset({"ADDR", "HELO"}))


@given(text=st.text(max_size=80), prefix=st.sampled_from(["FROM:<", "TO:<", ""]))
def test_any_text_is_a_value_or_a_fault(text: str, prefix: str) -> None:
    for parse in (parse_mail, parse_rcpt):
        lines: list[bytes] = []

        try:
            parse(prefix + text)
        except CommandFault as fault:
            lines.append(fault.line)

        assert all(line.startswith(b"5") for line in lines)


@pytest.mark.parametrize("hostile", ["<" + '"' * 4000, "<" + "a." * 2000, "<@" + "a," * 2000, '<"' + "\\" * 4000])
def test_hostile_text_costs_linear_time(hostile: str) -> None:
    began = time.process_time()
    for _ in range(10):
        with pytest.raises(CommandFault):
            parse_rcpt("TO:" + hostile)

    assert time.process_time() - began < 0.5
