import errno

import pytest

from msgstore.model import errors, keys
from msgstore.model.address import Address
from msgstore.model.errors import DiskFull, InvalidFolderName, MsgstoreError, StoreUnavailable, store_error_from
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.message import DELETED, UID_LIMIT, as_uid, canonical_flag
from msgstore.model.result import OK, DeliveryId, DeliveryResult, EnhancedStatus, Outcome

PRINTED = {module.__name__: module.__doc__ for module in (errors, keys)}


def every_error() -> list[type[MsgstoreError]]:
    found: list[type[MsgstoreError]] = []
    waiting = [MsgstoreError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ in PRINTED]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_basic_code_and_enhanced_status_of_an_error_agree(kind: type[MsgstoreError]) -> None:
    assert kind.reply_code // 100 == kind.status.kind
    assert kind.reply_code not in range(200, 400)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_printed_tree(kind: type[MsgstoreError]) -> None:
    assert kind.__name__ in (PRINTED[kind.__module__] or "")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EIO, StoreUnavailable),
        (errno.EACCES, StoreUnavailable),
        (errno.EROFS, StoreUnavailable),
    ],
)
def test_trouble_with_the_disk_is_temporary_and_full_disks_are_told_apart(
    number: int, kind: type[MsgstoreError]
) -> None:
    error = store_error_from(OSError(number, "trouble"))

    assert type(error) is kind
    assert error.is_temporary


def test_a_status_outside_of_the_three_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="no enhanced status"):
        EnhancedStatus(3, 0, 0)


def test_a_result_whose_codes_contradict_each_other_is_refused() -> None:
    with pytest.raises(ValueError, match="contradict"):
        DeliveryResult(
            forward_path=Address(local_part="a", domain="b"),
            outcome=Outcome.FAILED,
            reply_code=550,
            status=OK,
            text="",
            delivery_id=DeliveryId("x"),
        )


@pytest.mark.parametrize("text", ["", "inbox", "INBOX", "InBox"])
def test_inbox_in_any_case_and_the_empty_name_mean_the_inbox(text: str) -> None:
    assert FolderName.parse(text) == INBOX


@pytest.mark.parametrize("text", ["/", "a//b", "a/", "..", "a/../b", "a\x00", "a\n", "x" * 201, "\ud800", "a\u2028"])
def test_what_cannot_name_a_folder_is_refused(text: str) -> None:
    with pytest.raises(InvalidFolderName):
        FolderName.parse(text)


def test_a_folder_name_is_nfc_and_knows_its_parent() -> None:
    name = FolderName.parse("Lists/Mu\u0308ll")

    assert str(name) == "Lists/Müll"
    assert name.parent == FolderName(("Lists",))
    assert FolderName(("Lists",)).parent is None


@pytest.mark.parametrize("number", [0, -1, UID_LIMIT + 1, True])
def test_what_is_no_uid_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="not a UID"):
        as_uid(number)


def test_system_flags_compare_without_case() -> None:
    assert canonical_flag("\\DELETED") == DELETED
    with pytest.raises(ValueError, match="not a system flag"):
        canonical_flag("\\Recent")
