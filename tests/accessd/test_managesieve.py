"""ManageSieve, octet by octet."""

import asyncio
import base64
import socket
from pathlib import Path

import pytest

from accessd.calls import LoginRules
from accessd.sieve_server import tls_context
from msgstore.config.schema import ManageSieveSettings
from msgstore.model.errors import ConfigError, RateLimited
from msgstore.model.scripts import SCRIPTS_LIMIT
from msgstore.sieve import default_engine
from tests.accessd_room import ALICE
from tests.sieve_room import LOGIN, Desk, certificate, front

OK = [b"OK\r\n"]


async def test_the_greeting_tells_what_the_server_can(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk(greeted=False) as desk:
        lines = await desk.answer()

    assert lines[0] == b'"IMPLEMENTATION" "msgstore"\r\n'
    assert b'"SIEVE" "%s"\r\n' % " ".join(default_engine().capabilities).encode() in lines
    assert {b'"SASL" "PLAIN"\r\n', b'"NOTIFY" "mailto"\r\n', b'"MAXREDIRECTS" "5"\r\n', b'"VERSION" "1.0"\r\n'} < set(
        lines
    )
    assert b'"STARTTLS"\r\n' not in lines
    assert lines[-1] == b'OK "ready"\r\n'


async def test_scripts_are_put_listed_activated_fetched_renamed_and_deleted(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        assert await desk.ask(LOGIN) == [b'OK "logged in"\r\n']
        assert b'"OWNER" "alice@example.org"\r\n' in await desk.ask(b"CAPABILITY\r\n")
        assert await desk.ask(b'HAVESPACE "a" 100\r\n') == OK
        assert await desk.ask(b'PUTSCRIPT "a \\"b\\"" {5+}\r\nkeep;\r\n') == OK
        assert await desk.ask(b'putscript {1+}\r\nb "stop;"\r\n') == OK
        assert await desk.ask(b'SETACTIVE "b"\r\n') == OK
        assert await desk.ask(b"LISTSCRIPTS\r\n") == [b'"a \\"b\\""\r\n', b'"b" ACTIVE\r\n', *OK]
        assert await desk.ask(b'GETSCRIPT "b"\r\n') == [b"{5}\r\nstop;\r\n", *OK]
        assert await desk.ask(b'RENAMESCRIPT "b" "c"\r\n') == OK
        assert await desk.ask(b'SETACTIVE ""\r\n') == OK
        assert await desk.ask(b'DELETESCRIPT "c"\r\n') == OK
        assert await desk.ask(b'CHECKSCRIPT "keep;"\r\n') == OK
        assert await desk.ask(b"LOGOUT\r\n") == [b'OK "goodbye"\r\n']
        assert await desk.line() == b""

    assert [info.name for info in served.room.shelf.scripts(ALICE).list()] == ['a "b"']


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b'GETSCRIPT "x"\r\n', b"NO (NONEXISTENT) "),
        (b'SETACTIVE "x"\r\n', b"NO (NONEXISTENT) "),
        (b'DELETESCRIPT "s0"\r\n', b"NO (ACTIVE) "),
        (b'RENAMESCRIPT "s0" "s1"\r\n', b"NO (ALREADYEXISTS) "),
        (b'HAVESPACE "s1" 999999999\r\n', b"NO (QUOTA/MAXSIZE) "),
        (b'HAVESPACE "new" 1\r\n', b"NO (QUOTA/MAXSCRIPTS) "),
        (b'PUTSCRIPT "new" "keep;"\r\n', b"NO (QUOTA/MAXSCRIPTS) "),
        (b'PUTSCRIPT "s1" {70000+}\r\n' + b"#" * 70000 + b"\r\n", b"NO (QUOTA/MAXSIZE) "),
        (b'PUTSCRIPT "s1" {300000+}\r\n' + b"#" * 300000 + b"\r\n", b"NO (QUOTA/MAXSIZE) "),
        (b"CHECKSCRIPT {70000+}\r\n" + b"#" * 70000 + b"\r\n", b"NO (QUOTA/MAXSIZE) "),
        (b'PUTSCRIPT "s1" "keep"\r\n', b'NO "1:'),
        (b'PUTSCRIPT "s1" ""\r\n', b'NO "1:1: error: the script is empty'),
        (b'CHECKSCRIPT "bogus; bogus;"\r\n', b"NO {"),
        (b'PUTSCRIPT "" "keep;"\r\n', b'NO "the name'),
        (b'GETSCRIPT "\xff"\r\n', b'NO "the name of a script is UTF-8"'),
        (b"GETSCRIPT\r\n", b'NO "GETSCRIPT takes other arguments"'),
        (b"PUTSCRIPT a b\r\n", b'NO "PUTSCRIPT takes other arguments"'),
        (b'HAVESPACE "a"\r\n', b'NO "HAVESPACE takes'),
        (b"CHECKSCRIPT 1\r\n", b'NO "CHECKSCRIPT takes'),
        (b"LISTSCRIPTS 1\r\n", b'NO "LISTSCRIPTS takes'),
        (b"SETACTIVE\r\n", b'NO "SETACTIVE takes'),
        (b"DELETESCRIPT\r\n", b'NO "DELETESCRIPT takes'),
        (b"RENAMESCRIPT\r\n", b'NO "RENAMESCRIPT takes'),
        (b"UNAUTHENTICATE 1\r\n", b'NO "UNAUTHENTICATE takes'),
        (b"NOOP 1\r\n", b'NO "NOOP takes'),
        (b"BOGUS\r\n", b'NO "there is no such command"'),
        (b'"NOOP"\r\n', b'NO "a command comes first"'),
        (LOGIN, b'NO "somebody is logged in already"'),
        (b"STARTTLS\r\n", b'NO "TLS cannot begin here"'),
        (b"(\r\n", b'NO "the line cannot be read"'),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else None,
)
async def test_what_is_refused_has_its_code_and_the_connection_goes_on(
    tmp_path: Path, command: bytes, code: bytes
) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        shelf = served.room.shelf.scripts(ALICE)
        for number in range(SCRIPTS_LIMIT):
            shelf.put(f"s{number}", b"keep;")
        shelf.activate("s0")
        before = shelf.list()
        await desk.ask(LOGIN)

        refused = await desk.ask(command)
        said = await desk.ask(b'NOOP "sync"\r\n')

    assert refused[0].startswith(code)
    assert said[-1] == b'OK (TAG "sync") "nothing done"\r\n'
    assert shelf.list() == before


