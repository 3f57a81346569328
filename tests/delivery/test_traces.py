"""Why a message went where it went, and for how long that is known; and the log of the user."""

from pathlib import Path

import pytest

from msgstore.delivery.traces import DeliveryTrace, TraceDamaged, Traces
from msgstore.delivery.userlog import UserLog
from msgstore.model.errors import StoreUnavailable
from msgstore.sieve import Step
from tests.delivery.sieve_room import ALICE, BOB, Clock, room_in


def trace(clock: Clock, number: int = 0, mailbox: str = "alice@example.com") -> DeliveryTrace:
    return DeliveryTrace(
        delivery_id=f"{int(clock.now * 1e6):x}-1-{number}.1",
        mailbox=mailbox,
        at_seconds=clock.now,
        actions=("fileinto",),
        error=None,
        steps=(Step(script="main", line=2, kind="test", name="header", outcome="true"),),
    )


def test_a_delivery_tells_which_test_and_which_action_decided(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"trace_days": 3}) as room:
        (result,) = room.deliver(script='require "fileinto";\nif header "subject" "hi" {\n fileinto "Junk";\n}')

        (found,) = room.traces.find(result.delivery_id)
        assert (found.mailbox, found.actions, found.error) == ("alice@example.com", ("fileinto",), None)
        assert ("main", 2, "test", "header", "true") in {
            (one.script, one.line, one.kind, one.name, one.outcome) for one in found.steps
        }
        assert ("action", "fileinto", 3, "Junk") in {(one.kind, one.name, one.line, one.outcome) for one in found.steps}
        (file,) = (tmp_path / ".traces").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600


def test_an_address_of_two_mailboxes_has_two_traces(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"trace_days": 3}) as room:
        room.shelf(BOB).script = "keep;"
        (result,) = room.deliver("two@example.com", script="discard;")

        assert [one.actions for one in room.traces.find(result.delivery_id)] == [("discard",), ("keep",)]


def test_without_days_nothing_is_written(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.deliver(script="discard;")

        assert not (tmp_path / ".traces").exists()


def test_old_days_go_and_the_others_stay(tmp_path: Path) -> None:
    clock = Clock()
    traces = Traces(str(tmp_path / "t"), days=2, clock=clock)
    written: list[DeliveryTrace] = []
    for _ in range(5):
        written.append(trace(clock))
        traces.add(written[-1])
        clock.now += 86_400
    traces.close()

    assert [traces.find(one.delivery_id) for one in written] == [(), (), *((one,) for one in written[2:])]


def test_a_trace_written_after_midnight_is_found_by_the_id_of_before(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 1_700_006_399.9
    traces = Traces(str(tmp_path), days=2, clock=clock)
    one = trace(clock)
    clock.now += 1

    traces.add(one)

    assert traces.find(one.delivery_id) == (one,)


@pytest.mark.parametrize("name", ["", "zz-1", "../../x", "60a24181e4000", "-", "-1-2", "f" * 40])
def test_what_is_no_id_finds_nothing(tmp_path: Path, name: str) -> None:
    clock = Clock()
    traces = Traces(str(tmp_path), days=2, clock=clock)
    traces.add(trace(clock))

    assert traces.find(name) == ()


def test_half_a_line_hides_no_other(tmp_path: Path) -> None:
    clock = Clock()
    traces = Traces(str(tmp_path), days=2, clock=clock)
    one = trace(clock)
    traces.add(one)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20] + b"\n" + file.read_bytes())

    assert traces.find(one.delivery_id) == (one,)


def test_a_line_behind_a_torn_one_is_whole(tmp_path: Path) -> None:
    clock = Clock()
    traces = Traces(str(tmp_path), days=2, clock=clock)
    one = trace(clock)
    traces.add(one)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()

    for cut in range(1, len(whole) - 1):
        file.write_bytes(whole.replace(b"-1-0.1", b"-1-0.2")[:cut] + whole)
        assert traces.find(one.delivery_id) == (one,)


