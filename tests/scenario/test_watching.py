"""Watching as imapd does it: two accessd, a real lmtpd, another mail program, and crashes."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from msgstore.access.sync import AccessClient, Session, Watch
from msgstore.access.uids import each_uid
from msgstore.access.watchshapes import WatchEvent
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX, FolderName
from msgstore.service.hints import Changed, HintReceiver
from tests.scenario.harness import DOMAIN, PASSWORD, PATHS, House, answers, end, house, wait_until
from tests.scenario.test_daemons import handed_over, page

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]

WORK: Final = "Work"


@contextmanager
def second_accessd(ours: House) -> Generator[Path]:
    """Run another accessd over the same mail."""
    config, path = ours.place / "second.toml", ours.place / "second.sock"
    text = ours.config.read_text().replace(str(ours.access), str(path))
    config.write_text(text.replace("accessd-metrics", "second-metrics"))
    command = [sys.executable, "-m", "accessd", "--config", str(config)]
    with (ours.place / "second.log").open("ab") as log:
        child = subprocess.Popen(command, stderr=log, stdout=log, env={"PYTHONPATH": PATHS})
    try:
        wait_until(lambda: answers(path) or child.poll() is not None, what="the second accessd listening")
        yield path
    finally:
        end(child)


def session_at(path: Path, stack: ExitStack) -> Session:
    client = stack.enter_context(AccessClient.connect(str(path)))
    return client.login(f"alice@{DOMAIN}", PASSWORD, service="imap")


def next_of(watch: Watch) -> WatchEvent:
    event = watch.next_event(20.0)
    assert event is not None
    return event


def told(event: WatchEvent) -> tuple[str, str | None, list[int]]:
    return event.kind, event.folder, list(each_uid(event.uids or ()))


def make_folder(ours: House, name: str) -> None:
    for inner in ("", "/tmp", "/new", "/cur"):
        (ours.mail / DOMAIN / "users" / "alice" / f".{name}{inner}").mkdir()


def test_deliveries_under_every_form_of_an_address_are_told_with_mailbox_and_folder() -> None:
    with house("alice") as ours, ExitStack() as stack:
        handed_over(ours, "alice")
        make_folder(ours, WORK)
        with second_accessd(ours) as second:
            watches = [session_at(path, stack).watch() for path in (ours.access, second)]

            found: list[list[tuple[str, str | None, list[int]]]] = []
            for form in ("alice", "ALICE", f"alice+{WORK}", "Alice+nowhere"):
                handed_over(ours, form)
                found.append([told(next_of(watch)) for watch in watches])
            names = {next_of(session_at(second, stack).watch(since={"INBOX": 0})).mailbox}

    assert found == [
        [("new", "INBOX", [2])] * 2,
        [("new", "INBOX", [3])] * 2,
        [("new", WORK, [1])] * 2,
        [("new", "INBOX", [4])] * 2,
    ]
    assert names == {f"alice@{DOMAIN}"}


def test_what_one_accessd_and_a_foreign_program_do_is_told_by_the_other_once() -> None:
    with house("alice") as ours, second_accessd(ours) as second, ExitStack() as stack:
        for _ in range(3):
            handed_over(ours, "alice")
        watching, working = session_at(ours.access, stack), session_at(second, stack)
        watch, own = watching.watch("INBOX"), working.watch("INBOX")

        working.delete(1)
        working.expunge()
        expunged = told(next_of(watch))
        name = ours.files("alice")[0]
        name.rename(name.parent.parent / "cur" / f"{name.name}:2,F")
        flags = [next_of(one).messages for one in (watch, own)]
        handed_over(ours, "alice")
        new = [told(next_of(one)) for one in (watch, own)]
        more = [one.next_event(1.5) for one in (watch, own)]
        wait_until(lambda: b'current{what="watches"} 1.0' in page(ours, "accessd"), what="the watch on the page")

    assert expunged == ("expunged", "INBOX", [1])
    assert [[row[1] for row in rows or ()] for rows in flags] == [[("\\Flagged",)]] * 2
    assert new == [("new", "INBOX", [4])] * 2
    assert more == [None, None]


def test_a_killed_accessd_loses_no_event_and_its_socket_for_hints_is_swept() -> None:
    with house("alice") as ours, ExitStack() as stack:
        handed_over(ours, "alice")
        watch = session_at(ours.access, stack).watch("INBOX")
        handed_over(ours, "alice")
        last = next_of(watch)
        ours.kill("accessd")
        wait_until(lambda: not answers(ours.access), what="the end of every worker")
        handed_over(ours, "alice")
        sockets = len(list((ours.place / "hints").iterdir()))
        ours.start("accessd")

        again = session_at(ours.access, stack).watch("INBOX", since={"INBOX": last.modseq or 0})
        missed = told(next_of(again))
        handed_over(ours, "alice")
        new = told(next_of(again))

        assert (missed, new) == (("new", "INBOX", [3]), ("new", "INBOX", [4]))
        assert sockets == len(list((ours.place / "hints").iterdir())) == 1


def test_lmtpd_hints_with_the_canonical_mailbox_and_the_real_folder_after_the_commit() -> None:
    alice = MailboxId("alice", DOMAIN)
    with house("alice", "bob", only=("lmtpd",)) as ours:
        handed_over(ours, "alice")
        make_folder(ours, WORK)
        receiver = HintReceiver(str(ours.place / "hints"))
        found: set[Changed] = set()

        def hinted() -> bool:
            # A worker lists the receivers once a second, and either worker may take a message.
            handed_over(ours, f"ALICE+{WORK}", "bob")
            found.update(receiver.read())
            # The first delivery may be told late enough to be heard here.
            found.discard((alice, INBOX))
            return len(found) == 2

        wait_until(hinted, what="hints")
        receiver.close()

    assert found == {(alice, FolderName((WORK,))), (MailboxId("bob", DOMAIN), INBOX)}
