"""Scripts over the access socket, with both clients and both stores."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from accessd.script_methods import largest_script
from msgstore.access.aio import AccessClient
from msgstore.access.aio_scripts import Scripts
from msgstore.access.codes import AccessError
from msgstore.access.scriptshapes import RuleShape
from msgstore.access.sync import AccessClient as BlockingClient
from msgstore.model.scripts import SCRIPTS_LIMIT
from msgstore.sieve import default_engine
from tests.accessd.mailroom import KINDS, Mailroom, mailroom
from tests.accessd_room import ALICE

GOOD = b'require "fileinto";\r\nfileinto "Work";\r\n'
RULE = RuleShape(name="work", conditions=(("header", "Subject", ":is", "x"),), actions=(("fileinto", "Work"),))


def names(found: Mailroom) -> list[tuple[str, bool]]:
    return [(info.name, info.is_active) for info in found.store.scripts(ALICE).list()]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_script_is_put_listed_fetched_activated_renamed_and_deleted(tmp_path: Path, kind: str) -> None:
    async with mailroom(tmp_path, kind) as found:
        scripts = found.session.scripts

        assert (await scripts.put("a", GOOD)).warnings == ()
        await scripts.put("b", b"keep;", activate=True)
        rows = await scripts.list()
        assert [(row.name, row.active, row.octets) for row in rows] == [("a", False, len(GOOD)), ("b", True, 5)]
        got = await scripts.get("a")
        assert (got.text, got.hash) == (GOOD, rows[0].hash)

        await scripts.activate("a")
        await scripts.rename("a", "c")
        await scripts.delete("b")
        assert names(found) == [("c", True)]
        await scripts.activate(None)
        assert names(found) == [("c", False)]


async def test_errors_have_their_codes_and_change_nothing(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as found:
        scripts = found.session.scripts
        await scripts.put("a", GOOD, activate=True)
        await scripts.put("b", GOOD)

        assert await code_of(scripts.get("x")) == "NO_SCRIPT"
        assert await code_of(scripts.activate("x")) == "NO_SCRIPT"
        assert await code_of(scripts.rename("x", "y")) == "NO_SCRIPT"
        assert await code_of(scripts.rename("b", "a")) == "SCRIPT_EXISTS"
        assert await code_of(scripts.delete("a")) == "SCRIPT_ACTIVE"
        assert await code_of(scripts.put("", GOOD)) == "INVALID_NAME"
        assert await code_of(scripts.put("a\n", GOOD)) == "INVALID_NAME"
        assert await code_of(scripts.put("a", b"keep")) == "SCRIPT_INVALID"
        assert await code_of(
            scripts.put_rules("a", [RuleShape(name="r", conditions=(("x",),), actions=(("y",),))])
        ) == ("SCRIPT_INVALID")
        assert await code_of(scripts.put("a", b"#" * (largest_script(default_engine()) + 1))) == "TOO_LARGE"
        assert await code_of(scripts.check(b"#" * (largest_script(default_engine()) + 1))) == "TOO_LARGE"
        assert names(found) == [("a", True), ("b", False)]
        assert found.store.scripts(ALICE).read("a") == GOOD


async def refusal(call: Awaitable[object]) -> AccessError:
    with pytest.raises(AccessError) as refused:
        await call
    return refused.value


async def code_of(call: Awaitable[object]) -> str:
    return (await refusal(call)).code


async def test_an_invalid_script_names_the_places_of_its_errors(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as found:
        error = await refusal(found.session.scripts.check(b'keep;\r\nfileinto "a";\r\nbogus;'))

        assert error.code == "SCRIPT_INVALID"
        places = error.data["errors"]
        assert str(places).count("'line': 2") == str(places).count("'line': 3") == 1
        assert names(found) == []


async def test_a_script_that_came_another_way_is_not_activated_unless_it_compiles(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as found:
        found.store.scripts(ALICE).put("bad", b"keep")

        assert await code_of(found.session.scripts.activate("bad")) == "SCRIPT_INVALID"
        assert names(found) == [("bad", False)]


async def test_space_is_asked_for_before_a_script_comes(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as found:
        scripts, limit = found.session.scripts, largest_script(default_engine())
        for number in range(SCRIPTS_LIMIT):
            found.store.scripts(ALICE).put(f"s{number}", b"keep;")

        await scripts.space("s0", limit)
        assert await code_of(scripts.space("s0", limit + 1)) == "OVER_QUOTA"
        assert await code_of(scripts.space("new", 1)) == "OVER_QUOTA"
        assert await code_of(scripts.put("new", b"keep;")) == "OVER_QUOTA"


async def test_rules_come_back_and_what_is_no_rules_comes_as_it_is(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as found:
        scripts = found.session.scripts

        kept = await scripts.put_rules("r", [RULE], activate=True)
        await scripts.put("raw", b"keep;")

        assert (await scripts.rules("r")).rules == (RULE,)
        assert (await scripts.get("r")).text == kept.text
        raw = await scripts.rules("raw")
        assert (raw.rules, raw.raw) == (None, b"keep;")
        assert await code_of(scripts.rules("absent")) == "NO_SCRIPT"


async def test_capabilities_are_those_of_the_engine(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as found:
        told = await found.session.scripts.capabilities()

    engine = default_engine()
    assert told.extensions == engine.capabilities
    assert told.notify == ("mailto",)
    assert (told.max_redirects, told.name_octets) == (engine.limits.redirects, 512)
    assert told.script_octets == largest_script(engine)


async def test_a_repeated_change_is_done_once(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "maildir") as found:
        scripts = found.session.scripts
        await scripts.put("a", GOOD)
        await scripts.put("b", GOOD)

        for _ in range(2):
            await scripts.rename("a", "c", request_id="one")
            await scripts.delete("b", request_id="two")

        assert names(found) == [("c", False)]


async def test_scripts_are_those_of_the_session_and_need_one(tmp_path: Path) -> None:
    async with mailroom(tmp_path, "memory") as found:
        client = await found.stack.enter_async_context(AccessClient.connect(found.path))

        assert await code_of(Scripts(client, "0" * 64).list()) == "NO_SESSION"
        assert await code_of(Scripts(client, found.session.token).list()) == "NO_SESSION"


async def test_the_blocking_client_has_the_same_words(tmp_path: Path) -> None:
    def work(path: str) -> None:
        with BlockingClient.connect(path) as client:
            scripts = client.login(str(ALICE), "secret", service="sieve").scripts
            assert scripts.check(GOOD).warnings == ()
            scripts.space("a", 10)
            scripts.put("a", GOOD, activate=True)
            scripts.put_rules("b", [RULE])
            scripts.activate(None)
            scripts.rename("a", "c")
            scripts.delete("c")
            assert [row.name for row in scripts.list()] == ["b"]
            assert scripts.rules("b").rules == (RULE,)
            assert scripts.get("b").text.startswith(b"require")
            assert scripts.capabilities().implementation == "msgstore"

    async with mailroom(tmp_path, "maildir") as found:
        await asyncio.to_thread(work, found.path)
