from collections.abc import Iterator

import pytest

from msgstore.delivery.arrival import Content, EditedPieces
from msgstore.model.errors import StoreUnavailable
from msgstore.sieve import EditedMessage
from msgstore.store.memory import MemoryStore
from msgstore.wiring import SystemClock

TRACE = b"Received: here\r\n"


def content_of(message: bytes) -> Content:
    staged = MemoryStore(clock=SystemClock()).stage()
    staged.write(TRACE)
    staged.write(message)
    return Content(staged, TRACE)


@pytest.mark.parametrize(
    ("message", "header", "body"),
    [
        (b"A: b\r\n\r\nbody\r\n", b"A: b\r\n", b"body\r\n"),
        (b"A: b\n\nbody\n", b"A: b\n", b"body\n"),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"\r\nbody", b"", b"body"),
        (b"", b"", b""),
        (b"A: b\r\n\r\n", b"A: b\r\n", b""),
    ],
)
def test_a_message_is_cut_at_its_empty_line_and_our_lines_are_none_of_it(
    message: bytes, header: bytes, body: bytes
) -> None:
    content = content_of(message)

    assert (content.header, content.message.body(), content.octets) == (header, body, len(message))
    assert not content.is_cut
    assert content.message is content.message


def test_a_header_that_is_longer_than_what_is_seen_of_it_is_known() -> None:
    content = content_of(b"A: b\r\n" * 50_000 + b"\r\nbody")

    assert content.is_cut
    assert (content.header + b"".join(content.body_pieces())).endswith(b"A: b\r\n\r\nbody")


def test_an_edited_message_begins_anew_each_time() -> None:
    content = content_of(b"A: b\r\n\r\nbody")
    pieces = EditedPieces(content, EditedMessage(header=b"C: d", body=None), before=TRACE)
    other = EditedPieces(content, EditedMessage(header=b"", body=b"new"))

    assert [b"".join(pieces) for _ in range(2)] == [TRACE + b"C: d\r\n\r\nbody"] * 2
    assert b"".join(other) == b"\r\nnew"


def test_what_does_not_begin_as_it_was_written_is_given_to_nobody() -> None:
    class Forgetful:
        header_block = TRACE + b"A: b\r\n\r\n"
        octets = 100

        def chunks(self) -> Iterator[bytes]:
            yield b"something else"

    content = Content(Forgetful(), TRACE)  # type: ignore[arg-type]

    with pytest.raises(StoreUnavailable):
        content.message.body()
