"""Scripts decide where mail goes; a real store, and what would be sent is collected."""

from collections.abc import Generator
from pathlib import Path

import pytest

from msgstore.model.envelope import SpamVerdict
from msgstore.model.errors import MailboxNotFound, StoreUnavailable
from msgstore.model.folder import FolderName
from msgstore.model.result import Outcome
from tests.delivery.sieve_room import ALICE, BOB, MESSAGE, Room, room_in


@pytest.fixture
def room(tmp_path: Path) -> Generator[Room]:
    with room_in(tmp_path) as made:
        yield made


def test_without_a_script_mail_goes_where_it_did(room: Room) -> None:
    (result,) = room.deliver("alice+Junk@example.com")

    assert (result.reply_code, result.outcome) == (250, Outcome.STORED)
    assert len(room.texts("Junk")) == 1
    assert room.counted.events == []


def test_fileinto_puts_the_same_file_where_the_script_says_with_its_flags(room: Room) -> None:
    script = 'require ["fileinto", "imap4flags", "mailbox"];\nfileinto :create :flags "\\\\Seen $todo" "New/Inner";'

    (result,) = room.deliver("alice@example.com", "bob@example.com", script=script)[:1]

    (info,) = room.infos("New/Inner")
    assert (info.flags, info.keywords) == (frozenset({"\\Seen"}), frozenset({"$todo"}))
    assert [str(place.folder) for place in result.filed] == ["New/Inner"]
    assert room.texts() == []
    assert len(room.texts(mailbox=BOB)) == 1
    (file,) = (room.root / "example.com" / "users" / "bob" / "new").iterdir()
    # One body for both: plain filing stays a link.
    assert file.stat().st_nlink == 2
    assert room.counted.events == ["sieve_filed"]


def test_a_missing_folder_without_create_is_an_error_and_the_mail_lies_in_the_inbox(room: Room) -> None:
    (result,) = room.deliver(script='require "fileinto";\n\nfileinto "Nowhere";')

    assert result.reply_code == 250
    assert len(room.texts()) == 1
    assert "line 3: folder Nowhere is missing" in room.user_log()
    assert room.counted.events == ["sieve_filed", "sieve_error"]


def test_a_missing_folder_is_made_where_the_site_wants_that(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"missing_folder": "create"}) as room:
        room.deliver(script='require "fileinto"; fileinto "Nowhere";')

        assert (len(room.texts("Nowhere")), len(room.texts())) == (1, 0)


def test_special_use_goes_before_the_name(room: Room) -> None:
    room.deliver(script='require ["fileinto", "special-use"]; fileinto :specialuse "\\\\junk" "Other";')

    assert (len(room.texts("Junk")), len(room.texts())) == (1, 0)


def test_the_id_of_a_folder_goes_before_its_name(room: Room) -> None:
    room.deliver("alice+Junk@example.com")
    tree = room.store.folders(ALICE)
    assert tree.guid(FolderName.parse("Junk")) is None
    room.texts("Junk")
    guid = tree.guid(FolderName.parse("Junk"))
    tree.rename(FolderName.parse("Junk"), FolderName.parse("Elsewhere"))
    script = f"""require ["fileinto", "mailboxid", "mailbox"];
        if mailboxidexists "{guid}" {{ fileinto :mailboxid "{guid}" "Junk"; }}
        if not mailboxidexists ["{guid}", "{"0" * 32}"] {{ fileinto :mailboxid "{"0" * 32}" :create "Other"; }}"""

    room.deliver(script=script)

    assert (len(room.texts("Elsewhere")), len(room.texts("Other")), len(room.texts())) == (2, 1, 0)


def test_the_implicit_keep_follows_the_detail(room: Room) -> None:
    room.deliver("alice+Junk@example.com", script='require "imap4flags"; addflag "\\\\Flagged";')

    (info,) = room.infos("Junk")
    assert info.flags == frozenset({"\\Flagged"})


def test_discard_is_a_success_with_nothing_filed_and_tells_nobody(room: Room) -> None:
    (result,) = room.deliver(script="discard;")

    assert (result.reply_code, result.text, result.outcome) == (250, "Saved", Outcome.DISCARDED)
    assert (room.texts(), room.outbound.sent) == ([], [])


