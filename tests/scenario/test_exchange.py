"""A mailbox of a real Dovecot comes in, goes out, and Dovecot opens what went out."""

import imaplib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, cast

import pytest

from tests.scenario.harness import DOMAIN, PASSWORD, PATHS, House, house, required, required_root
from tests.scenario.test_dovecot import dovecot

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]

FOLDERS: Final = ("INBOX", "Work/2020", "Entw&APw-rfe", "Empty")
ADDRESS: Final = f"bob@{DOMAIN}"
ITEMS: Final = "(UID FLAGS INTERNALDATE RFC822.SIZE)"


def fill(imap: imaplib.IMAP4) -> None:
    """Make folders whose UIDs have gaps, with flags, keywords, dates and subscriptions."""
    for folder in FOLDERS[1:]:
        imap.create(f'"{folder.replace("/", ".")}"')
    imap.subscribe('"Work.2020"')
    for number, folder in enumerate(FOLDERS[:3]):
        name = f'"{folder.replace("/", ".")}"'
        for one in range(5):
            date = f'"{one + 1:02d}-Mar-20{number + 10} 12:0{one}:00 +0100"'
            imap.append(name, "", date, b"Subject: %d\r\n\r\n%s\r\n" % (one, b"x" * one))
        imap.select(name)
        imap.uid("STORE", "1", "+FLAGS", "(\\Seen $Forwarded)")
        imap.uid("STORE", "3", "+FLAGS", "(\\Flagged \\Answered work later)")
        imap.uid("STORE", "2,5", "+FLAGS", "(\\Deleted)")
        imap.expunge()


def seen(imap: imaplib.IMAP4) -> dict[str, tuple[object, ...]]:
    """Everything IMAP shows of the folders."""
    found: dict[str, tuple[object, ...]] = {}
    for folder in FOLDERS:
        name = f'"{folder.replace("/", ".")}"'
        _, status = imap.status(name, "(MESSAGES UIDVALIDITY UIDNEXT)")
        text = status[0]
        imap.select(name, readonly=True)
        _, rows = imap.uid("FETCH", "1:*", ITEMS)
        lines = [row for row in rows if isinstance(row, bytes)]
        counts = bytes(text)[text.rindex(b"(") :]
        found[folder] = (counts, tuple(sorted(map(_row, lines))))
    _, subscribed = imap.lsub()
    return {**found, "subscribed": tuple(sorted(str(line) for line in subscribed))}


def _row(line: bytes) -> tuple[int, tuple[bytes, ...], bytes, bytes]:
    uid = re.search(rb"UID (\d+)", line)
    flags = re.search(rb"FLAGS \(([^)]*)\)", line)
    date = re.search(rb'INTERNALDATE "([^"]*)"', line)
    octets = re.search(rb"SIZE (\d+)", line)
    assert uid
    assert flags
    assert date
    assert octets
    return int(uid[1]), tuple(sorted(word for word in flags[1].split() if word != b"\\Recent")), date[1], octets[1]


def msgstore(ours: House, *arguments: str) -> dict[str, list[dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-m", "msgstore.admin.cli", "--config", str(ours.config), *arguments, "--json"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": PATHS},
    )
    assert done.returncode == 0, done
    return cast("dict[str, list[dict[str, object]]]", json.loads(done.stdout))


def test_dovecot_shows_what_it_had_after_an_import_and_an_export() -> None:
    required("dovecot", "doveadm")
    required_root()
    with house("alice", "bob", "carol", run_as="mail") as ours, dovecot(ours) as port:
        users = ours.mail / DOMAIN / "users"
        with imaplib.IMAP4("127.0.0.1", port) as imap:
            imap.login("alice", PASSWORD)
            fill(imap)
            before = seen(imap)

        came = msgstore(ours, "import", "dovecot", str(users / "alice"), ADDRESS)
        with imaplib.IMAP4("127.0.0.1", port) as imap:
            imap.login("bob", PASSWORD)
            taken_over = seen(imap)
        went_to = users / "carol"
        _export(ours, went_to)
        with imaplib.IMAP4("127.0.0.1", port) as imap:
            imap.login("carol", PASSWORD)
            exported = seen(imap)

    assert came["passed_over"] == []
    assert [uid for uid, *_ in cast("tuple[tuple[int]]", before["INBOX"][1])] == [1, 3, 4]
    assert b"UIDNEXT 6" in cast("bytes", before["INBOX"][0])
    assert taken_over == before
    assert exported == before


def _export(ours: House, target: Path) -> None:
    msgstore(ours, "export", "maildir", ADDRESS, str(target))
    subprocess.run(["chown", "-R", "mail:", str(target)], check=True)
