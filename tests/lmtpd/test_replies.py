import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd import replies
from lmtpd.server import KEYWORDS, TRUSTED_KEYWORDS
from msgstore.model.errors import ConfigError, QuotaExceeded


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
    keywords = [*KEYWORDS, *TRUSTED_KEYWORDS, "SIZE 52428800"]

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
