"""Methods about mailboxes and folders."""

from typing import Final

import msgstore.access.mailshapes as m
import msgstore.access.shapes as s
from accessd import mail
from accessd.calls import Call
from accessd.holding import HOLD_SETTLE_SECONDS, hold_on_machine
from accessd.serving import serves
from msgstore.access import contract, entries
from msgstore.access.codes import AccessError, wire_error
from msgstore.model.errors import FolderNotFound, MsgstoreError
from msgstore.model.folder import DELIMITER, INBOX, FolderInfo
from msgstore.model.interfaces import FolderTree

__all__: list[str] = []
"""Everything here is entered by name."""

_FOLDERS_LIMIT: Final = 1000
"""Names of one ``folder.status``; each may cost a look at the disk."""


@serves(entries.MAILBOX_OPEN)
async def _open(call: Call, args: m.OpenArgs) -> m.OpenResult:
    if args.folder is None:
        args = contract.changed(args, folder=str(INBOX))
    target = mail.target_of(call, args)
    session, sessions, store = target.session, call.services.sessions, call.services.store
    if target.view is not None:
        return mail.opened(await call.read(mail.stat_result, store, target))
    if target.mailbox != session.mailbox:
        raise AccessError("DENIED", "only the owner may hold a maildrop")
    wait_seconds = (args.wait_ms or 0) / 1000
    await sessions.hold(session, target.folder, wait_seconds=wait_seconds)
    try:
        session.hold = await hold_on_machine(call, target, wait_seconds=max(wait_seconds, HOLD_SETTLE_SECONDS))
        view = await call.read(mail.open_view, store, target.mailbox, target.folder)
    except BaseException:
        sessions.release(session)
        raise
    if session.ended:
        sessions.release(session)
        raise AccessError("NO_SESSION", "the session has ended")
    session.drop_marks()
    session.view = view
    return mail.opened(view.status)


@serves(entries.MAILBOX_CLOSE)
async def _close(call: Call, _args: s.SessionArgs) -> s.Nothing:
    if call.session is not None:
        call.services.sessions.release(call.session)
        call.session.drop_marks()
    return s.Nothing()


@serves(entries.FOLDER_STAT)
async def _stat(call: Call, args: m.FolderArgs) -> m.StatResult:
    return await call.read(mail.stat_result, call.services.store, mail.target_of(call, args))


@serves(entries.FOLDER_STATUS)
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


@serves(entries.FOLDER_LIST)
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


def _folder_row(info: FolderInfo, counts: m.StatResult | None) -> m.FolderRow:
    return m.FolderRow(
        name=str(info.name),
        special_use=None if info.special_use is None else info.special_use.value,
        subscribed=info.subscribed,
        has_children=info.has_children,
        counts=counts,
    )
