"""What scripts send, and what is remembered of it."""

from collections.abc import Generator
from pathlib import Path

import pytest

from msgstore.model.envelope import BodyType
from msgstore.model.errors import OutboundRefused, OutboundUnavailable
from msgstore.model.result import EnhancedStatus, Outcome
from tests.delivery.sieve_room import BOB, MESSAGE, Room, room_in


@pytest.fixture
def room(tmp_path: Path) -> Generator[Room]:
    with room_in(tmp_path) as made:
        yield made


def test_a_redirect_sends_the_message_on_and_keeps_no_copy(room: Room) -> None:
    (result,) = room.deliver(script='redirect "x@far.example";')

    assert (result.reply_code, result.text, result.outcome) == (250, "Sent on", Outcome.REDIRECTED)
    ((submission, content),) = room.outbound.sent
    assert str(submission.reverse_path) == "carol@example.net"
    assert content.startswith(b"X-Sieve-Redirected-From: alice@example.com\r\nReceived: from mx.example.net")
    assert content.endswith(MESSAGE)
    assert b"Delivered-To" not in content
    assert submission.octets == len(content)
    assert room.texts() == []


def test_an_edited_message_is_redirected_as_it_was_edited(room: Room) -> None:
    script = 'require ["editheader", "copy"]; redirect :copy "a@far.example"; addheader "X-New" "y"; redirect "b@c.d";'

    room.deliver(script=script)

    assert room.outbound.recipients() == [["a@far.example"], ["b@c.d"]]
    assert [b"X-New: y\r\nFrom:" in content for _, content in room.outbound.sent] == [False, True]
    assert room.outbound.sent[1][1].endswith(b"\r\n\r\nbody\r\n")


def test_the_null_sender_stays_null_and_others_are_what_the_site_says(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"redirect_sender": "user"}) as room:
        room.deliver(script='redirect "x@far.example";', reverse_path=None)
        room.deliver("alice+x@example.com", message=MESSAGE.replace(b"<1@", b"<2@"))

        assert [str(one.reverse_path) for one, _ in room.outbound.sent] == ["None", "alice@example.com"]


def test_the_same_message_is_redirected_once_in_twelve_hours(room: Room) -> None:
    room.deliver(script='redirect "x@far.example";')
    (again,) = room.deliver()
    room.deliver(message=MESSAGE.replace(b"Subject: hi", b"Subject: another one with the id of the first"))
    room.clock.now += 13 * 3600
    room.deliver()

    assert again.reply_code == 250
    assert len(room.outbound.sent) == 3


def test_messages_without_an_id_are_told_apart_by_their_text(room: Room) -> None:
    room.deliver(script='redirect "x@far.example";', message=b"\r\none\r\n")
    room.deliver(message=b"\r\ntwo\r\n")
    room.deliver(message=b"\r\ntwo\r\n")

    assert [content[-5:] for _, content in room.outbound.sent] == [b"one\r\n", b"two\r\n"]


@pytest.mark.parametrize(
    "members", ["not an address\nlocal\n", "".join(f"u{number}@a.b\n" for number in range(51)), ""]
)
def test_a_list_that_cannot_be_redirected_to_loses_nothing(tmp_path: Path, members: str) -> None:
    (tmp_path / "list").write_text(members)
    with room_in(tmp_path, sieve={"lists": {"list": str(tmp_path / "list")}}) as room:
        (result,) = room.deliver(script='require "extlists"; redirect :list "list";')

        assert (result.outcome, len(room.texts()), room.outbound.sent) == (Outcome.STORED, 1, [])
        assert "no address to redirect to" in room.user_log()


def test_a_report_about_a_message_goes_out_with_it(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"extensions": ["vnd.dovecot.report", "vnd.dovecot.debug"]}) as room:
        room.deliver(
            script="""require ["vnd.dovecot.report", "vnd.dovecot.debug"];
            report "abuse" "bad" "abuse@example.net"; report :headers_only "fraud" "bad" "abuse@example.net";
            debug_log "here";"""
        )

        whole, headers = (content for _, content in room.outbound.sent)
        assert room.outbound.recipients() == [["abuse@example.net"]] * 2
        assert b"report-type=feedback-report" in whole
        assert b"Feedback-Type: abuse\r\n" in whole
        assert b"Content-Type: message/rfc822\r\n" in whole
        assert MESSAGE in whole
        assert b"Content-Type: text/rfc822-headers\r\n" in headers
        assert b"body" not in headers
        assert "line 3: debug: here" in room.user_log()
        assert len(room.texts()) == 1


def test_binary_content_and_what_a_server_refuses_is_kept_but_a_reply_is_only_noted(room: Room) -> None:
    room.outbound.error = OutboundRefused("never", EnhancedStatus(5, 7, 1))
    (reply,) = room.deliver(script=VACATION)
    room.outbound.error = None
    (redirect,) = room.deliver(script='redirect "x@far.example";', body_type=BodyType.BINARY_MIME)

    assert [reply.reply_code, redirect.reply_code] == [250, 250]
    assert len(room.texts()) == 2
    assert "the vacation reply was refused: never" in room.user_log()


