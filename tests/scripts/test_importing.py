"""Scripts to and from another server, which is our own one behind TLS."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sievelib.managesieve import Client

from msgstore.config.schema import ManageSieveSettings
from msgstore.model.scripts import SCRIPT_LIMIT_OCTETS, ScriptShelf, StoredScript
from msgstore.scripts import Imported, Remote, RemoteFailed, RemoteScript, fetch_scripts, push_scripts, take_scripts
from msgstore.sieve import default_engine
from msgstore.store.clock import SystemClock
from msgstore.store.memory import MemoryStore
from tests.accessd_room import ALICE
from tests.sieve_room import Front, certificate, front

ENGINE = default_engine()
USER = str(ALICE)
SCRIPT = b'# "OK" and more\r\n# OK is no answer here\r\nkeep;\r\n'


@pytest.fixture
def shelf() -> ScriptShelf:
    store = MemoryStore(clock=SystemClock())
    store.create_mailbox(ALICE)
    return store.scripts(ALICE)


@asynccontextmanager
async def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Front, None]:
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    async with front(tmp_path, ManageSieveSettings(tls_cert=cert, tls_key=key)) as served:
        yield served


def remote(served: Front, **more: object) -> Remote:
    return Remote(host="localhost", port=served.port, user=USER, **more)  # type: ignore[arg-type]  # fields of a test


async def test_scripts_go_to_another_server_and_come_back_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = [StoredScript(name="été", content=SCRIPT), StoredScript(name="b", content=b"stop;\r\n")]

    async with secured(tmp_path, monkeypatch) as served:
        await asyncio.to_thread(push_scripts, remote(served), "secret", scripts, active="été")
        there = {info.name: info.is_active for info in served.room.shelf.scripts(ALICE).list()}
        found = await asyncio.to_thread(fetch_scripts, remote(served), "secret")

    assert there == {"b": False, "été": True}
    assert found == (
        RemoteScript(name="b", content=b"stop;\r\n", is_active=False),
        RemoteScript(name="été", content=SCRIPT, is_active=True),
    )


async def test_what_the_other_server_refuses_is_told_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [StoredScript(name="bad", content=b"keep")]

    async with secured(tmp_path, monkeypatch) as served:
        with pytest.raises(RemoteFailed, match="'bad': 1:"):
            await asyncio.to_thread(push_scripts, remote(served), "secret", bad, active=None)
        with pytest.raises(RemoteFailed, match="does not activate"):
            await asyncio.to_thread(push_scripts, remote(served), "secret", [], active="absent")
        with pytest.raises(RemoteFailed, match="refuses the login"):
            await asyncio.to_thread(fetch_scripts, remote(served), "guess")
        with pytest.raises(RemoteFailed):
            await asyncio.to_thread(fetch_scripts, remote(served, security="none"), "secret")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)

    async with front(tmp_path, ManageSieveSettings(tls_cert=cert, tls_key=key)) as served:
        with pytest.raises(RemoteFailed, match="SSL"):
            await asyncio.to_thread(fetch_scripts, remote(served), "secret")
        assert served.room.doorman.seen == []


async def test_a_client_of_another_project_does_everything_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(port: int) -> None:
        client = Client("localhost", port)
        assert client.connect(USER, "secret", starttls=True)
        assert client.get_sieve_capabilities() == list(ENGINE.capabilities)
        assert client.havespace("a", 100)
        assert not client.havespace("a", 10**9)
        assert client.errcode == b"QUOTA/MAXSIZE"
        assert client.putscript("a", "keep;\n")
        assert client.putscript("b", "stop;\n")
        assert client.setactive("a")
        assert client.listscripts() == ("a", ["b"])
        assert not client.deletescript("a")
        assert client.errcode == b"ACTIVE"
        assert client.renamescript("a", "c")
        assert client.getscript("c") == "keep;"
        assert client.getscript("a") is None
        assert client.errcode == b"NONEXISTENT"
        assert not client.checkscript("bogus; bogus;")
        assert client.errmsg.count(b"error") == 2
        assert client.checkscript("keep;")
        assert b"OWNER" in (client.capability() or b"")
        assert client.setactive("")
        assert client.deletescript("c")
        client.logout()

    async with secured(tmp_path, monkeypatch) as served:
        await asyncio.to_thread(work, served.port)


def test_a_script_that_does_not_compile_here_is_refused_and_the_others_are_taken(shelf: ScriptShelf) -> None:
    found = [
        RemoteScript(name="bad", content=b"keep", is_active=False),
        RemoteScript(name="lost", content=None, is_active=False),
        RemoteScript(name="large", content=b"#" * (SCRIPT_LIMIT_OCTETS + 1), is_active=False),
        RemoteScript(name="", content=b"keep;", is_active=False),
        RemoteScript(name="good", content=b"keep;", is_active=True),
    ]

    done = take_scripts(shelf, ENGINE, found)

    assert [one.outcome for one in done] == ["refused"] * 4 + ["taken"]
    assert all(one.why for one in done[:4])
    assert [(info.name, info.is_active) for info in shelf.list()] == [("good", True)]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_here_stays_unless_it_is_to_be_replaced(shelf: ScriptShelf, *, overwrite: bool) -> None:
    shelf.put("a", b"stop;")
    shelf.put("mine", b"stop;")
    shelf.activate("mine")
    found = [
        RemoteScript(name="a", content=b"keep;", is_active=False),
        RemoteScript(name="b", content=b"keep;", is_active=True),
    ]

    done = take_scripts(shelf, ENGINE, found, overwrite=overwrite)

    assert [one.outcome for one in done] == ["taken" if overwrite else "kept", "taken"]
    assert done[1] == Imported(name="b", outcome="taken", is_active=overwrite)
    assert shelf.read("a") == (b"keep;" if overwrite else b"stop;")
    active = shelf.active()
    assert active is not None
    assert active.name == ("b" if overwrite else "mine")


def test_an_address_says_who_where_and_how() -> None:
    assert Remote.parse("managesieve://a%40b@host") == Remote(host="host", user="a@b", security="starttls")
    assert Remote.parse("managesieves://a@host:1/", act_as="c") == Remote(
        host="host", port=1, user="a", security="tls", act_as="c"
    )
    for url in ("managesieve://host", "http://a@host", "managesieve://a:b@host", "managesieve://a@host/x"):
        with pytest.raises(ValueError, match=r"user|managesieve"):
            Remote.parse(url)
