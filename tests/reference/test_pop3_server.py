"""The reference POP3 server, driven by the standard library's client over real sockets."""

import asyncio
import poplib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.accessd_room import Room, Shelf, room
from tests.reference.pop3_server import Pop3Server

T = TypeVar("T")

SMALL = b"Subject: one\r\n\r\nfirst\r\n..\r\n.\r\nsecond\r\nthird\r\n"
BARE = b"Subject: two\n\n.dot\nbare\n"


@asynccontextmanager
async def serving(directory: Path) -> AsyncGenerator[tuple[Room, int], None]:
    async with room(directory, shelf=Shelf(directory)) as place:
        server = await asyncio.start_server(Pop3Server(place.path).serve, "127.0.0.1", 0)
        async with server:
            yield place, int(server.sockets[0].getsockname()[1])


async def drive(port: int, play: Callable[[poplib.POP3], T]) -> T:
    def run() -> T:
        client = poplib.POP3("127.0.0.1", port, timeout=10)
        try:
            return play(client)
        finally:
            client.close()

    return await asyncio.to_thread(run)


def log_in(client: poplib.POP3) -> poplib.POP3:
    client.user("alice@example.org")
    client.pass_("secret")
    return client


async def until_free(place: Room) -> None:
    """Wait until the server has noticed that a client is gone."""
    while place.server.sessions_held():  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0)


async def test_stat_list_and_uidl_agree_and_uidl_is_the_same_at_the_next_login(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)
        place.shelf.inbox().add(BARE)

        def play(client: poplib.POP3) -> tuple[tuple[int, int], list[bytes], list[bytes]]:
            log_in(client)
            found = client.stat(), client.list()[1], client.uidl()[1]
            client.quit()
            return found

        first = await drive(port, play)
        second = await drive(port, play)

    assert first == second
    assert first[0] == (2, len(SMALL) + len(BARE) + 4)
    assert first[1] == [b"1 %d" % len(SMALL), b"2 %d" % (len(BARE) + 4)]
    assert first[2] == [b"1 uidl-1", b"2 uidl-2"]


async def test_a_retrieved_message_has_its_dots_and_crlf_everywhere(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)
        place.shelf.inbox().add(BARE)

        lines = await drive(port, lambda client: [log_in(client).retr(1)[1], client.retr(2)[1]])

    assert lines[0] == SMALL.split(b"\r\n")[:-1]
    assert lines[1] == BARE.split(b"\n")[:-1]


async def test_a_large_message_comes_whole(tmp_path: Path) -> None:
    big = b"Subject: big\r\n\r\n" + b".line\r\n" * 100_000

    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(big)
        lines = await drive(port, lambda client: log_in(client).retr(1)[1])

    assert b"\r\n".join(lines) + b"\r\n" == big


async def test_top_gives_the_header_and_as_many_lines_as_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)

        none, two = await drive(port, lambda client: (log_in(client).top(1, 0)[1], client.top(1, 2)[1]))

    assert none == [b"Subject: one", b""]
    assert two == [b"Subject: one", b"", b"first", b".."]


@pytest.mark.parametrize("lines", [0, 2, 100_000, 200_000, 10**100])
async def test_top_gives_more_lines_than_one_answer_of_the_access_socket_holds(tmp_path: Path, lines: int) -> None:
    header, body = [b"Subject: big", b""], [b"..line"] * 150_000

    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(b"\r\n".join([*header, *(line[1:] for line in body), b""]))
        found = await drive(port, lambda client: log_in(client).top(1, lines)[1])

    assert [line.replace(b".line", b"..line") for line in found] == header + body[:lines]


async def test_quit_removes_what_was_marked_and_only_that(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)
        place.shelf.inbox().add(BARE)

        await drive(port, lambda client: (log_in(client).dele(1), client.quit()))

        assert list(place.shelf.inbox().messages) == [2]


async def test_rset_takes_the_marks_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)

        stat = await drive(port, lambda client: (log_in(client).dele(1), client.rset(), client.stat(), client.quit()))

        assert stat[2] == (1, len(SMALL))
        assert list(place.shelf.inbox().messages) == [1]


@pytest.mark.parametrize("steps", range(5))
async def test_a_lost_connection_removes_nothing_and_frees_the_maildrop(tmp_path: Path, steps: int) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)

        def leave_at(client: poplib.POP3) -> None:
            acts: list[Callable[[], object]] = [
                lambda: client.user("alice@example.org"),
                lambda: client.pass_("secret"),
                lambda: client.retr(1),
                lambda: client.dele(1),
            ]
            for act in acts[:steps]:
                act()

        await drive(port, leave_at)
        await until_free(place)
        count = await drive(port, lambda client: log_in(client).stat()[0])

        assert count == 1


async def test_a_second_login_is_told_that_the_maildrop_is_in_use(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)

        def both(first: poplib.POP3) -> str:
            log_in(first)
            second = poplib.POP3("127.0.0.1", port, timeout=10)
            with pytest.raises(poplib.error_proto) as refused:
                log_in(second)
            second.close()
            return str(refused.value)

        text = await drive(port, both)

    assert "[IN-USE]" in text


async def test_a_wrong_password_is_told_with_its_code(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, port):

        def wrong(client: poplib.POP3) -> str:
            client.user("alice@example.org")
            with pytest.raises(poplib.error_proto) as refused:
                client.pass_("guess")
            return str(refused.value)

        text = await drive(port, wrong)

    assert "[AUTH]" in text
    assert "guess" not in text


async def test_quit_says_when_something_could_not_be_removed(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.stuck.add(place.shelf.inbox().add(SMALL))

        def play(client: poplib.POP3) -> str:
            log_in(client).dele(1)
            with pytest.raises(poplib.error_proto) as refused:
                client.quit()
            return str(refused.value)

        text = await drive(port, play)

    assert "[SYS/TEMP]" in text


async def test_mail_that_arrives_meanwhile_has_no_number(tmp_path: Path) -> None:
    async with serving(tmp_path) as (place, port):
        place.shelf.inbox().add(SMALL)

        def play(client: poplib.POP3) -> tuple[int, int]:
            log_in(client)
            place.shelf.inbox().add(BARE)
            return client.stat()

        stat = await drive(port, play)

    assert stat == (1, len(SMALL))
