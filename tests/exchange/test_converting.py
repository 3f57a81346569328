"""A mailbox of one store made what it is in another, again and again while mail flows into the first."""

import pytest

from msgstore.model.envelope import SEAL_OVERHEAD_OCTETS
from msgstore.model.errors import MailboxNotFound
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import FLAGGED, Uid
from msgstore.model.outcomes import FlagChange
from tests.exchange.converting_room import DEEP, WORK, convert, furnish, portrait, put
from tests.exchange.room import ALICE


def test_everything_is_there_as_it_is_here_and_the_source_is_as_it_was(
    stores: tuple[MessageStore, MessageStore],
) -> None:
    source, target = stores
    furnish(source)
    before = portrait(source)

    converted, differences = convert(source, target)

    assert differences == []
    assert portrait(target) == before == portrait(source)
    assert (converted["INBOX"].put, converted["INBOX"].verified, converted["INBOX"].present) == (2, 2, 0)
    for name in converted:
        status = source.folder(ALICE, FolderName.parse(name)).stat()
        assert target.folder(ALICE, FolderName.parse(name)).stat().modseq >= status.modseq


def test_a_second_run_puts_nothing_again(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)

    converted, differences = convert(source, target)

    assert differences == []
    assert [(one.put, one.changed, one.expunged) for one in converted.values()] == [(0, 0, 0)] * len(converted)
    assert converted["INBOX"].verified == converted["INBOX"].present == 2
    assert portrait(target) == portrait(source)


def test_what_is_new_changed_and_gone_since_is_followed(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)

    inbox = source.folder(ALICE, INBOX)
    inbox.set_flags([Uid(1)], FlagChange.SET, flags=frozenset({FLAGGED}), keywords=frozenset({"new"}))
    inbox.expunge([Uid(3)])
    put(source)
    source.folder(ALICE, WORK).move([Uid(9)], INBOX)
    source.folders(ALICE).subscribe(DEEP, wanted=False)
    source.scripts(ALICE).put("main", b"stop;\r\n")
    source.scripts(ALICE).activate("other ü")
    converted, differences = convert(source, target)

    assert differences == []
    assert portrait(target) == portrait(source)
    one = converted["INBOX"]
    assert (one.put, one.present, one.changed, one.expunged) == (2, 1, 1, 1)
    assert converted["Work"].expunged == 1


def test_who_knows_the_modseq_of_the_last_run_goes_on_from_it(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)
    source.folder(ALICE, INBOX).expunge([Uid(1)])
    known = source.folder(ALICE, INBOX).stat().modseq

    convert(source, target)

    found = target.folder(ALICE, INBOX).changes(known)
    assert (found.changed, found.vanished, found.is_complete) == ((), (), True)
    assert not target.folder(ALICE, INBOX).changes(known - 1).is_complete


def test_folders_that_were_renamed_are_renamed_and_not_copied_again(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)
    source.folders(ALICE).rename(FolderName(("A b",)), FolderName(("Z",)))
    source.folders(ALICE).rename(WORK, FolderName(("Elsewhere", "Work")))

    converted, differences = convert(source, target)

    assert differences == []
    assert portrait(target) == portrait(source)
    assert sum(one.put for one in converted.values()) == 0


def test_a_folder_and_a_script_that_are_gone_here_are_named_and_go_with_prune(
    stores: tuple[MessageStore, MessageStore],
) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)
    source.folders(ALICE).delete(WORK)
    source.scripts(ALICE).remove("other ü")

    _, named = convert(source, target)
    kept = target.folders(ALICE).exists(WORK)
    _, differences = convert(source, target, prunes=True)

    assert [(one.folder, "--prune" in one.text) for one in named] == [(WORK, True), (None, True)]
    assert kept
    assert differences == []
    assert portrait(target) == portrait(source)


def test_a_folder_made_anew_here_is_named_and_made_anew_there_with_prune(
    stores: tuple[MessageStore, MessageStore],
) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)
    source.folders(ALICE).delete(WORK)
    source.folders(ALICE).create(WORK)
    put(source, WORK)

    converted, named = convert(source, target)
    kept = [info.uid for info in target.folder(ALICE, WORK).list()]
    convert(source, target, dry_run=True, prunes=True)
    _, differences = convert(source, target, prunes=True)

    assert [(one.folder, one.uid) for one in named] == [(WORK, None)]
    assert "UIDVALIDITY" in named[0].text
    assert "Work" not in converted
    assert kept == [9]
    assert differences == []
    assert portrait(target) == portrait(source)


def test_a_target_that_is_in_use_is_left_alone(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores
    furnish(source)
    convert(source, target)
    put(target)
    source.folder(ALICE, INBOX).expunge([Uid(1)])
    before = portrait(target, names=frozenset({INBOX}))

    converted, differences = convert(source, target, prunes=True)

    assert [(one.folder, "in use" in one.text) for one in differences] == [(INBOX, True)]
    assert "INBOX" not in converted
    assert portrait(target, names=frozenset({INBOX})) == before


def test_a_dry_run_says_what_would_be_done_and_does_nothing(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores
    furnish(source)

    foreseen, _ = convert(source, target, dry_run=True)
    is_untouched = not target.mailbox_exists(ALICE)
    convert(source, target)
    source.folder(ALICE, INBOX).expunge([Uid(1)])
    put(source)
    before = portrait(target)
    later, _ = convert(source, target, dry_run=True)

    assert is_untouched
    assert (foreseen["INBOX"].put, foreseen["Work"].put, foreseen["Work"].octets) == (2, 1, 5)
    one = later["INBOX"]
    assert (one.put, one.present, one.expunged, one.verified) == (1, 1, 1, 0)
    assert portrait(target) == before


def test_what_is_sealed_where_it_lies_is_sealed_there_and_what_is_sealed_again_too(
    stores: tuple[MessageStore, MessageStore],
) -> None:
    source, target = stores
    source.create_mailbox(ALICE)
    text = b"Subject: hi\r\n\r\nbody\r\n"
    put(source, text=text)
    convert(source, target)

    for mark, again in ((b"\x01", False), (b"\x02", True)):
        with source.stage(sealed=True) as blob:
            blob.write(mark * (len(text) + SEAL_OVERHEAD_OCTETS))
            assert source.folder(ALICE, INBOX).seal({Uid(1): blob}, again=again) == (1,)
        converted, differences = convert(source, target)

        assert differences == []
        assert converted["INBOX"].changed == 1
        assert portrait(target) == portrait(source)


def test_without_a_mailbox_in_the_source_nothing_is_made(stores: tuple[MessageStore, MessageStore]) -> None:
    source, target = stores

    with pytest.raises(MailboxNotFound):
        convert(source, target)

    assert not target.mailbox_exists(ALICE)
