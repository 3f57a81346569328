"""The IMAP client of the standard library against our daemons, through the reference IMAP server."""

import imaplib
import re
from collections.abc import Generator, Sequence

import pytest

from tests.scenario.harness import DOMAIN
from tests.scenario.imap_post import Post, access, logged_in, mail, post_office

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120), pytest.mark.usefixtures("backend")]


@pytest.fixture(scope="module")
def post(backend: str) -> Generator[Post]:
    with post_office("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy") as made:
        yield made


def told(client: imaplib.IMAP4, code: str) -> list[str]:
    """Take what the server said under a code since it was last asked."""
    said: list[bytes | None] = client.response(code)[1]
    return [line.decode() for line in said if line is not None]


def fetched(client: imaplib.IMAP4, what: str, uids: str = "1:*") -> list[str]:
    """Give the one-line answers to a FETCH alone, not what was said unasked before."""
    client.response("FETCH")
    lines: list[object] = client.uid("FETCH", uids, what)[1]
    return [line.decode() for line in lines if isinstance(line, bytes)]


def refusal(answer: tuple[str, Sequence[bytes | None]]) -> str:
    """Give the response code of a NO."""
    assert answer[0] == "NO"
    found = re.match(rb"\[([A-Z]+)\]", answer[1][0] or b"")
    return "" if found is None else found[1].decode()


def test_imaplib_changes_flags_and_keywords_which_every_session_sees(post: Post) -> None:
    with logged_in(post, "alice") as client, logged_in(post, "alice") as other:
        for token in ("one", "two", "three"):
            client.append("INBOX", "", "", mail(token))
        other.noop()
        told(other, "FETCH")

        client.uid("STORE", "1:3", "+FLAGS", "(\\Seen $Forwarded)")
        client.uid("STORE", "2", "-FLAGS", "(\\Seen)")
        client.uid("STORE", "3", "FLAGS.SILENT", "(\\Answered Later)")
        other.noop()
        heard = told(other, "FETCH")

        expected = [
            "1 (FLAGS (\\Seen $Forwarded) UID 1)",
            "2 (FLAGS ($Forwarded) UID 2)",
            "3 (FLAGS (\\Answered Later) UID 3)",
        ]
        assert fetched(client, "(FLAGS)") == expected
        assert fetched(other, "(FLAGS)") == expected
        assert heard == [re.sub(r" UID \d", "", line) for line in expected]
        assert client.uid("SEARCH", "KEYWORD", "Later")[1] == [b"3"]
        assert client.uid("SEARCH", "UNSEEN")[1] == [b"2 3"]


def test_imaplib_copies_and_moves_with_flags_keywords_and_date(post: Post) -> None:
    date = '"09-Feb-2020 01:02:03 +0000"'
    with logged_in(post, "bob") as client:
        client.create("Kept")
        for token in ("one", "two", "three"):
            client.append("INBOX", "(\\Flagged Red)", date, mail(token))
        before = fetched(client, "(FLAGS INTERNALDATE RFC822.SIZE)")

        client.uid("COPY", "1:2", "Kept")
        copied = told(client, "COPYUID")
        client.uid("MOVE", "3,1", "Kept")
        moved = told(client, "COPYUID")
        left = fetched(client, "(FLAGS)")
        client.select("Kept")

        assert before[0] == f"1 (FLAGS (\\Flagged Red) INTERNALDATE {date} RFC822.SIZE {len(mail('one'))} UID 1)"
        assert [line.split()[1:] for line in copied] == [["1:2", "1:2"]]
        assert [line.split()[1:] for line in moved] == [["1,3", "3:4"]]
        assert left == ["1 (FLAGS (\\Flagged Red) UID 2)"]
        kept = fetched(client, "(FLAGS INTERNALDATE)")
        assert kept == [f"{one} (FLAGS (\\Flagged Red) INTERNALDATE {date} UID {one})" for one in range(1, 5)]


