"""The spine: a client, a socket, a server."""

from pathlib import Path

from msgstore.access.aio import AccessClient
from tests.accessd_room import room


async def test_a_message_is_listed_retrieved_deleted_and_expunged(tmp_path: Path) -> None:
    async with room(tmp_path) as place:
        place.shelf.inbox().add(b"Subject: x\r\n\r\nhello\r\n")
        async with AccessClient.connect(place.path) as client:
            session = await client.login("alice@example.org", "secret", service="pop3")

            opened = await session.open()
            rows = await session.list()
            body = await session.retrieve(rows[0].uid)
            octets = await body.read()
            await body.close()
            marked = await session.delete(1)
            gone = await session.expunge()

    assert opened.messages == 1
    assert rows[0].uidl == "uidl-1"
    assert octets == b"Subject: x\r\n\r\nhello\r\n"
    assert marked.marked == (1,)
    assert gone.expunged == (1,)
    assert not place.shelf.inbox().messages
