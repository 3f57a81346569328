import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgstore.model.errors import StoreCorrupt
from msgstore.store.maildir.uidlist import UidList, UidRecord, format_records, parse_older_uidlist, parse_uidlist

LIST = (
    b"3 V1700000001 N20 G0123456789abcdef0123456789abcdef\n"
    b"5 W1234 :1700000000.M1P1.host,S=1200\n"
    b"6 Pold-uidl O3 :1700000001.M2P1.host\n"
    b"12 :1700000002.M3P1.host\n"
)
BASES = st.text("abc0.,=", min_size=1, max_size=6)


def test_the_list_of_dovecot_is_read_with_all_its_fields() -> None:
    found = parse_uidlist(LIST)

    assert (found.uidvalidity, found.uidnext, found.is_torn) == (1700000001, 20, False)
    assert found.header_fields == (("G", "0123456789abcdef0123456789abcdef"),)
    assert [(record.uid, record.base, record.fields) for record in found.records] == [
        (5, "1700000000.M1P1.host,S=1200", (("W", "1234"),)),
        (6, "1700000001.M2P1.host", (("P", "old-uidl"), ("O", "3"))),
        (12, "1700000002.M3P1.host", ()),
    ]
    assert found.records[1].get("P") == "old-uidl"
    assert found.format() == LIST


@pytest.mark.parametrize("cut", range(len(LIST)))
def test_a_list_cut_anywhere_gives_its_whole_lines_or_is_refused(cut: int) -> None:
    piece = LIST[:cut]

    if b"\n" not in piece:
        with pytest.raises(StoreCorrupt):
            parse_uidlist(piece)
        return
    found = parse_uidlist(piece)

    assert len(found.records) == piece.count(b"\n") - 1
    assert found.is_torn == (not piece.endswith(b"\n"))
    assert found.uidnext == 20


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"1 1700000001 20\n",
        b"3 N20\n",
        b"3 V0 N20\n",
        b"3 V99999999999 N20\n",
        b"3 V1 N0\n",
        b"3 V1 N2\n2 :b\n1 :a\n",
        b"3 V1 N2\n1 :a\n1 :b\n",
        b"3 V1 N2\n1 no colon\n",
        b"3 V1 N2\n1 :\n",
        b"3 V1 N2\n1 :../../etc/passwd\n",
        b"3 V1 N2\n\xc2\xb2 :a\n",
        b"3 V1 N2\n4294967296 :a\n",
        b"3 V1 N2\n\n1 :a\n",
    ],
)
def test_a_damaged_list_is_refused(content: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        parse_uidlist(content)


def test_a_message_that_stands_twice_counts_once_under_its_first_uid() -> None:
    found = parse_uidlist(b"3 V1 N9\n1 :a\n2 :b\n5 :a\n")

    assert [(record.uid, record.base) for record in found.records] == [(1, "a"), (2, "b")]
    assert found.uidnext == 9


def test_the_flags_that_dovecot_1_wrote_behind_a_name_are_cut_off() -> None:
    assert parse_uidlist(b"3 V1 N9\n1 :a:2,S\n").records == [UidRecord(1, "a")]


def test_the_next_uid_is_above_both_what_the_header_says_and_the_last_record() -> None:
    assert parse_uidlist(b"3 V1 N3\n9 :a\n").uidnext == 10
    assert parse_uidlist(b"3 V1 N30\n9 :a\n").uidnext == 30
    assert parse_uidlist(b"3 V1\n").uidnext == 1


def test_no_uid_is_given_out_beyond_the_last_one() -> None:
    full = UidList(uidvalidity=1, next_uid=2**32 - 2)

    with pytest.raises(StoreCorrupt):
        full.assign(["a", "b", "c"])


@given(st.lists(BASES, unique=True), st.integers(1, 2**32 - 1), st.integers(1, 2**31))
def test_what_is_written_is_read_back(bases: list[str], uidvalidity: int, next_uid: int) -> None:
    written = UidList(uidvalidity=uidvalidity, next_uid=next_uid)
    written.assign(bases)

    found = parse_uidlist(written.format())

    assert (found.uidvalidity, found.uidnext, found.records) == (uidvalidity, written.uidnext, written.records)


@given(st.lists(BASES, unique=True, min_size=1), st.lists(BASES, unique=True))
def test_records_appended_read_like_records_written_whole(first: list[str], second: list[str]) -> None:
    whole = UidList(uidvalidity=7, next_uid=1)
    whole.assign(first)
    content = whole.format()
    taken = whole.assign([base for base in second if base not in first])

    found = parse_uidlist(content + format_records(taken))

    assert (found.records, found.uidnext) == (whole.records, whole.uidnext)


def test_the_list_of_the_older_suite_is_taken_with_its_uids() -> None:
    found = parse_older_uidlist(b"3 V1650000000 N9\n2 1650000000.M1.h\n5 1650000001.M2.h:2,S\n8 165")

    assert (found.uidvalidity, found.uidnext) == (1650000000, 9)
    assert found.records == [UidRecord(2, "1650000000.M1.h"), UidRecord(5, "1650000001.M2.h")]


@pytest.mark.parametrize(
    "content",
    [b"", b"3 V1\n", b"3 V1 N1 G1\n", b"3 V0 N1\n", b"3 V1 N9\n2 a\n2 b\n", b"3 V1 N9\nx a\n", b"3 V1 N9\n2\n"],
)
def test_a_damaged_list_of_the_older_suite_is_refused(content: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        parse_older_uidlist(content)
