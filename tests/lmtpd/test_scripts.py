"""Scripts of a domain, from LMTP to the mailbox and to a real SMTP server."""

import asyncio
from pathlib import Path

import pytest

from tests.lmtpd.real_house import House, house_in

MAIL = (
    b"DATA\r\nFrom: bob@example.net\r\nTo: alice@example.com\r\nSubject: %s\r\nMessage-ID: <%s@example.net>\r\n\r\n"
    b"text\r\n.\r\n"
)


def mail(subject: bytes = b"hi", unique: bytes = b"1") -> bytes:
    return MAIL % (subject, unique)


async def test_a_script_files_and_refuses_for_each_recipient_apart(tmp_path: Path) -> None:
    script = """
    require ["fileinto", "reject", "envelope", "mailbox"];
    if envelope :localpart "to" "bob" { reject "not here\r\n\r\nask alice"; }
    elsif header :is "subject" "hi" { fileinto :create "News"; }
    """
    async with house_in(tmp_path, script=script) as house:
        client = await house.client()
        client.send(b"MAIL FROM:<bob@example.net>\r\nRCPT TO:<alice@example.com>\r\n")
        client.send(b"RCPT TO:<bob@example.com>\r\nRCPT TO:<alice@example.com>\r\n")
        await client.codes(4)
        client.send(mail())

        told = await client.lines(6)
        client.writer.close()

        assert [line[:9] for line in told] == [
            "354 Send ",
            "250 2.0.0",
            "550-5.7.1",
            "550-5.7.1",
            "550 5.7.1",
            "250 2.0.0",
        ]
        assert [line[10:] for line in told[2:5]] == ["not here", "", "ask alice"]
        assert (house.stored("alice", "News"), house.stored("alice"), house.stored("bob")) == (1, 0, 0)
        page = house.parts.metrics.snapshot()
        assert b'"event": "sieve_rejected"}, 1.0]' in page
        assert b'"event": "sieve_filed"}, 2.0]' in page


async def test_a_vacation_reply_goes_out_once_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    script = 'require ["vacation", "duplicate"]; if duplicate { discard; stop; } vacation "away";'
    async with house_in(tmp_path, script=script) as house:
        assert await house.say("alice@example.com", data=mail(unique=b"1")) == ["250 2.1.5", "250 2.0.0"]
        assert await house.say("alice@example.com", data=mail(unique=b"2")) == ["250 2.1.5", "250 2.0.0"]
        ((mail_from, rcpts, content),) = house.sink.taken
        assert (mail_from, rcpts) == ("<>", ["bob@example.net"])
        assert b"Auto-Submitted: auto-replied" in content
    async with house_in(tmp_path) as house:
        assert await house.say("alice@example.com", data=mail(unique=b"2")) == ["250 2.1.5", "250 2.0.0"]
        assert await house.say("alice@example.com", data=mail(unique=b"3")) == ["250 2.1.5", "250 2.0.0"]
        assert (house.sink.taken, house.stored("alice")) == ([], 3)


async def test_a_redirect_reaches_the_server_and_waits_with_it(tmp_path: Path) -> None:
    script = 'require ["copy", "fileinto"]; redirect :copy "x@far.example"; fileinto "Junk";'
    async with house_in(tmp_path, listens=False, script=script) as house:
        assert await house.say("alice@example.com", data=mail()) == ["250 2.1.5", "451 4.4.0"]
        assert (house.stored("alice"), house.stored("alice", "Junk")) == (0, 0)
    async with house_in(tmp_path) as house:
        assert await house.say("alice@example.com", data=mail()) == ["250 2.1.5", "250 2.0.0"]
        assert await house.say("alice@example.com", data=mail()) == ["250 2.1.5", "250 2.0.0"]
        ((mail_from, rcpts, content),) = house.sink.taken
        assert (mail_from, rcpts) == ("bob@example.net", ["x@far.example"])
        assert content.startswith(b"X-Sieve-Redirected-From: alice@example.com\r\n")
        assert house.stored("alice", "Junk") == 2


async def test_a_broken_script_loses_nothing_and_is_told_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with house_in(tmp_path, script="discard;\nredirect;\n") as house:
        house.parts.store.create_mailbox(house.alice)
        assert await house.say("alice@example.com", data=mail()) == ["250 2.1.5", "250 2.0.0"]

        assert house.stored("alice") == 1
        told = (tmp_path / "example.com" / "users" / "alice" / "msgstore-sieve.log").read_text()
        assert "2:1: error: " in told
        assert "sieve.script_broken" in capsys.readouterr().err


async def deliver_many(house: House, count: int) -> list[list[str]]:
    return await asyncio.gather(*(house.say("alice@example.com", data=mail()) for _ in range(count)))


async def test_of_the_same_message_at_the_same_time_one_is_new(tmp_path: Path) -> None:
    script = 'require ["duplicate", "fileinto", "vacation"]; vacation "away"; if duplicate { fileinto "Trash"; }'
    async with house_in(tmp_path, script=script) as house:
        told = await deliver_many(house, 8)

        assert told == [["250 2.1.5", "250 2.0.0"]] * 8
        assert (house.stored("alice"), house.stored("alice", "Trash")) == (1, 7)
        assert len(house.sink.taken) == 1


async def test_many_messages_at_once_are_filed_together_by_a_script_that_sends_nothing(tmp_path: Path) -> None:
    script = 'require "fileinto"; if header :contains "subject" "h" { fileinto "Junk"; }'
    async with house_in(tmp_path, script=script) as house:
        told = await deliver_many(house, 20)

        assert told == [["250 2.1.5", "250 2.0.0"]] * 20
        assert (house.stored("alice", "Junk"), house.stored("alice")) == (20, 0)
