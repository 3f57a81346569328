"""A real Dovecot and our daemons on one Maildir."""

import imaplib
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, cast

import pytest

from msgstore.access.sync import AccessClient
from tests.scenario.harness import (
    DOMAIN,
    PASSWORD,
    House,
    end,
    free_port,
    house,
    required,
    required_root,
    wait_until,
)

ROLES: Final = '[access.roles]\nroot = ["pop3", "imap", "admin"]\n'

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]


@contextmanager
def dovecot(ours: House) -> Generator[int]:
    required("dovecot", "doveadm")
    required_root()
    place = Path(tempfile.mkdtemp(prefix="msgstore-dovecot-"))
    place.chmod(0o755)
    port = free_port()
    config = place / "dovecot.conf"
    config.write_text(
        f"""protocols = imap
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/log
ssl = no
disable_plaintext_auth = no
first_valid_uid = 0
first_valid_gid = 0
mail_location = maildir:{ours.mail}/{DOMAIN}/users/%n
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={place}/home/%n
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
    )
    child = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(config)])

    def listening() -> bool:
        try:
            imaplib.IMAP4("127.0.0.1", port).logout()
        except (OSError, imaplib.IMAP4.error):
            return False
        return True

    try:
        wait_until(listening, what="Dovecot listening")
        yield port
    finally:
        end(child)
        shutil.rmtree(place)


def our_uids(ours: House) -> dict[int, bytes]:
    with AccessClient.connect(str(ours.access)) as client:
        session = client.login(f"alice@{DOMAIN}", PASSWORD, service="imap")
        found: dict[int, bytes] = {}
        for row in session.list():
            with session.retrieve(row.uid) as body:
                found[row.uid] = subject_of(body.read())
        return found


def subject_of(text: bytes) -> bytes:
    return text.partition(b"Subject: ")[2].split(b"\n")[0].strip()


def their_uids(imap: imaplib.IMAP4) -> dict[int, bytes]:
    imap.select("INBOX")
    _, found = imap.uid("SEARCH", "ALL")
    uids = [int(uid) for uid in cast("list[bytes]", found)[0].split()]
    subjects: dict[int, bytes] = {}
    for uid in uids:
        _, parts = imap.uid("FETCH", str(uid), "(BODY.PEEK[])")
        part = parts[0]
        assert isinstance(part, tuple)
        subjects[uid] = subject_of(cast("bytes", part[1]))
    return subjects


def deliver(ours: House, *subjects: str) -> None:
    for subject in subjects:
        command = ["swaks", "--protocol", "LMTP", "--socket", str(ours.lmtp), "--to", f"alice@{DOMAIN}"]
        subprocess.run(
            [*command, "--header", f"Subject: {subject}", "--from", "a@example.net"],
            check=True,
            capture_output=True,
            timeout=30,
        )


def test_both_see_the_same_uids_and_each_others_changes() -> None:
    required("swaks")
    with house("alice", more=ROLES, run_as="mail") as ours, dovecot(ours) as port, ExitStack() as stack:
        deliver(ours, "one", "two")
        first = our_uids(ours)
        imap = stack.enter_context(imaplib.IMAP4("127.0.0.1", port))
        imap.login("alice", PASSWORD)

        assert their_uids(imap) == first
        deliver(ours, "three")
        seen_by_dovecot = their_uids(imap)
        assert seen_by_dovecot == our_uids(ours)
        imap.append("INBOX", "", "", b"Subject: four\r\n\r\nbody\r\n")
        imap.uid("STORE", "2", "+FLAGS", "(\\Seen \\Deleted)")
        imap.expunge()
        deliver(ours, "five")

        ours_now = our_uids(ours)
        assert ours_now == {1: b"one", 3: b"three", 4: b"four", 5: b"five"}
        assert their_uids(imap) == ours_now


def test_what_we_remove_is_gone_for_dovecot_and_no_uid_comes_back() -> None:
    required("swaks")
    with house("alice", more=ROLES, run_as="mail") as ours, dovecot(ours) as port, ExitStack() as stack:
        deliver(ours, "one", "two", "three")
        imap = stack.enter_context(imaplib.IMAP4("127.0.0.1", port))
        imap.login("alice", PASSWORD)
        their_uids(imap)

        with AccessClient.connect(str(ours.access)) as client:
            session = client.login(f"alice@{DOMAIN}", PASSWORD, service="pop3")
            session.delete(3)
            session.expunge()
        deliver(ours, "four")

        assert their_uids(imap) == {1: b"one", 2: b"two", 4: b"four"}
        assert our_uids(ours) == {1: b"one", 2: b"two", 4: b"four"}
