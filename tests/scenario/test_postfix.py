"""A real Postfix hands mail over to a real lmtpd."""

import smtplib
import threading
from collections.abc import Callable, Sequence

import pytest

from tests.scenario.harness import DOMAIN, Postfix, house, postfix, wait_until

__all__ = ["postfix"]  # the fixture

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180), pytest.mark.usefixtures("backend")]


def send(server: Postfix, recipients: Sequence[str], body: str = "hello", subject: str = "one") -> None:
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        paths = [f"{name}@{DOMAIN}" for name in recipients]
        client.sendmail(f"sender@{DOMAIN}", paths, f"Subject: {subject}\r\n\r\n{body}\r\n")


def test_mail_from_smtp_comes_out_of_the_access_socket(postfix: Callable[..., Postfix], backend: str) -> None:
    with house("alice", "bob", "sender") as ours:
        server = postfix(ours.lmtp)

        send(server, ["alice", "bob"], body=".leading dot\r\n..two")

        wait_until(lambda: bool(ours.count("alice") and ours.count("bob")), what="delivery")
        (text,) = ours.texts("alice")
        assert text.endswith(b"\r\n\r\n.leading dot\r\n..two\r\n")
        if backend == "maildir":
            assert ours.files("alice")[0].stat().st_ino == ours.files("bob")[0].stat().st_ino
        assert b"by store.example.com (msgstore) with LMTP id " in text


def test_an_unknown_user_bounces_and_the_others_are_served(postfix: Callable[..., Postfix]) -> None:
    with house("alice", "sender") as ours:
        server = postfix(ours.lmtp)

        send(server, ["alice", "nobody"])

        wait_until(lambda: bool(ours.count("sender")), what="the bounce")
        (bounce,) = ours.texts("sender")
        assert b"550 5.1.1" in bounce
        assert b"Return-Path: <>" in bounce
        assert len(ours.texts("alice")) == 1


def test_a_message_over_the_size_bounces(postfix: Callable[..., Postfix]) -> None:
    with house("alice", "sender", more="") as ours:
        ours.stop("lmtpd")
        text = ours.config.read_text().replace("workers = 2", "workers = 1\nmax_message_octets = 20000")
        ours.config.write_text(text)
        ours.start("lmtpd")
        server = postfix(ours.lmtp)

        send(server, ["alice"], body="x" * 500 + "\r\n" + ("y" * 500 + "\r\n") * 100)

        wait_until(lambda: bool(ours.count("sender")), what="the bounce")
        assert b"5.3.4" in ours.texts("sender")[0]
        assert ours.count("alice") == 0


def test_mail_waits_while_the_daemon_is_down(postfix: Callable[..., Postfix]) -> None:
    with house("alice", "sender") as ours:
        server = postfix(ours.lmtp)
        ours.stop("lmtpd")

        send(server, ["alice"])
        wait_until(lambda: "status=deferred" in server.log.read_text(), what="deferral")
        ours.start("lmtpd")

        def delivered() -> bool:
            server.flush()
            return bool(ours.count("alice"))

        wait_until(delivered, what="delivery after the pause", seconds=60)
        assert server.queued() == 0
        assert ours.count("sender") == 0


def test_nothing_acknowledged_is_lost_when_the_daemon_is_killed_under_a_burst(postfix: Callable[..., Postfix]) -> None:
    users = tuple(f"user{number}" for number in range(10))
    with house(*users, "sender") as ours:
        server = postfix(ours.lmtp)
        total = 500

        def burst() -> None:
            with smtplib.SMTP("127.0.0.1", server.port) as client:
                for number in range(total):
                    path = f"{users[number % 10]}@{DOMAIN}"
                    client.sendmail(f"sender@{DOMAIN}", [path], f"Subject: {number}\r\n\r\nnumber {number} here\r\n")

        sender = threading.Thread(target=burst)
        sender.start()
        for _ in range(3):
            before = sum(ours.count(user) for user in users)
            wait_until(
                lambda before=before: sum(ours.count(user) for user in users) > before + 20,  # type: ignore[misc]
                what="some deliveries",
            )
            ours.kill("lmtpd")
            ours.start("lmtpd")
        sender.join(timeout=120)

        def drained() -> bool:
            server.flush()
            return server.queued() == 0

        wait_until(drained, what="an empty queue", seconds=90)
        numbers = [text.rpartition(b"number ")[2].split()[0] for user in users for text in ours.texts(user)]
        assert {int(number) for number in numbers} == set(range(total))
        assert ours.count("sender") == 0
