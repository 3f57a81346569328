"""No script that does not compile gets to the shelf, nor becomes the active one."""

from collections.abc import Callable

import pytest

from msgstore.model.scripts import SCRIPT_LIMIT_OCTETS, InvalidScriptName, ScriptNotFound, ScriptShelf, ScriptTooLarge
from msgstore.scripts import ScriptInvalid, activate_checked, check, put_checked
from msgstore.sieve import default_engine
from msgstore.store.clock import SystemClock
from msgstore.store.memory import MemoryStore
from tests.contract.shelf import ALICE

ENGINE = default_engine()
GOOD = b'require "fileinto";\r\nfileinto "Work";\r\n'


@pytest.fixture
def shelf() -> ScriptShelf:
    store = MemoryStore(clock=SystemClock())
    store.create_mailbox(ALICE)
    return store.scripts(ALICE)


def test_a_good_script_is_kept_as_it_came(shelf: ScriptShelf) -> None:
    assert put_checked(shelf, ENGINE, "a", GOOD) == ()

    assert shelf.read("a") == GOOD
    assert shelf.active() is None


def test_a_good_script_is_made_active_where_that_is_wanted(shelf: ScriptShelf) -> None:
    put_checked(shelf, ENGINE, "a", GOOD, activate=True)

    active = shelf.active()
    assert active is not None
    assert active.name == "a"


@pytest.mark.parametrize("bad", [b"keep", b"fileinto 1;", b"", b" \r\n\t", b"\xff", b'keep; redirect "a@b.c"'])
def test_a_bad_script_replaces_nothing_and_tells_all_its_errors(shelf: ScriptShelf, bad: bytes) -> None:
    put_checked(shelf, ENGINE, "a", GOOD, activate=True)

    with pytest.raises(ScriptInvalid) as refused:
        put_checked(shelf, ENGINE, "a", bad, activate=True)

    assert refused.value.findings.errors == check(ENGINE, bad).errors
    assert str(refused.value).startswith("1:")
    assert shelf.read("a") == GOOD


def test_a_script_of_comments_is_not_empty() -> None:
    assert check(ENGINE, b"# nothing yet\r\n").is_valid


def test_size_and_name_are_looked_at_before_the_script(shelf: ScriptShelf) -> None:
    with pytest.raises(ScriptTooLarge):
        put_checked(shelf, ENGINE, "a", b"(" * (SCRIPT_LIMIT_OCTETS + 1))
    with pytest.raises(InvalidScriptName):
        put_checked(shelf, ENGINE, "", b"(")


def test_a_script_that_came_another_way_becomes_active_only_if_it_compiles(shelf: ScriptShelf) -> None:
    shelf.put("bad", b"keep")
    put_checked(shelf, ENGINE, "good", GOOD)
    activate_checked(shelf, ENGINE, "good")

    calls: list[tuple[type[Exception], Callable[[], None]]] = [
        (ScriptInvalid, lambda: activate_checked(shelf, ENGINE, "bad")),
        (ScriptNotFound, lambda: activate_checked(shelf, ENGINE, "absent")),
    ]
    for error, call in calls:
        with pytest.raises(error):
            call()
    assert [info.name for info in shelf.list() if info.is_active] == ["good"]

    activate_checked(shelf, ENGINE, None)
    assert shelf.active() is None


def test_warnings_do_not_refuse_a_script(shelf: ScriptShelf) -> None:
    content = b'require ["fileinto", "fileinto"]; stop; keep;'

    warnings = put_checked(shelf, ENGINE, "a", content)

    assert warnings == check(ENGINE, content).warnings