def test_an_edited_message_is_staged_for_its_recipient_alone(room: Room) -> None:
    script = 'require "editheader"; addheader "X-New" "yes"; deleteheader "X-None";'

    results = room.deliver("alice@example.com", "bob@example.com", script=script)

    assert [result.reply_code for result in results] == [250, 250]
    (edited,) = room.texts()
    (other,) = room.texts(mailbox=BOB)
    assert edited.startswith(b"Return-Path: <carol@example.net>\r\n")
    assert b"\r\nX-New: yes\r\nFrom: Carol" in edited
    assert edited.endswith(b"\r\n\r\nbody\r\n")
    assert other.endswith(MESSAGE)
    assert b"X-New" not in other
    assert [str(place.folder) for place in results[0].filed] == ["INBOX"]


def test_an_edited_message_is_whole_where_the_store_keeps_lf(tmp_path: Path) -> None:
    with room_in(tmp_path, store={"line_endings": "lf"}) as room:
        room.deliver(script='require ["editheader", "body"]; if body :contains "body" { addheader "X-New" "yes"; }')

        (edited,) = room.texts()
        assert b"\nX-New: yes\nFrom: Carol" in edited
        assert edited.endswith(b"\n\nbody\n")
        assert b"\r" not in edited


def test_refusals_stand_in_order_and_with_the_words_of_the_script(room: Room) -> None:
    room.shelf(BOB).script = 'require "reject"; reject "first\r\nsecond";'

    results = room.deliver("alice@example.com", "bob@example.com")

    assert [(result.reply_code, str(result.status)) for result in results] == [(250, "2.0.0"), (550, "5.7.1")]
    assert (results[1].text, results[1].outcome) == ("first\nsecond", Outcome.REJECTED)
    assert room.texts(mailbox=BOB) == []
    assert room.counted.deliveries == ["success", "rejected"]
    assert room.counted.events == ["sieve_rejected"]


def test_a_reject_that_a_reply_cannot_hold_becomes_a_report_and_an_ereject_is_cut(room: Room) -> None:
    (by_mail,) = room.deliver(script='require "reject"; reject "schöner Grund";')
    (by_reply,) = room.deliver(script='require "ereject"; ereject "schöner Grund";')

    assert (by_mail.reply_code, by_mail.outcome) == (250, Outcome.DISCARDED)
    ((submission, content),) = room.outbound.sent
    assert (submission.reverse_path, room.outbound.recipients()) == (None, [["carol@example.net"]])
    assert b"disposition-notification" in content
    assert (by_reply.reply_code, by_reply.text) == (550, "sch?ner Grund")
    assert room.texts() == []


def test_where_no_report_can_be_sent_a_refusal_is_cut_or_the_mail_is_kept(tmp_path: Path) -> None:
    with room_in(tmp_path, target="") as room:
        results = room.deliver(
            "alice@example.com", "two@example.com", script='require "reject"; reject "schöner Grund";'
        )

        assert [one.reply_code for one in results] == [550, 250]
        assert (results[0].text, len(room.texts()), len(room.texts(mailbox=BOB))) == ("sch?ner Grund", 1, 1)


def test_a_refusal_without_words_says_what_the_site_says(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"reject_text": "No."}) as room:
        (result,) = room.deliver(script='require "ereject"; ereject " ";')

        assert result.text == "No."


def test_one_of_several_mailboxes_of_an_address_refuses_by_mail(room: Room) -> None:
    (result,) = room.deliver("two@example.com", script='require "reject"; reject "no";')

    assert result.reply_code == 250
    assert (len(room.texts()), len(room.texts(mailbox=BOB))) == (0, 1)
    assert room.outbound.recipients() == [["carol@example.net"]]


def test_a_broken_script_keeps_mail_in_the_inbox_and_both_logs_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "all.sieve").write_text("discard;")
    with room_in(tmp_path, sieve={"default": str(tmp_path / "all.sieve")}) as room:
        room.deliver("bob@example.com", script="keep;\n\nfileinto;\n")
        (result,) = room.deliver()

        assert (result.reply_code, len(room.texts()), len(room.texts(mailbox=BOB))) == (250, 1, 0)
        assert "3:1: error: " in room.user_log()
        (line,) = [one for one in capsys.readouterr().err.splitlines() if "sieve.script_broken" in one]
        assert "line=3" in line
        assert f"delivery_id={result.delivery_id}" in line
        assert "sieve_error" in room.counted.events


