import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd import replies
from lmtpd.server import KEYWORDS, TRUSTED_KEYWORDS
from msgstore.model.address import parse_address
from msgstore.model.errors import ConfigError, QuotaExceeded
from msgstore.model.result import DeliveryId, DeliveryResult, EnhancedStatus, Outcome


@given(text=st.text(max_size=400), utf8=st.booleans())
def test_a_reply_is_one_line_of_at_most_240_octets(text: str, utf8: bool) -> None:  # noqa: FBT001
    line = replies.reply(550, "5.7.1", text, utf8=utf8)

    assert len(line) <= replies.REPLY_LIMIT_OCTETS
    assert line.endswith(b"\r\n")
    assert b"\r" not in line[:-2]
    assert b"\n" not in line[:-2]
    line.decode("utf-8" if utf8 else "ascii")


def test_every_constant_reply_is_short_and_says_its_class_twice() -> None:
    lines = [value for value in vars(replies).values() if isinstance(value, bytes)]

    assert len(lines) > 30
    for line in lines:
        assert len(line) <= replies.REPLY_LIMIT_OCTETS
        assert line.startswith(b"354") or line[:1] == line[4:5]


def test_the_answer_to_lhlo_fits_or_is_refused() -> None:
    # The last of those for trusted peers goes where a host name is long.
    keywords = [*KEYWORDS, *TRUSTED_KEYWORDS[:-1], "SIZE 52428800"]

    assert len(replies.lhlo_reply("mx.example.com", keywords)) <= replies.LHLO_LIMIT_OCTETS
    with pytest.raises(ConfigError):
        replies.lhlo_reply("x" * 100, keywords)


@pytest.mark.parametrize("name", ["st\u00e9.example", "a b.example", "a\r\n220 b.example", "", "a\0b"])
def test_what_is_no_host_name_is_refused_before_a_peer_sees_it(name: str) -> None:
    with pytest.raises(ConfigError, match="hostname"):
        replies.lhlo_reply(name, KEYWORDS)


def test_an_unknown_error_shows_nothing_of_itself() -> None:
    assert replies.error_reply(OSError("secret")) == replies.INTERNAL
    assert replies.error_reply(QuotaExceeded(used_octets=1, limit_octets=1)) == b"452 4.2.2 Mailbox over quota\r\n"


def refusal(text: str) -> DeliveryResult:
    return DeliveryResult(
        forward_path=parse_address("a@example.com"),
        outcome=Outcome.REJECTED,
        reply_code=550,
        status=EnhancedStatus(5, 7, 1),
        text=text,
        delivery_id=DeliveryId("1"),
    )


def test_a_refusal_of_several_lines_is_one_reply() -> None:
    assert replies.result_reply(refusal("one\n\nthree")) == b"550-5.7.1 one\r\n550-5.7.1 \r\n550 5.7.1 three\r\n"


@given(text=st.text(alphabet=st.characters() | st.just("\n"), max_size=400), utf8=st.booleans())
def test_no_refusal_is_longer_than_240_octets(text: str, utf8: bool) -> None:  # noqa: FBT001
    lines = replies.result_reply(refusal(text), utf8=utf8).split(b"\r\n")

    assert sum(len(line) + 2 for line in lines[:-1]) <= replies.REPLY_LIMIT_OCTETS
    assert lines[-1] == b""
    assert all(line.startswith(b"550-5.7.1 ") for line in lines[:-2])
    assert lines[-2].startswith(b"550 5.7.1 ")
