"""ManageSieve under clients that are slow, wrong, many, or gone; what is counted; a certificate that changes."""

import asyncio
import base64
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from msgstore.config.schema import ManageSieveSettings
from msgstore.model.errors import ConfigError
from tests.accessd_room import ALICE
from tests.sieve_room import LOGIN, Desk, Front, certificate, front

WRONG: Final = b'AUTHENTICATE "PLAIN" "%s"\r\n' % base64.b64encode(b"\0alice@example.org\0guess")
TALK: Final = LOGIN + b'PUTSCRIPT "a" {5+}\r\nkeep;\r\nSETACTIVE "a"\r\nLISTSCRIPTS\r\nLOGOUT\r\n'
ANSWER: Final = b'OK "logged in"\r\nOK\r\nOK\r\n"a" ACTIVE\r\nOK\r\nOK "goodbye"\r\n'
TURNS: Final = 3
"""Turns of the loop in which a server in the same loop has read what was sent."""


async def emptied(served: Front) -> None:
    """Wait until no connection is left."""
    async with asyncio.timeout(10):
        while served.connections:  # noqa: ASYNC110 (the page of metrics tells nobody)
            await asyncio.sleep(0)


async def heard(desk: Desk) -> bytes:
    """Give all that comes up to the end; a server that leaves unread octets behind ends by a reset."""
    said = bytearray()
    async with asyncio.timeout(15):
        with suppress(ConnectionError):
            while octets := await desk.reader.read(65_536):
                said += octets
    return bytes(said)


async def test_a_talk_cut_at_any_octet_is_answered_the_same(tmp_path: Path) -> None:
    async with front(tmp_path) as served:
        for cut in range(len(TALK) + 1):
            async with served.desk() as desk:
                desk.writer.write(TALK[:cut])
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                desk.writer.write(TALK[cut:])
                async with asyncio.timeout(10):
                    said = await desk.reader.read()

            assert said == ANSWER, cut
        assert served.counted("fault") == 0


async def test_a_client_that_is_gone_at_any_octet_leaves_a_whole_script_or_none(tmp_path: Path) -> None:
    async with front(tmp_path) as served:
        shelf = served.room.shelf.scripts(ALICE)
        for cut in range(len(TALK)):
            async with served.desk() as desk:
                desk.writer.write(TALK[:cut])
                desk.writer.write_eof()
                async with asyncio.timeout(10):
                    await desk.reader.read()
            await emptied(served)

            assert [shelf.read(info.name) for info in shelf.list()] in ([], [b"keep;"]), cut
            assert list(served.room.server.services.sessions.every()) == []
            shelf.activate(None)
            for info in shelf.list():
                shelf.remove(info.name)


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        events = ("connection", "login", "login_failed", "fault", "script_put", "script_refused", "tls", "refused")
        before = [served.counted(event) for event in events]
        await desk.ask(WRONG)
        await desk.ask(LOGIN)
        await desk.ask(b"BOGUS\r\n")
        await desk.ask(b'PUTSCRIPT "a" "keep;"\r\n')
        await desk.ask(b'PUTSCRIPT "b" "bogus;"\r\n')
        await desk.ask(b'GETSCRIPT "c"\r\n')

        assert before == [1, 0, 0, 0, 0, 0, 0, 0]
        assert [served.counted(event) for event in events] == [1, 1, 1, 1, 1, 1, 0, 0]
        assert served.connections == 1


async def test_the_end_of_a_connection_and_a_line_without_end_are_counted(tmp_path: Path) -> None:
    async with front(tmp_path) as served:
        async with served.desk() as desk:
            assert (await desk.ask(b"x" * 20_000))[0] == b'BYE "the line is too long"\r\n'
        await emptied(served)

        assert served.counted("fault") == 1


@pytest.mark.parametrize("octets", [b"N", b"NOOP\r\n"], ids=["drops", "whole commands"])
async def test_a_stranger_who_goes_on_talking_does_not_stay(tmp_path: Path, octets: bytes) -> None:
    settings = ManageSieveSettings(plain_login=True, login_seconds=0.2)
    async with front(tmp_path, settings) as served, served.desk() as desk:

        async def talk() -> None:
            while not desk.writer.is_closing():
                desk.writer.write(octets)
                await asyncio.sleep(0.001)

        talking = asyncio.create_task(talk())
        said = await heard(desk)
        talking.cancel()

    assert set(said.split(b"\r\n")) <= {b'OK "nothing done"', b'BYE "no login came in time"', b""}


async def test_a_flood_of_commands_from_a_stranger_ends_as_well(tmp_path: Path) -> None:
    settings = ManageSieveSettings(plain_login=True, login_seconds=0.05)
    async with front(tmp_path, settings) as served, served.desk() as desk:
        desk.writer.write(b"NOOP\r\n" * 200_000)
        said = await heard(desk)

    assert said.count(b"OK") < 200_000


async def test_time_begins_anew_for_who_was_logged_in(tmp_path: Path) -> None:
    settings = ManageSieveSettings(plain_login=True, login_seconds=1.0)
    async with front(tmp_path, settings) as served, served.desk() as desk:
        await desk.ask(LOGIN)
        # A session outlives the time for a login.
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.1
        while loop.time() < until:
            assert (await desk.ask(b"NOOP\r\n"))[0].startswith(b"OK")
        assert await desk.ask(b"UNAUTHENTICATE\r\n") == [b"OK\r\n"]
        assert await desk.ask(LOGIN) == [b'OK "logged in"\r\n']


async def test_one_client_too_many_is_told_to_come_again(tmp_path: Path) -> None:
    for settings in (
        ManageSieveSettings(plain_login=True, max_connections=1),
        ManageSieveSettings(plain_login=True, max_connections_per_client=1),
    ):
        place = tmp_path / str(settings.max_connections)
        place.mkdir()
        async with front(place, settings) as served:
            async with served.desk(), served.desk(greeted=False) as second:
                assert await second.line() == b'BYE (TRYLATER) "too many connections"\r\n'
                assert await second.line() == b""
            await emptied(served)
            async with served.desk() as third:
                assert await third.ask(LOGIN) == [b'OK "logged in"\r\n']
            assert served.counted("refused") == 1


async def test_a_certificate_that_was_renewed_is_shown_to_who_comes_after(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = ManageSieveSettings(tls_cert=cert, tls_key=key)
    async with front(tmp_path, settings) as served:
        old = str(tmp_path / "old.pem")
        await asyncio.to_thread(Path(cert).replace, old)
        certificate(tmp_path)
        async with served.desk() as desk:
            served.server.reload_certificate()
            # Who is there already goes on with what was there when it came.
            await desk.start_tls(old)
            assert await desk.ask(LOGIN) == [b'OK "logged in"\r\n']
        async with served.desk() as desk:
            assert (await desk.start_tls(cert))[-1] == b'OK "TLS is on"\r\n'
        async with served.desk() as desk:
            with pytest.raises(ssl.SSLCertVerificationError):
                await desk.start_tls(old)
        assert served.counted("tls") >= 2


async def test_a_certificate_that_cannot_be_read_takes_no_place(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = ManageSieveSettings(tls_cert=cert, tls_key=key)
    good = await asyncio.to_thread(Path(cert).read_bytes)
    async with front(tmp_path, settings) as served:
        await asyncio.to_thread(Path(cert).write_text, "none")
        with pytest.raises(ConfigError):
            served.server.reload_certificate()
        await asyncio.to_thread(Path(cert).write_bytes, good)
        async with served.desk() as desk:
            assert (await desk.start_tls(cert))[-1] == b'OK "TLS is on"\r\n'
