"""What every backend promises about the scripts of a mailbox."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import text

from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, MsgstoreError, ReservedFolderName
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.scripts import (
    SCRIPT_LIMIT_OCTETS,
    SCRIPTS_LIMIT,
    InvalidScriptName,
    ScriptExists,
    ScriptInfo,
    ScriptIsActive,
    ScriptNotFound,
    ScriptTooLarge,
    StoredScript,
    TooManyScripts,
)
from tests.contract.shelf import ALICE, BOB, WORK

AWKWARD = [
    "main",
    "..",
    ".",
    "../../etc/passwd",
    ".hidden",
    "a/b",
    "100%",
    "%2F",
    "%=" + "0" * 64,
    "with space.sieve",
    "été",
    "山" * 128,
    "/" * 128,
    "personal",
]


def names(store: MessageStore, mailbox: MailboxId = ALICE) -> list[str]:
    return [info.name for info in store.scripts(mailbox).list()]


def test_a_mailbox_begins_without_scripts(box: MessageStore) -> None:
    assert box.scripts(ALICE).list() == ()
    assert box.scripts(ALICE).active() is None


def test_without_a_mailbox_nothing_is_active_and_nothing_can_be_put(store: MessageStore) -> None:
    shelf = store.scripts(BOB)

    assert shelf.active() is None
    calls: list[Callable[[], object]] = [
        shelf.list,
        lambda: shelf.put("a", b"keep;"),
        lambda: shelf.activate(None),
    ]
    for call in calls:
        with pytest.raises(MailboxNotFound):
            call()


@pytest.mark.parametrize("name", AWKWARD)
def test_a_script_has_the_name_it_was_put_under_whatever_that_holds(box: MessageStore, name: str) -> None:
    shelf = box.scripts(ALICE)

    shelf.put(name, b"keep;")
    shelf.activate(name)

    assert shelf.list() == (ScriptInfo(name=name, octets=5, is_active=True),)
    assert shelf.read(name) == b"keep;"
    assert shelf.active() == StoredScript(name=name, content=b"keep;")


@given(name=text(min_size=1, max_size=128))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_is_kept_or_refused_and_never_half(box: MessageStore, name: str) -> None:
    shelf = box.scripts(ALICE)
    try:
        shelf.put(name, b"stop;")
    except InvalidScriptName:
        assert name not in names(box)
        return

    assert names(box) == [name]
    shelf.remove(name)
    assert names(box) == []


@pytest.mark.parametrize("name", ["", "a" * 129, "a\nb", "\x00", "\x7f", "\x85", "a\u2028b", "\u2029", "\ud800"])
def test_names_that_no_script_can_have_are_refused(box: MessageStore, name: str) -> None:
    shelf = box.scripts(ALICE)
    shelf.put("a", b"keep;")

    calls: list[Callable[[], object]] = [lambda: shelf.put(name, b"keep;"), lambda: shelf.rename("a", name)]
    for call in calls:
        with pytest.raises(InvalidScriptName):
            call()

    assert names(box) == ["a"]


def test_names_ascend_and_only_one_script_is_active(box: MessageStore) -> None:
    shelf = box.scripts(ALICE)
    for name in ("c", "a", "b"):
        shelf.put(name, name.encode())

    shelf.activate("b")
    shelf.activate("c")

    assert [(info.name, info.is_active) for info in shelf.list()] == [("a", False), ("b", False), ("c", True)]


def test_a_script_put_again_is_the_new_one_and_stays_active(box: MessageStore) -> None:
    shelf = box.scripts(ALICE)
    shelf.put("a", b"one")
    shelf.activate("a")
    assert shelf.active() == StoredScript(name="a", content=b"one")

    shelf.put("a", b"two")

    assert shelf.active() == StoredScript(name="a", content=b"two")


def test_no_script_may_be_active(box: MessageStore) -> None:
    shelf = box.scripts(ALICE)
    shelf.put("a", b"keep;")
    shelf.activate("a")

    shelf.activate(None)
    shelf.activate(None)

    assert shelf.active() is None
    assert names(box) == ["a"]


def test_the_active_script_cannot_be_removed_and_others_can(box: MessageStore) -> None:
    shelf = box.scripts(ALICE)
    shelf.put("a", b"keep;")
    shelf.put("b", b"keep;")
    shelf.activate("a")

    shelf.remove("b")
    with pytest.raises(ScriptIsActive):
        shelf.remove("a")

    assert names(box) == ["a"]


@pytest.mark.parametrize("name", ["a", "山" * 128])
def test_a_renamed_script_stays_active_or_idle(box: MessageStore, name: str) -> None:
    shelf = box.scripts(ALICE)
    shelf.put(name, b"keep;")
    shelf.put("b", b"stop;")
    shelf.activate(name)

    shelf.rename(name, "c")
    shelf.rename("b", "d")

    assert [(info.name, info.is_active) for info in shelf.list()] == [("c", True), ("d", False)]
    assert shelf.active() == StoredScript(name="c", content=b"keep;")


@pytest.mark.parametrize("to", ["a", "b"])
def test_a_script_is_not_renamed_over_another_one_or_itself(box: MessageStore, to: str) -> None:
    shelf = box.scripts(ALICE)
    shelf.put("a", b"one")
    shelf.put("b", b"two")

    with pytest.raises(ScriptExists):
        shelf.rename("a", to)

    assert (shelf.read("a"), shelf.read("b")) == (b"one", b"two")


@pytest.mark.parametrize("verb", ["read", "activate", "remove"])
def test_what_is_not_there_is_not_found(box: MessageStore, verb: str) -> None:
    with pytest.raises(ScriptNotFound):
        getattr(box.scripts(ALICE), verb)("a")
    with pytest.raises(ScriptNotFound):
        box.scripts(ALICE).rename("a", "b")


def test_a_script_has_a_largest_size_and_a_mailbox_a_largest_number_of_them(box: MessageStore) -> None:
    shelf = box.scripts(ALICE)
    shelf.put("large", b"#" * SCRIPT_LIMIT_OCTETS)

    with pytest.raises(ScriptTooLarge):
        shelf.put("large", b"#" * (SCRIPT_LIMIT_OCTETS + 1))
    for number in range(SCRIPTS_LIMIT - 1):
        shelf.put(f"s{number}", b"keep;")
    with pytest.raises(TooManyScripts):
        shelf.put("one more", b"keep;")
    shelf.put("s1", b"stop;")

    assert len(shelf.list()) == SCRIPTS_LIMIT


def test_scripts_belong_to_one_mailbox_and_go_with_it(box: MessageStore) -> None:
    box.create_mailbox(BOB)
    box.scripts(ALICE).put("a", b"keep;")
    box.scripts(ALICE).activate("a")
    assert names(box, BOB) == []

    box.remove_mailbox(ALICE)
    box.create_mailbox(ALICE)

    assert names(box) == []
    assert box.scripts(ALICE).active() is None


@pytest.mark.parametrize("name", ["sieve", "sieve/2024"])
def test_no_folder_takes_the_place_of_the_script(box: MessageStore, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: box.folders(ALICE).create(FolderName.parse(name)),
        lambda: box.folders(ALICE).rename(WORK, FolderName.parse(name)),
    ]

    for call in calls:
        with pytest.raises(ReservedFolderName):
            call()


def test_folders_do_not_see_the_scripts(box: MessageStore) -> None:
    before = box.folders(ALICE).list()
    box.scripts(ALICE).put("a", b"keep;")
    box.scripts(ALICE).activate("a")

    assert box.folders(ALICE).list() == before
    assert box.check(ALICE) == ()


def test_errors_of_scripts_are_temporary() -> None:
    for kind in (ScriptNotFound, ScriptExists, ScriptIsActive, InvalidScriptName):
        assert issubclass(kind, MsgstoreError)
        assert kind.status.kind == 4