async def test_warnings_come_with_their_code(tmp_path: Path) -> None:
    script = b'require "fileinto"; keep;'
    warnings = default_engine().check(script)

    async with front(tmp_path) as served, served.desk() as desk:
        await desk.ask(LOGIN)
        said = await desk.ask(b'CHECKSCRIPT "%s"\r\n' % script.replace(b'"', b'\\"'))

    assert said[0].startswith(b"OK (WARNINGS) " if warnings else b"OK\r\n")


async def test_before_the_login_no_script_is_seen(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        assert await desk.ask(b"LISTSCRIPTS\r\n") == [b'NO "log in first"\r\n']
        assert await desk.ask(b"UNAUTHENTICATE\r\n") == [b'NO "log in first"\r\n']
        await desk.ask(LOGIN)
        assert await desk.ask(b"UNAUTHENTICATE\r\n") == OK
        assert await desk.ask(b"LISTSCRIPTS\r\n") == [b'NO "log in first"\r\n']
        assert await desk.ask(LOGIN) == [b'OK "logged in"\r\n']


async def test_a_login_may_come_in_two_steps_and_be_given_up(tmp_path: Path) -> None:
    message = base64.b64encode(b"\0alice@example.org\0secret")

    async with front(tmp_path) as served, served.desk() as desk:
        desk.writer.write(b'AUTHENTICATE "PLAIN"\r\n')
        assert await desk.line() == b'""\r\n'
        assert await desk.ask(b'"*"\r\n') == [b'NO "the login was given up"\r\n']
        desk.writer.write(b'AUTHENTICATE "plain"\r\n')
        assert await desk.line() == b'""\r\n'
        assert await desk.ask(b"{%d+}\r\n%s\r\n" % (len(message), message)) == [b'OK "logged in"\r\n']


@pytest.mark.parametrize(
    "command",
    [
        b'AUTHENTICATE "LOGIN"\r\n',
        b'AUTHENTICATE "PLAIN" "?"\r\n',
        b'AUTHENTICATE "PLAIN" "YQ=="\r\n',
        b"AUTHENTICATE\r\n",
    ],
)
async def test_a_login_of_another_form_is_refused(tmp_path: Path, command: bytes) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        assert (await desk.ask(command))[0].startswith(b"NO ")
        assert served.room.doorman.seen == []


async def test_a_failed_login_is_slow_and_the_third_one_ends_the_connection(tmp_path: Path) -> None:
    wrong = b'AUTHENTICATE "PLAIN" "%s"\r\n' % base64.b64encode(b"\0alice@example.org\0guess")
    async with front(tmp_path, login=LoginRules(failure_seconds=0.05)) as served, served.desk() as desk:
        began = asyncio.get_running_loop().time()
        assert (await desk.ask(wrong))[0].startswith(b"NO ")
        assert asyncio.get_running_loop().time() - began >= 0.05
        await desk.ask(wrong)
        assert (await desk.ask(wrong))[0].startswith(b"BYE ")
        assert await desk.line() == b""

    assert {client.protocol for client in served.room.doorman.clients} == {"SIEVE"}
    assert {client.address for client in served.room.doorman.clients} == {"127.0.0.1"}


async def test_a_throttled_login_may_be_tried_later(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        served.room.doorman.failure = RateLimited(after_seconds=30.0)

        assert (await desk.ask(LOGIN))[0].startswith(b"NO (TRYLATER) ")


async def test_without_tls_no_password_is_taken_unless_settings_say_so(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = ManageSieveSettings(tls_cert=cert, tls_key=key)

    async with front(tmp_path, settings) as served, served.desk(greeted=False) as desk:
        greeting = await desk.answer()
        assert {b'"SASL" ""\r\n', b'"STARTTLS"\r\n'} < set(greeting)
        assert (await desk.ask(LOGIN))[0].startswith(b"NO (ENCRYPT-NEEDED) ")

        told = await desk.start_tls(cert)

        assert b'"SASL" "PLAIN"\r\n' in told
        assert b'"STARTTLS"\r\n' not in told
        assert await desk.ask(b"STARTTLS\r\n") == [b'NO "TLS cannot begin here"\r\n']
        assert await desk.ask(LOGIN) == [b'OK "logged in"\r\n']


async def test_nothing_that_was_sent_before_tls_counts_after_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    settings = ManageSieveSettings(tls_cert=cert, tls_key=key)

    async with front(tmp_path, settings) as served, served.desk() as desk:
        assert (await desk.ask(b"STARTTLS\r\nNOOP\r\n"))[0].startswith(b"BYE ")
        assert await desk.line() == b""


async def test_a_literal_that_is_far_too_large_ends_the_connection_before_it_is_read(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        assert (await desk.ask(b"PUTSCRIPT {99999999+}\r\n"))[0].startswith(b"BYE (QUOTA/MAXSIZE) ")


async def test_too_many_mistakes_end_the_connection(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        said = [(await desk.ask(b"BOGUS\r\n"))[0] for _ in range(21)]

    assert said[-1] == b'BYE "too many mistakes"\r\n'


async def test_silence_before_and_after_the_login_ends_the_connection(tmp_path: Path) -> None:
    for ask, settings in (
        (b"", ManageSieveSettings(plain_login=True, login_seconds=0.05)),
        (LOGIN, ManageSieveSettings(plain_login=True, idle_seconds=0.05)),
    ):
        place = tmp_path / str(len(ask))
        place.mkdir()
        async with front(place, settings) as served, served.desk() as desk:
            if ask:
                await desk.ask(ask)
            assert (await desk.answer())[0].startswith(b"BYE ")


async def test_the_session_is_seen_and_can_be_ended(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        await desk.ask(LOGIN)
        sessions = served.room.server.services.sessions
        (session,) = sessions.every()
        assert session.service == "sieve"

        sessions.end(session)

        assert await desk.line() == b""


async def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk:
        await desk.ask(LOGIN)

        await served.server.stop()

        assert (await desk.line()).startswith(b"BYE (TRYLATER) ")


async def test_a_peer_at_a_unix_socket_is_this_machine(tmp_path: Path) -> None:
    path = str(tmp_path / "sieve.sock")
    async with front(tmp_path) as served:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen(8)
            await served.server.start([listening])
            reader, writer = await asyncio.open_unix_connection(path)
            desk = Desk(reader, writer)
            greeting = await desk.answer()
            said = await desk.ask(LOGIN)
            writer.close()

        assert b'"SASL" "PLAIN"\r\n' in greeting
        assert said == [b'OK "logged in"\r\n']
        assert [client.address for client in served.room.doorman.clients] == [None]


async def test_a_fault_of_ours_ends_one_connection_and_no_other(tmp_path: Path) -> None:
    async with front(tmp_path) as served, served.desk() as desk, served.desk() as other:
        served.room.doorman.failure = ZeroDivisionError()
        assert await desk.ask(LOGIN) == [b""]

        served.room.doorman.failure = None
        assert await other.ask(LOGIN) == [b'OK "logged in"\r\n']


def test_settings_that_let_nobody_in_and_files_that_are_no_certificate_are_told(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("none")
    for settings in (
        ManageSieveSettings(listen=("tcp:127.0.0.1:4190",)),
        ManageSieveSettings(tls_cert=str(tmp_path / "cert")),
        ManageSieveSettings(tls_cert=str(tmp_path / "absent")),
    ):
        with pytest.raises(ConfigError):
            tls_context(settings)
    assert tls_context(ManageSieveSettings()) is None
