"""Methods that change messages: flags, copies, moves."""

from collections.abc import Callable, Sequence
from typing import Final

import msgstore.access.changeshapes as c
from accessd import mail, pages
from accessd.calls import Call
from accessd.holding import refuse_where_held, shared_with_others
from accessd.serving import serves
from accessd.words import flags_from, keywords_from
from msgstore.access import entries
from msgstore.access.codes import AccessError
from msgstore.access.uids import UidRange, compressed, missing, ranges_of
from msgstore.model.errors import FolderNotFound
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import Column, Copied, FlagChange, FlagsOutcome
from msgstore.model.user import Quota
from msgstore.store.quota import check_quota

__all__ = ["missing_destination"]

_FLAG_COLUMNS: Final[tuple[Column, ...]] = ("uid", "flags", "keywords", "modseq")

_ROWS_LIMIT: Final = 10_000
"""Rows of one answer; more are left to ``message.list``."""


@serves(entries.MESSAGE_SET_FLAGS)
async def _set_flags(call: Call, args: c.SetFlagsArgs) -> c.SetFlagsResult:
    target, ranges = mail.target_of(call, args), ranges_of(args.uids)
    flags, keywords = flags_from(args.flags), keywords_from(args.keywords)

    def act() -> FlagsOutcome:
        folder = target.open(call.services.store)
        return folder.set_flags(
            pages.uids_in(folder, target, ranges),
            FlagChange(args.change),
            flags=flags,
            keywords=keywords,
            unchanged_since=args.unchanged_since,
        )

    outcome = await call.commit(act)
    target.session.note_own(target.mailbox, target.folder, seen=outcome.changed)
    rows = [pages.cells_of(info, _FLAG_COLUMNS) for info in outcome.changed[: _ROWS_LIMIT + 1]]
    end = min(pages.fitting(rows), _ROWS_LIMIT)
    known = sorted([*outcome.modified, *(info.uid for info in outcome.changed)])
    return c.SetFlagsResult(
        fields=_FLAG_COLUMNS,
        messages=tuple(rows[:end]),
        modified=compressed(outcome.modified),
        missing=missing(ranges, known),
        modseq=outcome.modseq,
        next_uid=outcome.changed[end - 1].uid if end < len(outcome.changed) else None,
    )


@serves(entries.MESSAGE_COPY)
async def _copy(call: Call, args: c.TransferArgs) -> c.TransferResult:
    target, ranges, to = mail.target_of(call, args), ranges_of(args.uids), FolderName.parse(args.to_folder)

    def act() -> Copied:
        store, folder = call.services.store, target.open(call.services.store)
        uids = set(pages.uids_in(folder, target, ranges))
        sizes = folder.rows(("uid", "octets")) if target.session.user.quota != Quota() else ()
        octets = sum(octets for uid, octets in sizes if uid in uids and isinstance(octets, int))
        check_quota(store, target.session.user, octets, messages=len(uids))
        return _transfer(store, target, folder.copy, (ranges, to))

    copied = await call.commit(act)
    target.session.note_own(target.mailbox, to, added=copied.to_uids)
    return _transferred(copied, ranges)


@serves(entries.MESSAGE_MOVE)
async def _move(call: Call, args: c.TransferArgs) -> c.TransferResult:
    target, ranges, to = mail.target_of(call, args), ranges_of(args.uids), FolderName.parse(args.to_folder)
    refuse_where_held(call, target.session, target.mailbox, [target.folder])

    def act() -> Copied:
        store = call.services.store
        with shared_with_others(store, target.session, target.mailbox, [target.folder]):
            return _transfer(store, target, target.open(store).move, (ranges, to))

    copied = await call.commit(act)
    target.session.note_own(target.mailbox, to, added=copied.to_uids)
    target.session.note_own(target.mailbox, target.folder, removed=copied.from_uids)
    target.unmark(copied.from_uids)
    return _transferred(copied, ranges)


def missing_destination(to: FolderName, error: FolderNotFound) -> AccessError:
    """Say that a folder is missing into which something was to go, and that making it helps. RFC 9051 §7.1."""
    found = AccessError("NO_FOLDER", f"there is no folder {to}", imap="TRYCREATE")
    found.__cause__ = error
    return found


def _transfer(
    store: MessageStore,
    target: mail.Target,
    verb: Callable[[Sequence[Uid], FolderName], Copied],
    what: tuple[Sequence[UidRange], FolderName],
) -> Copied:
    ranges, to = what
    folder: Folder = target.open(store)
    uids = pages.uids_in(folder, target, ranges)
    try:
        # Nothing to copy is no reason not to say so.
        store.folder(target.mailbox, to).stat()
    except FolderNotFound as error:
        raise missing_destination(to, error) from error
    return verb(uids, to)


def _transferred(copied: Copied, ranges: Sequence[UidRange]) -> c.TransferResult:
    return c.TransferResult(
        uidvalidity=copied.uidvalidity,
        from_uids=compressed(copied.from_uids),
        to_uids=compressed(copied.to_uids),
        missing=missing(ranges, copied.from_uids),
    )
