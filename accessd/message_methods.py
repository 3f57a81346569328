"""Methods about messages."""

import msgstore.access.mailshapes as m
import msgstore.access.shapes as s
from accessd import bodies, mail
from accessd.calls import Call
from accessd.serving import serves
from msgstore.access import contract, entries
from msgstore.access.codes import AccessError
from msgstore.access.uids import compressed, contains, missing, ranges_of
from msgstore.model.message import Uid, as_uid

__all__: list[str] = []


__all__: list[str] = []
"""Everything here is entered by name."""


@serves(entries.MESSAGE_LIST)
async def _list(call: Call, args: m.ListArgs) -> m.ListResult:
    target = mail.target_of(call, args)
    fields = args.fields or contract.DEFAULT_FIELDS
    limit = min(args.limit or call.services.limits.page_rows, call.services.limits.page_rows)
    wanted = mail.PageWanted(
        ranges=None if args.uids is None else ranges_of(args.uids),
        after=args.after_uid or 0,
        limit=limit,
        columns=len(fields),
    )
    page = await call.read(mail.page_of, call.services.store, target, wanted)
    return m.ListResult(
        fields=tuple(fields),
        messages=tuple(mail.cells_of(info, fields) for info in page.messages),
        uidvalidity=page.status.uidvalidity,
        uidnext=page.status.uidnext,
        modseq=page.status.modseq,
        next_uid=page.next_uid,
    )


@serves(entries.MESSAGE_RETRIEVE)
async def _retrieve(call: Call, args: m.RetrieveArgs) -> m.RetrieveResult:
    target, uid = mail.target_of(call, args), _uid(args.uid)
    way = args.way or "auto"
    if way == "fd" and "fd" not in call.caller.features:
        raise AccessError("UNSUPPORTED", "descriptors were not agreed on in rpc.hello")
    message = uid, mail.seen_in(target, uid)
    wanted = bodies.Slice(way=way, offset=args.offset or 0, octets=args.octets)
    store = call.services.store
    opened = await call.acquire(bodies.OpenedBody.close, mail.open_message, store, target, wanted, message)
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


@serves(entries.MESSAGE_HEADERS)
async def _headers(call: Call, args: m.HeadersArgs) -> m.HeadersResult:
    target, uid = mail.target_of(call, args), _uid(args.uid)
    message = uid, mail.seen_in(target, uid)
    return await call.read(mail.read_headers, call.services.store, target, args.lines, message)


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
    target, ranges = mail.target_of(call, args), ranges_of(args.uids)
    present = await call.read(mail.present_in, call.services.store, target, ranges)
    target.marks.update(present)
    return m.DeleteResult(marked=compressed(present), missing=missing(ranges, present))


@serves(entries.MESSAGE_UNDELETE)
async def _undelete(call: Call, args: m.UndeleteArgs) -> m.UndeleteResult:
    target = mail.target_of(call, args)
    # Marks need no disk, but a folder that is not there has none to take away.
    await call.read(mail.stat_result, call.services.store, target)
    marks = target.marks
    ranges = ranges_of(((1, None),) if args.uids is None else args.uids)
    marks -= {uid for uid in marks if contains(ranges, uid)}
    return m.UndeleteResult(marked=compressed(marks))


@serves(entries.MESSAGE_EXPUNGE)
async def _expunge(call: Call, args: m.ExpungeArgs) -> m.ExpungeResult:
    if args.which == "flagged":
        raise AccessError("UNSUPPORTED", "flags cannot be set yet, so none says what to remove")
    target = mail.target_of(call, args)
    holder = call.services.sessions.holder(target.mailbox, target.folder)
    if holder not in (None, target.session):
        raise AccessError("LOCKED", "another session holds the maildrop", after_ms=5000)
    ranges = ranges_of(((1, None),) if args.uids is None else args.uids)
    uids = sorted(uid for uid in target.marks if contains(ranges, uid))
    gone, failed, modseq = await call.commit(mail.expunge_from, call.services.store, target, uids)
    target.marks.difference_update(set(uids) - set(failed))
    if target.view is not None:
        target.view.forget(gone)
    return m.ExpungeResult(expunged=compressed(gone), failed=compressed(failed), modseq=modseq)


def _uid(number: int) -> Uid:
    try:
        return as_uid(number)
    except ValueError:
        raise AccessError("NO_MESSAGE", "no message can have this uid") from None
