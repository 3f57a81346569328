"""Scripts of users between a real Postfix that hands mail over and the same Postfix that takes what they send."""

import contextlib
import smtplib
from collections.abc import Callable, Generator, Mapping
from email import message_from_bytes
from email.message import Message
from typing import cast

import pytest

from tests.scenario.harness import DOMAIN, House, Postfix, house, postfix, wait_until

__all__ = ["postfix"]  # the fixture

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]


@contextlib.contextmanager
def suite(make: Callable[..., Postfix], scripts: Mapping[str, str]) -> Generator[tuple[House, Postfix]]:
    """Run lmtpd behind and before one Postfix, for alice, bob and sender, with scripts of theirs."""
    with house("alice", "bob", "sender", only=("accessd",)) as ours:
        server = make(ours.lmtp)
        with ours.config.open("a") as config:
            config.write(f'[outbound]\ntarget = "tcp:127.0.0.1:{server.port}"\n')
        for user, script in scripts.items():
            box = ours.mail / DOMAIN / "users" / user
            box.mkdir(parents=True, mode=0o700)
            (box / ".sieve").write_text(script)
        ours.start("lmtpd")
        yield ours, server


def send(server: Postfix, subject: str, *, unique: str = "1", recipient: str = "alice") -> None:
    text = f"From: sender@{DOMAIN}\r\nTo: {recipient}@{DOMAIN}\r\nSubject: {subject}\r\nMessage-ID: <{unique}@x>\r\n"
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail(f"sender@{DOMAIN}", [f"{recipient}@{DOMAIN}"], f"{text}\r\nhello\r\n")


def settled(server: Postfix, deliveries: int) -> None:
    """Wait until so many deliveries were made and nothing is on its way; a few may be made by Postfix itself."""

    def is_quiet() -> bool:
        done = server.log.read_text().count("status=sent")
        return done >= deliveries and server.queued() == 0

    wait_until(is_quiet, what=f"{deliveries} deliveries")
    assert server.log.read_text().count("status=sent") == deliveries


def only(ours: House, user: str) -> Message:
    (text,) = ours.texts(user)
    return message_from_bytes(text)


def test_fileinto_puts_mail_into_the_folder(postfix: Callable[..., Postfix]) -> None:
    script = """require ["fileinto", "mailbox", "imap4flags"];
        if header :contains "subject" "invoice" { fileinto :create :flags "\\\\Seen" "Bills/2026"; }"""
    with suite(postfix, {"alice": script}) as (ours, server):
        send(server, "your invoice", unique="1")
        send(server, "lunch", unique="2")
        settled(server, 2)

        (filed,) = (ours.mail / DOMAIN / "users" / "alice").glob(".Bills.2026/cur/*")
        assert filed.name.endswith(":2,S")
        assert b"Subject: your invoice" in filed.read_bytes()
        assert only(ours, "alice")["Subject"] == "lunch"


def test_a_rejected_message_comes_back_to_its_sender_with_the_reason(postfix: Callable[..., Postfix]) -> None:
    script = """require "reject"; reject "No mail from you, please.\r\nAsk bob.";"""
    with suite(postfix, {"alice": script}) as (ours, server):
        send(server, "hi")

        wait_until(lambda: bool(ours.files("sender")), what="the bounce")
        bounce = only(ours, "sender")
        assert bounce["Return-Path"] == "<>"
        assert bounce.get_content_type() == "multipart/report"
        status = cast("list[Message]", cast("list[Message]", bounce.get_payload())[1].get_payload())[1]
        assert (status["Action"], status["Status"]) == ("failed", "5.7.1")
        told = " ".join(status["Diagnostic-Code"].split())
        assert "550-5.7.1 No mail from you, please." in told
        assert "550 5.7.1 Ask bob." in told
        assert ours.files("alice") == []


def test_a_reason_beyond_ascii_comes_back_in_a_report_of_our_own(postfix: Callable[..., Postfix]) -> None:
    script = """require "reject"; reject "Bitte nicht: äöü";"""
    with suite(postfix, {"alice": script}) as (ours, server):
        send(server, "hi")

        wait_until(lambda: bool(ours.files("sender")), what="the report")
        report = only(ours, "sender")
        assert report["Return-Path"] == "<>"
        assert report.get_param("report-type") == "disposition-notification"
        words = cast("list[Message]", report.get_payload())[0].get_payload(decode=True)
        assert "Bitte nicht: äöü".encode() in cast("bytes", words)
        assert ours.files("alice") == []


def test_one_vacation_reply_arrives_for_three_messages(postfix: Callable[..., Postfix]) -> None:
    with suite(postfix, {"alice": 'require "vacation"; vacation :days 1 "I am away.";'}) as (ours, server):
        for number in range(3):
            send(server, "are you there", unique=str(number))
        settled(server, 4)

        reply = only(ours, "sender")
        assert reply["Return-Path"] == "<>"
        assert reply["Auto-Submitted"].startswith("auto-replied")
        assert reply["From"] == f"alice@{DOMAIN}"
        assert reply["Subject"] == "Auto: are you there"
        assert reply["In-Reply-To"] in ("<0@x>", "<1@x>", "<2@x>")
        assert "I am away." in str(reply.get_payload())
        assert len(ours.texts("alice")) == 3


def test_two_who_are_both_away_do_not_write_to_each_other_for_ever(postfix: Callable[..., Postfix]) -> None:
    away = 'require "vacation"; vacation "I am away.";'
    with suite(postfix, {"alice": away, "sender": away}) as (ours, server):
        send(server, "are you there")
        settled(server, 2)

        assert only(ours, "sender")["From"] == f"alice@{DOMAIN}"
        assert len(ours.texts("alice")) == 1


def test_a_redirect_arrives_at_the_other_address(postfix: Callable[..., Postfix]) -> None:
    with suite(postfix, {"alice": f'redirect "bob@{DOMAIN}";'}) as (ours, server):
        send(server, "for alice")
        settled(server, 2)

        arrived = only(ours, "bob")
        assert arrived["Subject"] == "for alice"
        assert arrived["Return-Path"] == f"<sender@{DOMAIN}>"
        assert arrived["To"] == f"alice@{DOMAIN}"
        assert (ours.files("alice"), ours.files("sender")) == ([], [])


def test_a_loop_of_redirects_ends_with_the_message_kept(postfix: Callable[..., Postfix]) -> None:
    scripts = {"alice": f'redirect "bob@{DOMAIN}";', "bob": f'redirect "alice@{DOMAIN}";'}
    with suite(postfix, scripts) as (ours, server):
        send(server, "round and round")
        settled(server, 3)

        assert [only(ours, "alice")["Subject"], ours.files("bob"), ours.files("sender")] == ["round and round", [], []]
