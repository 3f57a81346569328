"""Mail from a stock Postfix is sealed at the edge, read by a POP3 client, and nowhere to be found in between."""

import os
import secrets
import smtplib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from msgstore.access import entries
from msgstore.access.sync import AccessClient
from msgstore.crypto import PublicKey, open_key_file
from tests.reference.smtp_sealing import SealingRelay, hand_over_by_lmtp
from tests.scenario.harness import (
    DOMAIN,
    PASSWORD,
    House,
    Postfix,
    curl,
    house,
    pop3_server,
    postfix,
    required,
    wait_until,
)
from tests.scenario.imap_post import imap_server, mail
from tests.scenario.remains import Remains, workers_of
from tests.scenario.test_mbsync import Near, token_of

__all__ = ["postfix"]  # the fixture

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

OVERWRITES_WHAT_IS_FREED = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0",
}
"""So that what is found is what somebody still holds."""

SUBJECT = f"figures {secrets.token_hex(24)}"
BODY = "\r\n".join(secrets.token_hex(30) for _ in range(8))
LARGE = "\r\n".join([BODY, *("filler" * 12 for _ in range(20_000)), secrets.token_hex(30)])


def give_key(ours: House) -> bytes:
    """Let alice have a key, as an administrator does; gives the private one."""
    command = [sys.executable, "-m", "msgstore.admin.cli", "--config", str(ours.config)]
    command += ["key", "generate", f"alice@{DOMAIN}", "--password-stdin"]
    done = subprocess.run(command, input=PASSWORD + "\n", text=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (file,) = ours.mail.rglob("keyring.key")
    with open_key_file(file.read_bytes(), PASSWORD.encode()) as opened:
        return bytes(opened.active.octets())


def everywhere(ours: House, remains: Remains, others: list[int]) -> list[str]:
    """Look at all that is on the disk and in the memory of the daemons."""
    found = remains.in_tree(ours.place)
    for pid in [*others, *(pid for child in ours.children.values() for pid in workers_of(child.pid))]:
        found += remains.in_memory(pid)
    return found


def overwrite_what_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OVERWRITES_WHAT_IS_FREED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("policy", "body"),
    [("opportunistic", BODY), ("opportunistic", LARGE), ("off", BODY)],
    ids=["short", "large", "not sealed"],
)
def test_nothing_of_a_sealed_message_is_left_on_the_disk_or_in_memory(
    postfix: Callable[..., Postfix], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str, body: str
) -> None:
    required("curl")
    overwrite_what_is_freed(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with house("alice", "sender", more=f'[encryption]\npolicy = "{policy}"\n') as ours:
        (ours.place / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(ours.place / "tmp"))
        private = give_key(ours)
        server = postfix(ours.lmtp)
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            text = f"Subject: {SUBJECT}\r\n\r\n{body}\r\n"
            client.sendmail(f"sender@{DOMAIN}", [f"alice@{DOMAIN}"], text)
        wait_until(lambda: bool(ours.files("alice")), what="delivery")
        with pop3_server(ours) as pop3:
            whole, top = curl(pop3.port, "alice", "/1"), curl(pop3.port, "alice", "--request", "TOP 1 1", "/")
            secrets_of_it = [SUBJECT.encode(), body[:480].encode(), body[-60:].encode(), private]
            found = everywhere(ours, Remains(*secrets_of_it), [pop3.pid])

        assert whole is not None
        assert f"Subject: {SUBJECT}" in whole
        assert body.replace("\r\n", "\n") in whole.replace("\r\n", "\n")
        assert top is not None
        assert SUBJECT in top
        if policy == "off":
            # The same search finds what is there.
            assert [place for place in found if "/cur/" in place or "/new/" in place]
        else:
            assert found == []


def test_mbsync_keeps_sealed_mail_alike_both_ways_and_the_server_has_ciphertext_alone(tmp_path: Path) -> None:
    required("mbsync")
    with house("alice") as ours, imap_server(ours) as port:
        give_key(ours)
        near = Near(tmp_path, port, "alice")
        with smtplib.LMTP(str(ours.lmtp)) as client:
            client.sendmail(f"sender@{DOMAIN}", [f"alice@{DOMAIN}"], mail("from afar").decode())
        near.sync()
        near.add("INBOX", "from near")
        near.mark("INBOX", "from afar", "S")
        near.sync()
        near.sync()

        assert near.messages()["INBOX"] == [("from afar", "S"), ("from near", "")]
        assert sorted(token_of(text) for text in ours.texts("alice")) == ["from afar", "from near"]
        assert Remains(mail("from afar"), mail("from near")).in_tree(ours.mail) == []
        assert len(ours.files("alice")) == 2


def test_an_smtpd_hands_sealed_mail_over_by_lmtp_and_by_the_access_socket() -> None:
    with house("alice", "bob") as ours:
        give_key(ours)
        ours.stop("lmtpd")
        ours.config.write_text(ours.config.read_text().replace("workers = 2", f"trusted_uids = [{os.geteuid()}]"))
        ours.start("lmtpd")
        alice, bob = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
        with AccessClient.connect(str(ours.access)) as access, smtplib.LMTP(str(ours.lmtp)) as lmtp:
            lmtp.ehlo_or_helo_if_needed()
            key = PublicKey(access.ask(entries.KEY_PUBLIC, address=alice).public_key)
            by_lmtp = hand_over_by_lmtp(lmtp, mail("one"), alice, key)
            refused = hand_over_by_lmtp(lmtp, mail("none"), f"nobody@{DOMAIN}", key)
            by_socket = SealingRelay(access).hand_over(mail("two"), [alice, bob], reverse_path="a@example.net")

        assert (by_lmtp.code, refused.code) == (250, 550)
        assert {recipient: answer.code for recipient, answer in by_socket.items()} == {alice: 250, bob: 250}
        assert sorted(token_of(text) for text in ours.texts("alice")) == ["one", "two"]
        assert [token_of(text) for text in ours.texts("bob")] == ["two"]
        assert Remains(mail("one")).in_tree(ours.mail / DOMAIN / "users" / "alice") == []


def test_keys_that_a_session_gave_or_was_given_are_gone_from_the_server_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overwrite_what_is_freed(monkeypatch)
    with house("alice") as ours:
        ours.stop("accessd")
        ours.config.write_text(ours.config.read_text().replace("[access]", "[access]\nopen_keys = true"))
        ours.start("accessd")
        remains = Remains(give_key(ours))
        with smtplib.LMTP(str(ours.lmtp)) as client:
            client.sendmail(f"sender@{DOMAIN}", [f"alice@{DOMAIN}"], mail("sealed").decode())

        def in_server() -> list[str]:
            return [place for pid in workers_of(ours.children["accessd"].pid) for place in remains.in_memory(pid)]

        with AccessClient.connect(str(ours.access)) as access:
            session = access.login(f"alice@{DOMAIN}", PASSWORD, service="imap")
            before = in_server()
            session.give_keys()
            hits = session.search(text_terms=["token sealed"])
            while_open = in_server()
            session.take_keys_back()
            taken_back = in_server()
            given = access.call("auth.login", user=f"alice@{DOMAIN}", password=PASSWORD, service="imap", want=["key"])
            after = in_server()

        assert isinstance(given, dict)
        assert "private_key" in given
        assert [hit.uid for hit in hits] == [1]
        # The same search finds what is there.
        assert while_open
        assert (before, taken_back, after) == ([], [], [])
