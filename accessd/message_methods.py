"""Methods about messages: listing, reading, marking and removing them."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgstore.access.mailshapes as m
import msgstore.access.shapes as s
from accessd import bodies, fetching, mail, pages, tables
from accessd.calls import Call
from accessd.holding import refuse_where_held, shared_with_others
from accessd.serving import serves
from msgstore.access import contract, entries
from msgstore.access.codes import AccessError
from msgstore.access.uids import EVERY, UidRange, compressed, contains, missing, ranges_of
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import DELETED, Uid, as_uid

__all__: list[str] = []


@serves(entries.MESSAGE_LIST)
async def _list(call: Call, args: m.ListArgs) -> m.ListResult:
    target = mail.target_of(call, args)
    fields = args.fields or contract.DEFAULT_FIELDS
    by_columns, limits = args.by == "columns", call.services.limits
    most = limits.column_rows if by_columns else limits.page_rows
    limit = min(args.limit or most, most)
    wanted = pages.PageWanted(
        ranges=EVERY if args.uids is None else ranges_of(args.uids),
        after=args.after_uid or 0,
        limit=limit,
        columns=tuple(fields),
    )
    store = call.services.store
    if by_columns:
        if args.since_modseq is not None:
            raise AccessError("INVALID", "what changed is told by rows", key="by")
        return _by_columns(fields, await call.read(tables.table_of, store, target, wanted))
    if args.since_modseq is None:
        page = await call.read(pages.page_of, store, target, wanted)
    else:
        page = await call.read(pages.page_since, store, target, wanted, args.since_modseq)
    return m.ListResult(
        fields=tuple(fields),
        messages=tuple(page.rows),
        uidvalidity=page.status.uidvalidity,
        uidnext=page.status.uidnext,
        modseq=page.status.modseq,
        next_uid=page.next_uid,
        vanished=page.vanished,
    )


def _by_columns(fields: Sequence[str], table: tables.Table) -> m.ListResult:
    return m.ListResult(
        fields=tuple(fields),
        messages=(),
        uidvalidity=table.status.uidvalidity,
        uidnext=table.status.uidnext,
        modseq=table.status.modseq,
        next_uid=table.next_uid,
        columns=table.columns,
        sets=table.sets,
    )


@serves(entries.MESSAGE_RETRIEVE)
async def _retrieve(call: Call, args: m.RetrieveArgs) -> m.RetrieveResult:
    target, uid = mail.target_of(call, args), _uid(args.uid)
    way = args.way or "auto"
    if way == "fd" and "fd" not in call.caller.features:
        raise AccessError("UNSUPPORTED", "descriptors were not agreed on in rpc.hello")
    mail.require_seen(target, uid)
    wanted = bodies.Slice(way=way, offset=args.offset or 0, octets=args.octets)
    store = call.services.store
    opened = await call.acquire(bodies.OpenedBody.close, mail.open_message, store, target, wanted, uid)
    call.descriptor = opened.descriptor
    if opened.body is None:
        return opened.result
    try:
        # A session that was ended meanwhile has closed its bodies already, and nobody would close this one.
        handle = call.caller.handles.add(opened.body, mail.session_of(call))
    except AccessError:
        opened.close()
        raise
    return contract.changed(opened.result, handle=handle)


@serves(entries.MESSAGE_FETCH)
async def _fetch(call: Call, args: m.FetchArgs) -> m.FetchResult:
    target = mail.target_of(call, args)
    ranges = EVERY if args.uids is None else ranges_of(args.uids)
    return await call.read(fetching.fetch, call.services.store, target, ranges, args.after_uid or 0)


@serves(entries.MESSAGE_HEADERS)
async def _headers(call: Call, args: m.HeadersArgs) -> m.HeadersResult:
    target, uid = mail.target_of(call, args), _uid(args.uid)
    mail.require_seen(target, uid)
    return await call.read(mail.read_headers, call.services.store, target, args.lines, uid)


@serves(entries.MESSAGE_READ)
async def _read(call: Call, args: m.ReadArgs) -> bytes:
    handles = call.caller.handles
    # Whoever reads a long message slowly is not idle.
    call.services.sessions.touch(handles.owner_of(args.handle))
    body = handles.acquire(args.handle)
    # Above its end a body is empty, and some numbers of the wire are above what a system call takes.
    offset = min(args.offset, body.stored_octets)
    return await call.borrow(lambda: handles.give_back(args.handle), body.read, offset, args.octets)


@serves(entries.MESSAGE_RELEASE)
async def _release(call: Call, args: m.ReleaseArgs) -> s.Nothing:
    call.caller.handles.release(args.handle)
    return s.Nothing()


@serves(entries.MESSAGE_DELETE)
async def _delete(call: Call, args: m.DeleteArgs) -> m.DeleteResult:
    target, ranges, store = mail.target_of(call, args), ranges_of(args.uids), call.services.store

    def look() -> tuple[int, list[Uid]]:
        folder = target.open(store)
        return folder.stat().uidvalidity, pages.uids_in(folder, target, ranges)

    uidvalidity, present = await call.read(look)
    target.marks(uidvalidity).update(present)
    return m.DeleteResult(marked=compressed(present), missing=missing(ranges, present))


@serves(entries.MESSAGE_UNDELETE)
async def _undelete(call: Call, args: m.UndeleteArgs) -> m.UndeleteResult:
    target = mail.target_of(call, args)
    # Marks need no disk, but a folder that is not there has none to take away.
    counts = await call.read(mail.stat_result, call.services.store, target)
    marks = target.marks(counts.uidvalidity)
    ranges = EVERY if args.uids is None else ranges_of(args.uids)
    marks -= {uid for uid in marks if contains(ranges, uid)}
    return m.UndeleteResult(marked=compressed(marks))


@serves(entries.MESSAGE_EXPUNGE)
async def _expunge(call: Call, args: m.ExpungeArgs) -> m.ExpungeResult:
    target = mail.target_of(call, args)
    refuse_where_held(call, target.session, target.mailbox, [target.folder])
    ranges = EVERY if args.uids is None else ranges_of(args.uids)
    marked = None if args.which == "flagged" else target.all_marks()
    done = await call.commit(_expunge_from, call.services.store, target, ranges, marked)
    target.session.note_own(target.mailbox, target.folder, removed=done.gone)
    target.unmark(done.asked - set(done.failed))
    return m.ExpungeResult(expunged=compressed(done.gone), failed=compressed(done.failed), modseq=done.modseq)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expunged:
    asked: frozenset[Uid]
    gone: Sequence[Uid]
    failed: Sequence[Uid]
    modseq: int


def _expunge_from(
    store: MessageStore, target: mail.Target, ranges: Sequence[UidRange], marked: dict[int, frozenset[Uid]] | None
) -> _Expunged:
    """Remove for good; ``marked`` is what was marked, by UIDVALIDITY, and None means what is flagged for it."""
    folder = target.open(store)
    with shared_with_others(store, target.session, target.mailbox, [target.folder]):
        if marked is None:
            uids = pages.uids_in(folder, target, ranges, flag=DELETED)
        else:
            marks = marked.get(folder.stat().uidvalidity, frozenset())
            uids = sorted(uid for uid in marks if contains(ranges, uid))
        gone = folder.expunge(uids) if uids else ()
        left = [(uid, uid) for uid in sorted(set(uids) - set(gone))]
        # What somebody else removed meanwhile is no failure: it is gone, as was asked for.
        failed = pages.uids_in(folder, target, left)
        return _Expunged(asked=frozenset(uids), gone=gone, failed=failed, modseq=folder.stat().modseq)


def _uid(number: int) -> Uid:
    try:
        return as_uid(number)
    except ValueError:
        raise AccessError("NO_MESSAGE", "no message can have this uid") from None