@pytest.mark.parametrize(
    ("octets", "date"),
    [(0, "31-Dec-1999 23:59:59 +0000"), (1000, "02-Jan-1904 00:00:00 +0000"), (300_000, "01-Jan-2040 00:00:00 +0000")],
)
def test_imaplib_appends_what_it_fetches_afterwards(post: Post, octets: int, date: str) -> None:
    body = mail("big") + b".dots\r\n" * (octets // 7)
    with logged_in(post, "carol") as client:
        said = client.append("INBOX", "(\\Draft)", f'"{date}"', body)[1]
        uid = re.search(rb"APPENDUID \d+ (\d+)", said[0])
        assert uid is not None
        number = uid[1].decode()
        client.noop()
        told(client, "FETCH")

        whole = client.uid("FETCH", number, "(INTERNALDATE RFC822.SIZE BODY.PEEK[])")[1]
        part = client.uid("FETCH", number, "(BODY.PEEK[]<40.10>)")[1]
        header = client.uid("FETCH", number, "(BODY.PEEK[HEADER.FIELDS (Subject)])")[1]

        assert isinstance(whole[0], tuple)
        assert whole[0][1] == body
        assert f'INTERNALDATE "{date}"'.encode() in whole[0][0]
        assert b"RFC822.SIZE %d " % len(body) in whole[0][0]
        assert isinstance(part[0], tuple)
        assert part[0][1] == body[40:50]
        assert isinstance(header[0], tuple)
        assert header[0][1] == b"Subject: big\r\n\r\n"


def test_a_uid_expunge_removes_one_of_two_deleted_and_others_hear_of_it(post: Post) -> None:
    with logged_in(post, "dave") as client, logged_in(post, "dave") as other:
        for token in ("one", "two", "three"):
            client.append("INBOX", "", "", mail(token))
        other.noop()
        client.uid("STORE", "1:2", "+FLAGS", "(\\Deleted)")

        client.uid("EXPUNGE", "9:10")
        client.uid("EXPUNGE", "2:3")
        other.noop()

        assert told(client, "EXPUNGE") == ["2"]
        assert told(other, "EXPUNGE") == ["2"]
        assert fetched(other, "(FLAGS)") == ["1 (FLAGS (\\Deleted) UID 1)", "2 (FLAGS () UID 3)"]
        assert client.expunge()[1] == [b"1"]
        assert fetched(client, "(FLAGS)") == ["1 (FLAGS () UID 3)"]


def test_a_message_that_another_session_removed_never_comes_empty(post: Post) -> None:
    with logged_in(post, "judy") as client, logged_in(post, "judy") as late, access(post.ours, "judy") as session:
        client.append("INBOX", "", "", mail("one"))
        client.append("INBOX", "", "", mail("two"))
        client.noop()
        late.noop()
        session.set_flags(1, change="add", flags=["\\Deleted"])
        session.expunge(which="flagged")

        by_uid = fetched(client, "(BODY.PEEK[])", "1")
        copied = client.uid("COPY", "1", "Trash")

        assert by_uid == []
        assert told(client, "EXPUNGE") == ["1"]
        assert copied[0] == "OK"
        assert told(client, "COPYUID") == []
        assert session.stat("Trash").messages == 0
        with pytest.raises(imaplib.IMAP4.abort):
            late.fetch("1", "(BODY.PEEK[])")


def test_imaplib_renames_and_subscribes_and_keeps_the_messages(post: Post) -> None:
    with logged_in(post, "erin", folder=None) as client:
        client.create("Work/2020")
        client.append("Work/2020", "", "", mail("kept"))
        client.subscribe("Work/2020")
        status = client.status("Work/2020", "(MESSAGES UIDNEXT UIDVALIDITY)")[1][0]

        client.rename("Work", "Archive")
        names = [str(line) for line in client.list('""', "*")[1]]
        subscribed, top = client.lsub('""', "*")[1], client.lsub('""', "%")[1]
        after = client.status("Archive/2020", "(MESSAGES UIDNEXT)")[1][0]

        assert status is not None
        assert status.startswith(b"Work/2020 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ")
        assert after == b"Archive/2020 (MESSAGES 1 UIDNEXT 2)"
        assert not [name for name in names if "Work" in name]
        assert subscribed == [b'(\\HasNoChildren) "/" Archive/2020']
        assert top == [b'(\\Noselect \\HasChildren) "/" Archive']
        assert client.unsubscribe("Archive/2020")[0] == "OK"
        assert client.lsub('""', "*")[1] == [None]
        assert refusal(client.delete("Archive")) == "HASCHILDREN"
        assert client.delete("Archive/2020")[0] == "OK"
        assert client.delete("Archive")[0] == "OK"


def test_a_list_tells_special_use_and_children(post: Post) -> None:
    with access(post.ours, "frank") as session:
        session.create_folder("Old", special_use="\\Archive")
        session.create_folder("Old/2001")

    with logged_in(post, "frank", folder=None) as client:
        listed = client.list('""', "%")[1]
        below = client.list('"Old/"', "%")[1]

        assert "SPECIAL-USE" in str(client.capability()[1][0])
        assert b'(\\HasChildren \\Archive) "/" Old' in listed
        assert b'(\\HasNoChildren \\Sent) "/" Sent' in listed
        assert below == [b'(\\HasNoChildren) "/" Old/2001']


@pytest.mark.parametrize("name", ["Entw&APw-rfe", "a.b", "x&-y", "~home", "[Gmail]/All Mail", "a/new", "100%"])
def test_a_folder_of_any_name_keeps_it(post: Post, name: str) -> None:
    quoted = f'"{name}"'
    with logged_in(post, "grace", folder=None) as client:
        made = client.create(quoted)
        client.append(quoted, "", "", mail("here"))
        chosen = client.select(quoted)
        listed = " ".join(str(line) for line in client.list('""', "*")[1])

        assert made[0] == "OK", made
        assert chosen == ("OK", [b"1"])
        assert name in listed


def test_an_idling_client_hears_of_mail_that_comes(post: Post) -> None:
    with logged_in(post, "heidi") as client:
        client.send(b"I IDLE\r\n")
        assert client.readline().startswith(b"+")
        with access(post.ours, "heidi") as session:
            session.append(mail("new"))

        heard = [client.readline(), client.readline()]
        client.send(b"DONE\r\n")
        end_of_idle = client.readline()

        assert heard == [b"* 1 EXISTS\r\n", b"* 1 FETCH (FLAGS ())\r\n"]
        assert end_of_idle.startswith(b"I OK")


def test_refusals_carry_their_response_codes(post: Post, backend: str) -> None:
    with logged_in(post, "ivan") as client:
        client.append("INBOX", "", "", mail("one"))
        client.create("There")
        client.noop()

        assert refusal(client.copy("1", "Nowhere")) == "TRYCREATE"
        assert refusal(client.append("Nowhere", "", "", mail("two"))) == "TRYCREATE"
        assert refusal(client.create("There")) == "ALREADYEXISTS"
        assert refusal(client.create("a//b")) == "CANNOT"
        if backend == "maildir":
            assert refusal(client.create("cur")) == "CANNOT"
        assert refusal(client.delete("Nowhere")) == "NONEXISTENT"
        assert refusal(client.rename("Nowhere", "Else")) == "NONEXISTENT"
        assert refusal(client.select("Nowhere")) == "NONEXISTENT"
        with imaplib.IMAP4("127.0.0.1", post.port, timeout=30) as other, pytest.raises(imaplib.IMAP4.error) as wrong:
            other.login(f"ivan@{DOMAIN}", "wrong")
        assert "AUTHENTICATIONFAILED" in str(wrong.value)


def test_a_restart_of_accessd_ends_the_client_and_changes_no_uid() -> None:
    with post_office("alice") as post:
        with logged_in(post, "alice") as client:
            client.append("INBOX", "", "", mail("one"))
            validity, rows = told(client, "UIDVALIDITY"), fetched(client, "(FLAGS INTERNALDATE)")

            post.ours.stop("accessd")
            post.ours.start("accessd")
            with pytest.raises(imaplib.IMAP4.abort):
                client.noop()

        with logged_in(post, "alice") as client:
            assert told(client, "UIDVALIDITY") == validity
            assert fetched(client, "(FLAGS INTERNALDATE)") == rows
