"""One short function for each method of the contract; none of them sees a socket.

To add one: an entry in ``msgstore.access.contract`` and a function here under ``@serves``.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgstore.access.mailshapes as m
import msgstore.access.shapes as s
from accessd import bodies, logins, mail
from accessd.calls import Call
from msgstore.access import contract
from msgstore.access.codes import AccessError, wire_error
from msgstore.access.contract import Method
from msgstore.access.uids import compressed, contains, missing, ranges_of
from msgstore.model.address import parse_address
from msgstore.model.errors import DomainNotHosted, FolderNotFound, MsgstoreError, UserNotFound
from msgstore.model.folder import DELIMITER, INBOX, FolderInfo
from msgstore.model.interfaces import FolderTree
from msgstore.model.message import Uid, as_uid

__all__ = ["SERVED", "answer"]

_SERVER: Final = "accessd/0.1.0"
_FEATURES: Final = frozenset({"fd"})
_FOLDERS_LIMIT: Final = 1000
"""Names of one ``folder.status``; each may cost a look at the disk."""

_Args = TypeVar("_Args")
_Result = TypeVar("_Result")

SERVED: Final[dict[str, Callable[[Call, Any], Awaitable[object]]]] = {}
"""By name; equal to the requests of the contract."""


def serves(
    method: Method[Any, _Result],
) -> Callable[[Callable[[Call, _Args], Awaitable[_Result]]], Callable[[Call, _Args], Awaitable[_Result]]]:
    """Enter a function for a method."""

    def enter(function: Callable[[Call, _Args], Awaitable[_Result]]) -> Callable[[Call, _Args], Awaitable[_Result]]:
        SERVED[method.name] = function
        return function

    return enter


async def answer(call: Call) -> object:
    """Wait for the turn of a call and give its plain result.

    Raises:
        MsgstoreError: the call cannot be served.
    """
    if call.turn is not None:
        await call.turn.come()
    return contract.plain(await SERVED[call.checked.method.name](call, call.checked.args))


@serves(contract.RPC_HELLO)
async def _hello(call: Call, args: s.HelloArgs) -> s.HelloResult:
    if args.proto != contract.PROTO:
        raise AccessError("UNSUPPORTED", "this server speaks another version", protos=[contract.PROTO])
    caller = call.caller
    caller.features = _FEATURES & frozenset(args.features or ())
    caller.error_form = args.errors or "array"
    return s.HelloResult(
        proto=contract.PROTO,
        server=_SERVER,
        features=tuple(sorted(caller.features)),
        roles=tuple(sorted(caller.roles)),
        peer=s.Peer(pid=caller.peer.pid, uid=caller.peer.uid),
        limits=call.services.limits,
        boot=call.services.boot,
    )


@serves(contract.RPC_PING)
async def _ping(call: Call, _args: s.NoArgs) -> s.PingResult:
    return s.PingResult(t=int(call.services.clock.time() * 1000))


@serves(contract.RPC_DESCRIBE)
async def _describe(_call: Call, _args: s.NoArgs) -> s.DescribeResult:
    return s.DescribeResult(**contract.describe())


@serves(contract.RPC_STATS)
async def _stats(call: Call, _args: s.NoArgs) -> s.StatsResult:
    connections, inflight, handles = call.services.stats()
    sessions = call.services.sessions
    return s.StatsResult(
        connections=connections, sessions=len(sessions), inflight=inflight, handles=handles, exclusive=sessions.held
    )


@serves(contract.AUTH_LOGIN)
async def _login(call: Call, args: s.LoginArgs) -> s.LoginResult:
    return await logins.log_in(call, args)


@serves(contract.AUTH_VERIFY)
async def _verify(call: Call, args: s.VerifyArgs) -> s.VerifyResult:
    return await logins.verify(call, args)


@serves(contract.AUTH_SASL_START)
async def _sasl_start(call: Call, args: s.SaslStartArgs) -> s.SaslResult:
    if args.mech.upper() != "PLAIN":
        raise AccessError("UNSUPPORTED", "the only mechanism is PLAIN")
    if args.initial is None:
        return s.SaslResult(step=logins.begin_exchange(call, args), data=b"")
    return await _finish_plain(call, args, args.initial)


@serves(contract.AUTH_SASL_STEP)
async def _sasl_step(call: Call, args: s.SaslStepArgs) -> s.SaslResult:
    return await _finish_plain(call, logins.take_exchange(call, args.step), args.data)


@serves(contract.AUTH_LOGOUT)
async def _logout(call: Call, _args: s.SessionArgs) -> s.Nothing:
    if call.session is not None:
        call.services.sessions.end(call.session)
    return s.Nothing()


@serves(contract.AUTH_PING)
async def _auth_ping(call: Call, _args: s.SessionArgs) -> s.SessionIdle:
    return s.SessionIdle(idle_ms=call.services.limits.idle_ms)


@serves(contract.AUTH_LOOKUP)
async def _lookup(call: Call, args: s.LookupArgs) -> s.LookupResult:
    address = parse_address(args.address)
    rules = call.services.login
    known = s.LookupResult(
        address=args.address,
        domain_is_local=True,
        user_exists=True,
        defer_rejection=False,
        max_message_octets=rules.max_message_octets,
        sealing=False,
    )
    try:
        user = await call.read(call.services.auth.lookup, address)
    except DomainNotHosted:
        return contract.changed(known, domain_is_local=False, user_exists=False)
    except UserNotFound:
        return contract.changed(known, user_exists=False)
    return contract.changed(
        known,
        mailbox=str(user.mailbox),
        detail=logins.detail_of(args.address, user, rules.detail_separator),
        sealing=user.public_key is not None,
    )


@serves(contract.AUTH_SESSIONS)
async def _sessions(call: Call, args: s.SessionsArgs) -> s.SessionsResult:
    rows = tuple(
        s.SessionRow(
            id=found.id,
            user=str(found.mailbox),
            service=found.service,
            client_address=found.client_address,
            since=int(found.since),
            folders=() if found.view is None else (str(found.view.folder),),
            exclusive=found.view is not None,
        )
        for found in call.services.sessions.every()
        if args.user is None or args.user in (found.user.username, str(found.mailbox))
    )
    return s.SessionsResult(sessions=rows)


@serves(contract.AUTH_END)
async def _end(call: Call, args: s.EndArgs) -> s.Nothing:
    for found in call.services.sessions.every():
        if found.id == args.id:
            call.services.sessions.end(found)
    return s.Nothing()


@serves(contract.MAILBOX_OPEN)
async def _open(call: Call, args: m.OpenArgs) -> m.OpenResult:
    if args.folder is None:
        args = contract.changed(args, folder=str(INBOX))
    target = mail.target_of(call, args)
    session, sessions, store = target.session, call.services.sessions, call.services.store
    if target.view is not None:
        return mail.opened(target.view)
    if target.mailbox != session.mailbox:
        raise AccessError("DENIED", "only the owner may hold a maildrop")
    wait_seconds = (args.wait_ms or 0) / 1000
    await sessions.hold(session, target.folder, wait_seconds=wait_seconds)
    try:
        session.hold = await mail.hold_on_machine(
            call, target, wait_seconds=max(wait_seconds, mail.HOLD_SETTLE_SECONDS)
        )
        view = await call.read(mail.open_view, store, target.mailbox, target.folder)
    except BaseException:
        sessions.release(session)
        raise
    if session.ended:
        sessions.release(session)
        raise AccessError("NO_SESSION", "the session has ended")
    session.drop_marks()
    session.view = view
    return mail.opened(view)


@serves(contract.MAILBOX_CLOSE)
async def _close(call: Call, _args: s.SessionArgs) -> s.Nothing:
    if call.session is not None:
        call.services.sessions.release(call.session)
        call.session.drop_marks()
    return s.Nothing()


@serves(contract.FOLDER_STAT)
async def _stat(call: Call, args: m.FolderArgs) -> m.StatResult:
    return await call.read(mail.stat_result, call.services.store, mail.target_of(call, args))


@serves(contract.FOLDER_STATUS)
async def _status(call: Call, args: m.FolderStatusArgs) -> m.FolderStatusResult:
    if len(args.folders) > _FOLDERS_LIMIT:
        raise AccessError("INVALID", f"at most {_FOLDERS_LIMIT} folders", key="folders")
    mailbox = mail.mailbox_of(call, args.mailbox)
    found: dict[str, m.FolderCounts] = {}
    for name in args.folders:
        asked = m.FolderArgs(session=args.session, mailbox=str(mailbox), folder=name)
        try:
            counts = await call.read(mail.stat_result, call.services.store, mail.target_of(call, asked))
            found[name] = contract.typed(contract.fields_of(counts), m.FolderCounts)
        except MsgstoreError as error:
            wire = wire_error(error)
            found[name] = m.FolderCounts(error=(wire.code, wire.message, wire.data))
    return m.FolderStatusResult(folders=found)


@serves(contract.FOLDER_LIST)
async def _folder_list(call: Call, args: m.FolderListArgs) -> m.FolderListResult:
    mailbox = mail.mailbox_of(call, args.mailbox)
    tree: FolderTree = await call.read(call.services.store.folders, mailbox)
    rows: list[m.FolderRow] = []
    for info in await call.read(tree.list):
        if args.subscribed and not info.subscribed:
            continue
        if args.pattern is not None and not mail.matches(str(info.name), args.pattern, DELIMITER):
            continue
        target = mail.Target(session=mail.session_of(call), mailbox=mailbox, folder=info.name, view=None)
        try:
            counts = await call.read(mail.stat_result, call.services.store, target) if args.counts else None
        except FolderNotFound:
            # Removed since the listing began.
            continue
        rows.append(_folder_row(info, counts))
    return m.FolderListResult(delimiter=DELIMITER, folders=tuple(rows))


@serves(contract.MESSAGE_LIST)
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


@serves(contract.MESSAGE_RETRIEVE)
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


@serves(contract.MESSAGE_HEADERS)
async def _headers(call: Call, args: m.HeadersArgs) -> m.HeadersResult:
    target, uid = mail.target_of(call, args), _uid(args.uid)
    message = uid, mail.seen_in(target, uid)
    return await call.read(mail.read_headers, call.services.store, target, args.lines, message)


@serves(contract.MESSAGE_READ)
async def _read(call: Call, args: m.ReadArgs) -> bytes:
    handles = call.caller.handles
    # Whoever reads a long message slowly is not idle.
    call.services.sessions.touch(handles.owner_of(args.handle))
    body = handles.acquire(args.handle)
    # Above its end a body is empty, and some numbers of the wire are above what a system call takes.
    offset = min(args.offset, body.stored_octets)
    return await call.borrow(lambda: handles.give_back(args.handle), body.read, offset, args.octets)


@serves(contract.MESSAGE_RELEASE)
async def _release(call: Call, args: m.ReleaseArgs) -> s.Nothing:
    call.caller.handles.release(args.handle)
    return s.Nothing()


@serves(contract.MESSAGE_DELETE)
async def _delete(call: Call, args: m.DeleteArgs) -> m.DeleteResult:
    target, ranges = mail.target_of(call, args), ranges_of(args.uids)
    present = await call.read(mail.present_in, call.services.store, target, ranges)
    target.marks.update(present)
    return m.DeleteResult(marked=compressed(present), missing=missing(ranges, present))


@serves(contract.MESSAGE_UNDELETE)
async def _undelete(call: Call, args: m.UndeleteArgs) -> m.UndeleteResult:
    target = mail.target_of(call, args)
    # Marks need no disk, but a folder that is not there has none to take away.
    await call.read(mail.stat_result, call.services.store, target)
    marks = target.marks
    ranges = ranges_of(((1, None),) if args.uids is None else args.uids)
    marks -= {uid for uid in marks if contains(ranges, uid)}
    return m.UndeleteResult(marked=compressed(marks))


@serves(contract.MESSAGE_EXPUNGE)
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


async def _finish_plain(call: Call, start: s.SaslStartArgs, message: bytes) -> s.SaslResult:
    name, password = logins.credentials_from_plain(message)
    login = s.LoginArgs(
        user=name,
        password=password,
        service=start.service,
        client_address=start.client_address,
        want=start.want,
    )
    # A relay opens no sessions, whatever service it names.
    opens = start.service != "smtp" and bool(call.caller.roles & contract.AUTH_LOGIN.roles)
    found = await (logins.log_in(call, login) if opens else logins.verify(call, login))
    return contract.typed({"done": True, **contract.fields_of(found)}, s.SaslResult)


def _uid(number: int) -> Uid:
    try:
        return as_uid(number)
    except ValueError:
        raise AccessError("NO_MESSAGE", "no message can have this uid") from None


def _folder_row(info: FolderInfo, counts: m.StatResult | None) -> m.FolderRow:
    return m.FolderRow(
        name=str(info.name),
        special_use=None if info.special_use is None else info.special_use.value,
        subscribed=info.subscribed,
        has_children=info.has_children,
        counts=counts,
    )
