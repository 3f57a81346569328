"""mbox files of several kinds, cut into messages; and what is written as such."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.exchange.mbox_lines import format_separator, header_date, is_separator, separator_date
from msgstore.exchange.mbox_reader import read_messages
from msgstore.exchange.mbox_source import MboxSource
from msgstore.exchange.mbox_writer import mbox_octets
from msgstore.model.message import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from msgstore.store.disk import Disk
from tests.exchange.room import Held, Seen, held, memory, snapshot, take, tree_of

LINE = b"From a@example.com Thu Nov  9 10:11:12 2023\n"
DATE = 1_699_524_672


def texts(place: Path, content: bytes) -> list[bytes]:
    path = place / "file"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        return [b"".join(message.chunks()) for message in read_messages(fd)]
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (LINE, [b""]),
        (LINE + b"A: 1\n\nbody\n\n" + LINE + b"B: 2\n\nmore", [b"A: 1\n\nbody\n", b"B: 2\n\nmore"]),
        (LINE + b"A: 1\n\nbody\n\n\n", [b"A: 1\n\nbody\n\n"]),
        (LINE + b"A: 1\n\nFrom me to you\n\nFrom here\n>From x\n>>From y\n\n",
         [b"A: 1\n\nFrom me to you\n\nFrom here\nFrom x\n>From y\n"]),
        (LINE + b"A: 1\nContent-Length: %d\n\n>From a\n\n" % (9 + len(LINE)) + LINE + b"\n" + LINE + b"B: 2\n\n",
         [b"A: 1\n\n>From a\n\n" + LINE, b"B: 2\n\n"]),
        (LINE + b"A: 1\nContent-Length: 7\n\nlonger than that\n\n", [b"A: 1\n\nlonger than that\n"]),
        (LINE + b"A: 1\nContent-Length: 99999\n\nbody\n", [b"A: 1\n\nbody\n"]),
        (LINE + b"A: 1\n" + LINE + b"B: 2\n\n", [b"A: 1\n", b"B: 2\n\n"]),
        (LINE.replace(b"\n", b"\r\n") + b"A: 1\r\n\r\nbody\r\n\r\n" + LINE + b"B: 2\n\n",
         [b"A: 1\r\n\r\nbody\r\n", b"B: 2\n\n"]),
        (LINE + b"X-UID: 4\n goes on\nA: 1\nStatus: RO\nX-Keywords: a\n\nStatus: stays\n\n",
         [b"A: 1\n\nStatus: stays\n"]),
    ],
)  # fmt: skip
def test_a_file_is_cut_where_messages_begin(tmp_path: Path, content: bytes, expected: list[bytes]) -> None:
    assert texts(tmp_path, content) == expected


def test_long_lines_are_read_in_pieces_and_come_back_whole(tmp_path: Path) -> None:
    body = b"x" * 200_000 + b"From " * 30_000 + b"\n\nend\n"
    message = b"Subject: " + b"y" * 300_000 + b"\n\n" + body

    written = b"".join(mbox_octets(LINE, b"X-UID: 3\n", [message[:70_000], message[70_000:]]))

    assert texts(tmp_path, written + LINE + b"A: 1\n\n") == [message, b"A: 1\n\n"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no mbox file"):
        texts(tmp_path, b"hello\n" + LINE)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [b"\n", b"\r\n", LINE, b">" + LINE, b"Status: X\n", b" folded\n", b"A: b\n", b"x" * 70_000]
            ),
            st.binary(max_size=30),
        ),
        max_size=10,
    ),
    st.lists(st.integers(0, 200_000), max_size=5),
)
def test_what_is_written_does_not_depend_on_where_a_message_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    message = b"".join(pieces)
    bounds = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]

    whole = b"".join(mbox_octets(LINE, b"X-UID: 1\n", [message]))
    in_pieces = b"".join(mbox_octets(LINE, b"X-UID: 1\n", [message[a:b] for a, b in pairwise(bounds)]))

    assert in_pieces == whole
    assert whole.count(b"X-UID: 1\n") >= 1
    assert whole.endswith(b"\n\n")


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (LINE, DATE),
        (b"From - Thu Nov  9 10:11:12 2023", DATE),
        (b"From a b Thu Nov 9 10:11 2023", DATE - 12),
        (b"From a Thu Nov  9 11:11:12 2023 +0100", DATE),
        (b"From a Thu Nov  9 11:11:12 +0100 2023", DATE),
        (b"From a Thu Nov  9 10:11:12 MET 2023", DATE),
        (b"From a Thu Nov  9 10:11:12 1969", None),
        (b"From a", None),
        (format_separator(DATE), DATE),
        (format_separator(-5), 0),
    ],
)
def test_dates_of_separators(line: bytes, seconds: int | None) -> None:
    assert separator_date(line) == seconds


def test_a_line_without_a_date_separates_nothing_and_date_fields_are_read() -> None:
    assert not is_separator(b"From here on")
    assert header_date(b"Thu, 9 Nov 2023 11:11:12 +0100") == DATE
    assert header_date(b"whenever") is None
    assert header_date(None) is None


DOVECOT = (
    LINE
    + b"X-IMAPbase: 1234 0000000042 $Label1 work\nX-UID: 3\nStatus: RO\nX-Status: AFTD\nX-Keywords: work $Label1   \n"
    b"Subject: one\nX-UIDL: abc\n\none\n\n"
    + LINE.replace(b"2023", b"2022")
    + b"X-UID: 9\nStatus: O\nSubject: two\n\n>From two\n\n"
    + b"From nobody\nSubject: three\n\n"
).replace(b"From nobody\n", LINE)


def test_a_file_of_dovecot_keeps_its_uids_flags_and_keywords(tmp_path: Path) -> None:
    store = memory()
    path = tmp_path / "some file"
    path.write_bytes(DOVECOT)

    _, failures = take(store, MboxSource(Disk(), str(path)))
    again, _ = take(store, MboxSource(Disk(), str(path)))

    assert failures == []
    assert (again["INBOX"].put, again["INBOX"].present) == (0, 3)
    assert held(store)["INBOX"] == Held(
        uidvalidity=1234,
        uidnext=44,
        messages=(
            (
                3,
                Seen(
                    flags=frozenset({SEEN, ANSWERED, FLAGGED, DRAFT, DELETED}),
                    keywords=frozenset({"work", "$Label1"}),
                    date=DATE,
                    uidl="abc",
                    text=b"Subject: one\n\none\n",
                ),
            ),
            (9, Seen(date=DATE - 365 * 86_400, text=b"Subject: two\n\nFrom two\n")),
            (43, Seen(date=DATE, text=b"Subject: three\n\n")),
        ),
    )


def test_a_directory_of_mbox_files_has_a_folder_in_each(tmp_path: Path) -> None:
    store = memory()
    internal = LINE + b"Subject: FOLDER INTERNAL DATA\nX-IMAP: 55 0000000004\n\ntext\n\n"
    tree_of(
        tmp_path,
        {
            "inbox": LINE + b"A: 1\n\n",
            "Archive/2020": internal + LINE + b"X-UID: 2\nB: 1\n\n",
            "Archive/notes.txt": b"no mbox at all\n",
            "Archive/.imap/x": b"",
            "&APw-": LINE + b"X-UID: 5\nX-Keywords: bad(word\n\n",
            ".subscriptions": b"Archive/2020\n",
        },
    )
    (tmp_path / "link").symlink_to(tmp_path / "inbox")
    before = snapshot(tmp_path)

    _, failures = take(store, MboxSource(Disk(), str(tmp_path)))

    found = held(store)
    assert set(found) == {"INBOX", "Archive/2020", "ü"}
    year = found["Archive/2020"]
    assert (year.uidvalidity, year.uidnext, year.subscribed) == (55, 5, True)
    assert [uid for uid, _ in year.messages] == [2]
    assert {one.place for one in failures} == {
        "Archive/notes.txt",
        "link",
        "&APw-: message 1: keyword bad(word",
    }
    assert snapshot(tmp_path) == before


def test_uids_that_do_not_ascend_or_were_never_given_out_are_not_kept(tmp_path: Path) -> None:
    store = memory()
    path = tmp_path / "box"
    uids = (b"5", b"3", b"6", b"99999999999999999999999")
    parts = [
        LINE + (b"X-IMAPbase: 7 8\n" if uid == b"5" else b"") + b"X-UID: " + uid + b"\nN: " + uid + b"\n\n"
        for uid in uids
    ]
    path.write_bytes(b"".join(parts))

    _, failures = take(store, MboxSource(Disk(), str(path)))

    assert [uid for uid, _ in held(store)["INBOX"].messages] == [5, 9, 10, 11]
    assert [one.place for one in failures] == ["box: message 2", "box: message 3"]


def test_a_file_cut_anywhere_loses_nothing_of_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "box"
    for cut in range(len(LINE), len(DOVECOT), 7):
        path.write_bytes(DOVECOT[:cut])
        store = memory()

        taken, _ = take(store, MboxSource(Disk(), str(path)))

        assert taken["INBOX"].failed == 0
        assert taken["INBOX"].put == DOVECOT[:cut].count(b":12 202") - DOVECOT[:cut].endswith(b":12 202")
