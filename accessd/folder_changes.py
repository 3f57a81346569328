"""Methods that make, remove, rename and subscribe folders, and those about what a mailbox holds as a whole."""

import msgstore.access.changeshapes as c
import msgstore.access.mailshapes as m
import msgstore.access.shapes as s
from accessd import mail
from accessd.calls import Call
from accessd.holding import refuse_where_held, shared_with_others
from accessd.serving import serves
from accessd.words import special_use_from
from msgstore.access import entries
from msgstore.access.codes import AccessError
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.outcomes import Usage
from msgstore.model.user import Quota
from msgstore.store.levels import is_below

__all__: list[str] = []


@serves(entries.FOLDER_CREATE)
async def _create(call: Call, args: c.CreateArgs) -> c.FolderMade:
    target, use, store = mail.target_of(call, args), special_use_from(args.special_use), call.services.store

    def act() -> int:
        store.folders(target.mailbox).create(target.folder, special_use=use)
        return target.open(store).stat().uidvalidity

    uidvalidity = await call.commit(act)
    target.session.note_own_folder(target.mailbox, "created", target.folder)
    return c.FolderMade(uidvalidity=uidvalidity)


@serves(entries.FOLDER_DELETE)
async def _delete(call: Call, args: m.FolderArgs) -> s.Nothing:
    target, store = mail.target_of(call, args), call.services.store
    refuse_where_held(call, target.session, target.mailbox, [target.folder])

    def act() -> None:
        with shared_with_others(store, target.session, target.mailbox, [target.folder]):
            store.folders(target.mailbox).delete(target.folder)

    await call.commit(act)
    target.session.note_own_folder(target.mailbox, "deleted", target.folder)
    _forget(call, target)
    return s.Nothing()


@serves(entries.FOLDER_RENAME)
async def _rename(call: Call, args: c.RenameArgs) -> c.FolderMade:
    target, to, store = mail.target_of(call, args), FolderName.parse(args.new_folder), call.services.store
    concerned = await call.read(_concerned, store, target)
    refuse_where_held(call, target.session, target.mailbox, concerned)

    def act() -> int:
        with shared_with_others(store, target.session, target.mailbox, concerned):
            store.folders(target.mailbox).rename(target.folder, to)
        return store.folder(target.mailbox, to).stat().uidvalidity

    uidvalidity = await call.commit(act)
    target.session.note_own_folder(target.mailbox, "renamed", target.folder, to)
    _forget(call, target)
    return c.FolderMade(uidvalidity=uidvalidity)


@serves(entries.FOLDER_SUBSCRIBE)
async def _subscribe(call: Call, args: m.FolderArgs) -> s.Nothing:
    return await _set_subscribed(call, args, wanted=True)


@serves(entries.FOLDER_UNSUBSCRIBE)
async def _unsubscribe(call: Call, args: m.FolderArgs) -> s.Nothing:
    return await _set_subscribed(call, args, wanted=False)


@serves(entries.MAILBOX_QUOTA)
async def _quota(call: Call, args: c.QuotaArgs) -> c.QuotaResult:
    mailbox = mail.mailbox_of(call, args.mailbox)
    usage = await call.read(call.services.store.usage, mailbox)
    quota = await _quota_of(call, mailbox)
    return c.QuotaResult(
        used_octets=usage.octets,
        used_messages=usage.messages,
        limit_octets=quota.octets,
        limit_messages=quota.messages,
    )


@serves(entries.MAILBOX_RESCAN)
async def _rescan(call: Call, args: c.RescanArgs) -> c.RescanResult:
    if args.mailbox is not None:
        mailbox = MailboxId.parse(args.mailbox)
    elif call.session is not None:
        mailbox = call.session.mailbox
    else:
        raise AccessError("INVALID", "mailbox is missing", key="mailbox")
    folder = None if args.folder is None else FolderName.parse(args.folder)
    return await call.commit(_count_anew, call.services.store, mailbox, folder)


async def _set_subscribed(call: Call, args: m.FolderArgs, *, wanted: bool) -> s.Nothing:
    target, store = mail.target_of(call, args), call.services.store
    await call.commit(lambda: store.folders(target.mailbox).subscribe(target.folder, wanted=wanted))
    return s.Nothing()


def _forget(call: Call, target: mail.Target) -> None:
    """A view of what has no place any more ends; marks end by themselves, with the UIDVALIDITY they belong to."""
    if target.view is not None:
        call.services.sessions.release(target.session)
    target.session.marks.pop((target.mailbox, target.folder), None)


def _concerned(store: MessageStore, target: mail.Target) -> tuple[FolderName, ...]:
    """Give the folders whose messages get another place by a rename: those below INBOX stay."""
    below = [] if target.folder.is_inbox else [info.name for info in store.folders(target.mailbox).list()]
    return (target.folder, *(name for name in below if is_below(name, target.folder)))


async def _quota_of(call: Call, mailbox: MailboxId) -> Quota:
    session = mail.session_of(call)
    if mailbox == session.mailbox:
        return session.user.quota
    found = await call.read(call.services.auth.lookup, parse_address(str(mailbox)))
    return found.quota


def _count_anew(store: MessageStore, mailbox: MailboxId, folder: FolderName | None) -> c.RescanResult:
    if folder is not None:
        # Asking looks at the disk; what the index had wrong is right then.
        counts = store.folder(mailbox, folder).stat()
        return c.RescanResult(folders=1, messages=counts.messages, repaired=0)
    before: Usage = store.usage(mailbox)
    folders = store.folders(mailbox).list()
    after = store.recount(mailbox)
    return c.RescanResult(folders=len(folders), messages=after.messages, repaired=int(before != after))