def test_a_script_that_fails_keeps_the_message_as_it_came(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    script = 'require ["editheader", "include"]; addheader "X-New" "y"; redirect "x@y.z";\ninclude "gone";'

    (result,) = room.deliver(script=script)

    assert result.reply_code == 250
    (text,) = room.texts()
    assert text.endswith(b"+0000\r\n" + MESSAGE)
    assert room.outbound.sent == []
    assert "line 2" in room.user_log()
    assert "sieve.script_failed" in capsys.readouterr().err


def test_a_script_that_cannot_be_read_now_lets_mail_wait(room: Room) -> None:
    room.shelf(ALICE).error = StoreUnavailable("I/O error")
    results = room.deliver("alice@example.com", "bob@example.com")
    room.shelf(ALICE).error = MailboxNotFound("not yet")
    (without,) = room.deliver()

    assert [(one.reply_code, str(one.status)) for one in results] == [(451, "4.2.0"), (250, "2.0.0")]
    assert without.reply_code == 250


def test_shelves_that_cannot_be_opened_now_let_mail_wait_and_those_that_are_not_made_yet_do_not(room: Room) -> None:
    room.troubles = {ALICE: StoreUnavailable("I/O error"), BOB: MailboxNotFound("not yet")}

    results = room.deliver("alice@example.com", "bob@example.com")

    assert [(one.reply_code, str(one.status)) for one in results] == [(451, "4.2.0"), (250, "2.0.0")]


def test_scripts_of_the_site_run_before_and_after_that_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "before").write_text('require "imap4flags"; addflag "$before"; if header "subject" "stop" { discard; }')
    (tmp_path / "after").write_text('require ["fileinto"]; fileinto "Trash";')
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "passwd").write_text("alice:h:alice\nbob:h:bob\n")
    (tmp_path / "example.com" / "system.sieve").write_text('require "fileinto"; fileinto "Junk";')
    sieve = {"before": [str(tmp_path / "before")], "after": [str(tmp_path / "after")]}
    with room_in(tmp_path, sieve=sieve) as room:
        room.deliver(script="keep;")
        room.deliver(script="# nothing")
        room.deliver(message=b"Subject: stop\r\n\r\n")
        room.deliver("bob@example.com")

        assert [info.keywords for info in room.infos()] == [frozenset({"$before"})]
        assert [info.keywords for info in room.infos("Trash")] == [frozenset({"$before"})]
        assert (len(room.texts("Junk", BOB)), len(room.texts("Trash", BOB))) == (1, 0)


def test_scripts_include_others_of_the_user_and_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "flag.sieve").write_text('require "imap4flags"; addflag "$site";')
    with room_in(tmp_path, sieve={"global_dir": str(tmp_path / "global")}) as room:
        room.shelf(ALICE).others["mine"] = 'require "imap4flags"; addflag "$mine";'
        room.deliver(script='require "include"; include "mine"; include :global "flag"; include :optional "none";')

        (info,) = room.infos()
        assert info.keywords == {"$mine", "$site"}


def test_lists_of_the_site_can_be_asked_and_redirected_to(tmp_path: Path) -> None:
    (tmp_path / "friends").write_text("# who\ncarol@example.net\ndave@example.net\n")
    with room_in(tmp_path, sieve={"lists": {"friends": str(tmp_path / "friends")}}) as room:
        room.deliver(
            script='require ["extlists", "copy", "envelope"]; if envelope :list "from" "friends" '
            '{ redirect :copy :list "friends"; } if valid_ext_list "others" { discard; }'
        )

        assert room.outbound.recipients() == [["carol@example.net"], ["dave@example.net"]]
        assert len(room.texts()) == 1


