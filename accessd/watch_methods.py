"""Methods about watching."""

from typing import Final

import msgstore.access.shapes as s
import msgstore.access.watchshapes as w
from accessd import mail
from accessd.calls import Call
from accessd.serving import serves
from accessd.watch import Watcher
from msgstore.access import entries
from msgstore.access.codes import AccessError
from msgstore.model.folder import FolderName

__all__: list[str] = []

_FOLDERS_LIMIT: Final = 1000
"""Named in one call; all folders of a mailbox need no names."""


@serves(entries.WATCH_START)
async def _start(call: Call, args: w.WatchArgs) -> w.WatchStarted:
    if "events" not in call.caller.features:
        raise AccessError("UNSUPPORTED", "hello did not name the feature events")
    mailbox = mail.mailbox_of(call, args.mailbox)
    session = mail.session_of(call)
    wanted = _wanted(args)
    since = {FolderName.parse(name): modseq for name, modseq in (args.since or {}).items()}
    if wanted is not None and not set(since) <= set(wanted):
        raise AccessError("INVALID", "since names a folder that is not watched", key="since")
    watching, watches = call.services.watching, call.caller.watches
    if len(watches) + watches.starting >= call.services.max_watches:
        raise AccessError("BUSY", "this connection has as many watches as it may have", after_ms=5000)
    watches.starting += 1
    watching.hold()
    try:
        found = await call.borrow(watching.begun, watching.begin_in_thread(mailbox, wanted, since))
        if session.ended:
            raise AccessError("NO_SESSION", "the session has ended")
        watcher = Watcher(watches.next_number(), session=session, mailbox=mailbox, wanted=wanted, voice=watches.voice)
        watching.join(watcher, watches, found, after=None if call.turn is None else call.turn.over)
    finally:
        watches.starting -= 1
        watching.begun()
    return w.WatchStarted(
        watch=watcher.number,
        folders={
            str(name): w.WatchedFolder(uidvalidity=baseline.uidvalidity, modseq=baseline.modseq)
            for name, (baseline, _) in found.folders.items()
        },
    )


@serves(entries.WATCH_STOP)
async def _stop(call: Call, args: w.Watched) -> s.Nothing:
    call.caller.watches.stop(args.watch)
    return s.Nothing()


def _wanted(args: w.WatchArgs) -> tuple[FolderName, ...] | None:
    if args.folders is None:
        return None
    if len(args.folders) > _FOLDERS_LIMIT:
        raise AccessError("INVALID", f"at most {_FOLDERS_LIMIT} folders", key="folders")
    return tuple(dict.fromkeys(FolderName.parse(name) for name in args.folders))
