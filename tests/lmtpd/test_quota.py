"""Quotas on the wire: the replies, and what the agent is told."""

import os

import pytest

from msgstore.config.schema import LmtpSettings
from msgstore.model.errors import MessageOverQuota, QuotaExceeded, QuotaExceededForGood
from tests.lmtpd.house_double import rig


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (QuotaExceeded, "452 4.2.2 "),
        (QuotaExceededForGood, "552 5.2.2 "),
        (MessageOverQuota, "552 5.2.3 "),
    ],
)
async def test_a_recipient_without_room_is_refused_at_rcpt(error: type[QuotaExceeded], reply: str) -> None:
    async with rig(LmtpSettings(grace_seconds=5)) as made:
        made.agent.accept_error = error(used_octets=9, limit_octets=10)
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<u@d.example>\r\nQUIT\r\n")
        replies = await client.everything()

    assert reply in str(replies)


@pytest.mark.parametrize("remembers", [True, False])
async def test_the_agent_is_told_the_size_and_what_a_trusted_peer_exempts(*, remembers: bool) -> None:
    async with rig(LmtpSettings(trusted_uids=(os.getuid(),), grace_seconds=5)) as made:
        made.agent.remembers = remembers
        client = await (await made.connect()).greeted()
        client.send(b"MAIL FROM:<> SIZE=5000\r\nRCPT TO:<u@d.example> IGNOREQUOTA\r\nRCPT TO:<v@d.example>\r\nQUIT\r\n")
        await client.everything()

    assert [exempt for _, exempt in made.agent.asked] == [True, False]
    assert remembers or [octets for octets, _ in made.agent.asked] == [5000, 5000]