@pytest.mark.parametrize(
    "damaged",
    [
        '{{"id":"{id}"',
        '{{"id":"{id}"}}',
        '["{id}"]',
        '{{"id":"{id}","mailbox":1,"at":"x","actions":[],"error":null,"steps":[]}}',
        '{{"id":"{id}","mailbox":1,"at":1,"actions":[],"error":null,"steps":[["a"]]}}',
        '{{"id":"{id}","mailbox":1,"at":1,"actions":7,"error":null,"steps":[]}}',
    ],
)
def test_what_is_damaged_is_said_to_be(tmp_path: Path, damaged: str) -> None:
    clock = Clock()
    traces = Traces(str(tmp_path), days=2, clock=clock)
    one = trace(clock)
    traces.add(one)
    (file,) = tmp_path.iterdir()
    file.write_text(damaged.format(id=one.delivery_id) + "\n")

    with pytest.raises(TraceDamaged, match=r"line 1$"):
        traces.find(one.delivery_id)


def test_it_is_told_where_a_message_was_put_and_what_was_done_otherwise(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"trace_days": 3}) as room:
        (result,) = room.deliver(script='require "fileinto";\nfileinto "Nowhere";')

        (found,) = room.traces.find(result.delivery_id)
        assert (found.filed, found.error) == (("INBOX",), "a folder is missing")
        assert found.notes == ("line 2: folder Nowhere is missing",)


def test_a_refused_message_was_put_nowhere(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"trace_days": 3}) as room:
        (result,) = room.deliver(script='require "ereject";\nereject "no";')

        (found,) = room.traces.find(result.delivery_id)
        assert (found.actions, found.filed) == (("ereject",), ())


def test_of_a_script_that_does_not_compile_the_line_is_told(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"trace_days": 3}) as room:
        (result,) = room.deliver(script="keep;\nkeeep;")

        (found,) = room.traces.find(result.delivery_id)
        assert found.filed == ("INBOX",)
        assert found.error is not None
        assert "2:1" in found.error


def test_what_a_script_writes_down_of_a_message_is_in_no_trace(tmp_path: Path) -> None:
    with room_in(tmp_path, sieve={"trace_days": 3, "extensions": ["vnd.dovecot.debug"]}) as room:
        script = 'require ["vnd.dovecot.debug", "variables"];\nif header :matches "subject" "*" { debug_log "${1}"; }'
        (result,) = room.deliver(script=script)

        (found,) = room.traces.find(result.delivery_id)
        assert found.actions == ("debug", "keep")
        (file,) = (tmp_path / ".traces").iterdir()
        assert "hi" not in file.read_text().lower().replace("this", "")


def test_a_directory_that_cannot_be_made_is_told_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    clock = Clock()

    Traces(str(tmp_path / "file" / "t"), days=2, clock=clock).add(trace(clock))

    assert "sieve.trace_failed" in capsys.readouterr().err


def test_the_log_of_a_user_is_bounded_and_forges_no_line(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        log = UserLog(room.store.control_directory, limit_octets=1000)
        for number in range(100):
            log.tell(ALICE, f"id{number}", "first\nsecond", at_seconds=0)

        place = tmp_path / "example.com" / "users" / "alice"
        files = [place / "msgstore-sieve.log", place / "msgstore-sieve.log.1"]
        assert sum(file.stat().st_size for file in files if file.exists()) < 2200
        lines = files[1].read_text().splitlines()
        assert all(line.startswith("1970-01-01T00:00:00Z id") and line.endswith("first\\nsecond") for line in lines)
        assert files[1].stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_keeps_no_mail(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: object) -> int | None:
        raise StoreUnavailable("I/O error")

    UserLog(refuse, limit_octets=10).tell(ALICE, "id", "text", at_seconds=0)
    UserLog(lambda _: None, limit_octets=10).tell(ALICE, "id", "text", at_seconds=0)

    assert capsys.readouterr().err.count("sieve.not_told") == 1