@pytest.mark.parametrize(
    ("spam", "flags"),
    [
        (None, {"untested"}),
        (SpamVerdict(is_spam=False, score=0.5), {"low"}),
        (SpamVerdict(is_spam=True, score=16), {"high", "yes", "ten"}),
    ],
)
def test_what_a_scanner_said_is_there_for_scripts(room: Room, spam: SpamVerdict | None, flags: set[str]) -> None:
    room.deliver(
        script="""
        require ["spamtestplus", "relational", "comparator-i;ascii-numeric", "environment", "imap4flags"];
        if spamtest :value "ge" :comparator "i;ascii-numeric" "9" { addflag "high"; }
        elsif spamtest :value "ge" :comparator "i;ascii-numeric" "1" { addflag "low"; }
        if environment "vnd.maildancer.spam-flag" "YES" { addflag "yes"; }
        if environment "vnd.maildancer.spam-value" "10" { addflag "ten"; }
        if not environment :matches "vnd.maildancer.spam-score" "*" { addflag "untested"; }
        """,
        spam=spam,
    )

    (info,) = room.infos()
    assert info.keywords == flags


def test_a_run_has_a_bound_in_time(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"run_seconds": 0.5}) as room:
        room.clock.step = 1.0
        tests = " ".join(f'if header :contains "subject" "{number}" {{ stop; }}' for number in range(2000))
        (result,) = room.deliver(script=f'{tests} redirect "x@y.z";')

        assert (result.reply_code, len(room.texts()), room.outbound.sent) == (250, 1, [])
        assert "takes too long" in room.user_log()


def test_who_may_wait_is_known_before_the_message_comes(room: Room) -> None:
    room.shelf(ALICE).script = 'require "fileinto"; if true { fileinto "Junk"; }'
    room.shelf(BOB).script = 'if false { } else { if not true { redirect "x@y.z"; } }'

    assert (room.sieve.recall_may_wait(ALICE), room.sieve.may_wait(ALICE)) == (None, False)
    assert (room.sieve.may_wait(BOB), room.sieve.recall_may_wait(BOB)) == (True, True)


def test_annotations_of_the_server_come_from_the_settings(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"server_metadata": {"/shared/Vendor/x/plan": "gold", "/shared/empty": ""}}) as room:
        room.deliver(
            script="""require ["servermetadata", "imap4flags"];
            if servermetadata "/shared/vendor/X/plan" "GOLD" { addflag "gold"; }
            if servermetadataexists ["/shared/vendor/x/plan", "/shared/empty"] { addflag "both"; }
            if servermetadata :contains "/shared/absent" "" { addflag "wrong"; }
            if servermetadataexists ["/shared/empty", "/shared/absent"] { addflag "wrong"; }
            if servermetadata :contains "/private/vendor/x/plan" "" { addflag "wrong"; }"""
        )

        assert [info.keywords for info in room.infos()] == [{"gold", "both"}]


def test_the_one_annotation_of_a_folder_is_its_special_use(room: Room) -> None:
    room.store.folders(ALICE).create(FolderName.parse("Plain"))
    room.deliver(
        script="""require ["mboxmetadata", "imap4flags"];
        if metadata "Junk" "/private/specialUse" "\\\\junk" { addflag "use"; }
        if metadataexists "Junk" "/private/specialuse" { addflag "there"; }
        if metadata :contains "Plain" "/private/specialuse" "" { addflag "wrong"; }
        if metadata :contains "INBOX" "/private/specialuse" "" { addflag "wrong"; }
        if metadata :contains "Absent" "/private/specialuse" "" { addflag "wrong"; }
        if metadataexists "Junk" ["/private/specialuse", "/private/comment"] { addflag "wrong"; }"""
    )

    assert [info.keywords for info in room.infos()] == [{"use", "there"}]


def test_the_environment_names_the_host_and_the_program(room: Room) -> None:
    script = """require ["environment", "imap4flags", "relational"];
        if environment "domain" "example.com" { addflag "domain"; }
        if environment :matches "version" "?*" { addflag "version"; }
        if environment "name" "msgstore" { addflag "name"; }
        if environment :contains "remote-host" "" { addflag "known"; }"""

    room.deliver(script=script)

    assert room.infos()[0].keywords == {"domain", "version", "name", "known"}
