"""From LMTP through the real agent to a real SMTP server."""

from pathlib import Path

from tests.lmtpd.real_house import house_in


async def test_mail_for_an_address_elsewhere_is_sent_there(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        told = await house.say("away@example.com", "alias@example.com")

        assert told == ["250 2.1.5", "250 2.1.5", "250 2.0.0", "250 2.0.0"]
        ((mail_from, rcpts, content),) = house.sink.taken
        assert (mail_from, rcpts) == ("bob@example.net", ["x@far.example"])
        assert content.startswith(b"Delivered-To: away@example.com\r\n")
        assert content.endswith(b"Subject: hi\r\n\r\n.dot\r\n")
        assert house.stored("alice") == 1
        page = house.parts.metrics.snapshot()
        assert b'"event": "sent_on"}, 1.0]' in page


async def test_a_recipient_with_several_targets_has_one_reply(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        assert await house.say("both@example.com") == ["250 2.1.5", "250 2.0.0"]

        assert [rcpts for _, rcpts, _ in house.sink.taken] == [["x@far.example", "y@far.example"]]
        assert house.stored("alice") == 1


async def test_where_one_target_is_refused_nothing_is_done(tmp_path: Path) -> None:
    async with house_in(tmp_path) as house:
        house.sink.refused = {"y@far.example": "451 4.7.1 Later"}
        assert await house.say("both@example.com") == ["250 2.1.5", "451 4.4.0"]
        house.sink.refused = {"y@far.example": "550 5.1.1 Never"}
        assert await house.say("both@example.com") == ["250 2.1.5", "550 5.1.1"]

        assert (house.sink.taken, house.stored("alice")) == ([], 0)


async def test_while_the_server_is_away_mail_waits_and_local_mail_does_not(tmp_path: Path) -> None:
    async with house_in(tmp_path, listens=False) as house:
        told = await house.say("both@example.com", "alice@example.com")

        assert told == ["250 2.1.5", "250 2.1.5", "451 4.4.0", "250 2.0.0"]
        assert house.stored("alice") == 1