def test_a_message_that_comes_back_is_kept_and_not_sent_again(room: Room) -> None:
    (result,) = room.deliver(
        script='redirect "x@far.example";', message=b"X-Sieve-Redirected-From: ALICE@example.com\r\n" + MESSAGE
    )

    assert result.outcome is Outcome.STORED
    assert (len(room.texts()), room.outbound.sent) == (1, [])


def test_while_nothing_can_be_sent_nothing_is_stored_and_what_was_sent_is_not_sent_again(room: Room) -> None:
    script = 'require ["copy", "fileinto"]; redirect :copy "x@far.example"; redirect :copy "y@far.example";'
    room.outbound.error = OutboundUnavailable("away")
    (result,) = room.deliver(script=script)
    stored = room.texts()
    room.outbound.error = None
    (again,) = room.deliver()

    assert (result.reply_code, str(result.status), stored) == (451, "4.4.0", [])
    assert again.reply_code == 250
    assert room.outbound.recipients() == [["x@far.example"], ["y@far.example"]]
    assert len(room.texts()) == 1


def test_a_redirect_that_is_refused_for_good_leaves_the_message_in_the_inbox(room: Room) -> None:
    room.outbound.error = OutboundRefused("no such user", EnhancedStatus(5, 1, 1))

    (result,) = room.deliver(script='redirect "x@far.example";')

    assert (result.reply_code, result.outcome) == (250, Outcome.STORED)
    assert len(room.texts()) == 1
    assert "the redirect to x@far.example was refused" in room.user_log()


VACATION = 'require "vacation"; vacation :days 3 "I am away";'


def test_a_vacation_reply_is_sent_once_to_each_sender(room: Room) -> None:
    room.deliver(script=VACATION)
    room.deliver()
    room.deliver(reverse_path="dave@example.net")
    room.clock.now += 4 * 86_400
    room.deliver()

    assert room.outbound.recipients() == [["carol@example.net"], ["dave@example.net"], ["carol@example.net"]]
    submission, content = room.outbound.sent[0]
    assert submission.reverse_path is None
    assert b"Auto-Submitted: auto-replied\r\n" in content
    assert b"From: alice@example.com\r\n" in content
    assert b"I am away" in content
    assert len(room.texts()) == 4
    assert room.counted.events.count("sieve_vacation") == 4


def test_what_was_said_is_remembered_over_a_restart(tmp_path: Path) -> None:
    sent: list[int] = []
    stored: list[int] = []
    for _ in range(2):
        with room_in(tmp_path) as room:
            room.shelf(BOB).script = 'require "duplicate"; if duplicate { discard; }'
            room.deliver(script=VACATION)
            room.deliver("bob@example.com")
            sent.append(len(room.outbound.sent))
            stored.append(len(room.texts(mailbox=BOB)))

    assert (sent, stored) == ([1, 0], [1, 1])


def test_a_reply_that_could_not_be_sent_is_sent_the_next_time(room: Room) -> None:
    room.outbound.error = OutboundUnavailable("away")
    (first,) = room.deliver(script=VACATION)
    room.outbound.error = None
    (second,) = room.deliver()

    assert (first.reply_code, second.reply_code) == (451, 250)
    assert (len(room.outbound.sent), len(room.texts())) == (1, 1)


def test_mail_does_not_wait_for_a_reply_where_no_server_takes_any(tmp_path: Path) -> None:
    with room_in(tmp_path, target="") as room:
        (result,) = room.deliver(script=VACATION)

        assert result.reply_code == 250
        assert "this server sends no mail" in room.user_log()


def test_a_duplicate_counts_only_once_the_first_one_was_stored(room: Room) -> None:
    script = (
        'require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; } elsif true { redirect "x@y.z"; keep; }'
    )
    room.outbound.error = OutboundUnavailable("away")
    room.deliver(script=script)
    room.outbound.error = None
    room.deliver()
    room.deliver()

    assert (len(room.texts()), len(room.texts("Trash"))) == (1, 1)


def test_a_notification_is_sent_to_whom_the_script_names(room: Room) -> None:
    room.deliver(script='require "enotify"; notify :message "news" "mailto:me@phone.example?cc=you@phone.example";')

    ((_, content),) = room.outbound.sent
    assert room.outbound.recipients() == [["me@phone.example", "you@phone.example"]]
    assert b"Subject: news\r\n" in content
    assert len(room.texts()) == 1


def test_a_copy_of_a_reply_is_filed_where_the_script_says(room: Room) -> None:
    room.deliver(script='require ["vacation", "fcc", "fileinto"]; vacation :fcc "Sent" "I am away";')

    (copy,) = room.texts("Sent")
    assert copy == room.outbound.sent[0][1]
    assert len(room.texts()) == 1
