"""Methods that take messages: staging in pieces, and appending to a folder."""

import contextlib
import os
from collections.abc import Callable

import msgstore.access.bodyshapes as b
import msgstore.access.shapes as s
from accessd import mail
from accessd.calls import Call
from accessd.change_methods import missing_destination
from accessd.serving import serves
from accessd.uploads import Source, staged_from
from accessd.words import flags_from, keywords_from
from msgstore.access import entries
from msgstore.access.codes import AccessError
from msgstore.crypto import OVERHEAD_OCTETS, check_algorithm
from msgstore.model.errors import FolderNotFound, MessageTooLarge
from msgstore.model.interfaces import StagedMessage
from msgstore.model.keys import BlobTruncated
from msgstore.model.outcomes import Appended
from msgstore.store.quota import check_quota

__all__ = ["take_source"]


@serves(entries.MESSAGE_STAGE)
async def _stage(call: Call, args: b.StageArgs) -> b.StageResult:
    limit, uploads, store = call.services.login.max_message_octets, call.caller.uploads, call.services.store
    if args.octets is not None and args.octets > limit:
        raise MessageTooLarge(limit_octets=limit)
    uploads.promise()
    try:
        staged = await call.acquire(_discard, lambda: store.stage(expected_octets=args.octets))
    except BaseException:
        uploads.forgo()
        raise
    return b.StageResult(handle=uploads.add(staged))


@serves(entries.MESSAGE_WRITE)
async def _write(call: Call, args: b.WriteArgs) -> b.WriteResult:
    limit, uploads = call.services.login.max_message_octets, call.caller.uploads
    upload = uploads.acquire(args.handle)
    async with contextlib.AsyncExitStack() as held:
        held.callback(uploads.give_back, upload)
        await held.enter_async_context(upload.order)
        staged = upload.staged
        if args.offset != staged.octets:
            raise AccessError("INVALID", "the next octets belong elsewhere", key="offset", octets=staged.octets)
        if staged.octets + len(args.data) > limit:
            raise MessageTooLarge(limit_octets=limit)
        again = uploads.acquire(args.handle)
        # Half a write would leave nobody knowing what has come.
        await call.commit_with(lambda: uploads.give_back(again), staged.write, args.data)
        return b.WriteResult(octets=staged.octets)


@serves(entries.MESSAGE_DISCARD)
async def _discard_upload(call: Call, args: b.DiscardArgs) -> s.Nothing:
    call.caller.uploads.discard(args.handle)
    return s.Nothing()


@serves(entries.MESSAGE_APPEND)
async def _append(call: Call, args: b.AppendArgs) -> b.AppendResult:
    target = mail.target_of(call, args)
    flags, keywords = flags_from(args.flags or ()), keywords_from(args.keywords or ())
    store, limit = call.services.store, call.services.login.max_message_octets
    said = args.encryption
    is_sealed = said is not None and said.encrypted
    if said is not None and is_sealed:
        check_algorithm(said.algorithm)

    def act(source: Source) -> Appended:
        folder = target.open(store)
        try:
            folder.stat()
        except FolderNotFound as error:
            raise missing_destination(target.folder, error) from error
        staged, end = staged_from(store, source, limit, sealed=is_sealed)
        try:
            check_quota(store, target.session.user, _message_octets(staged) if is_sealed else staged.octets)
            return folder.append(staged, flags=flags, keywords=keywords, internal_date=args.internal_date)
        finally:
            end()

    source, give_back = take_source(call, args)
    done = await call.commit_with(give_back, act, source)
    target.session.note_own(target.mailbox, target.folder, done.modseq, added=[done.uid])
    if args.staged is not None:
        call.caller.uploads.discard(args.staged)
    return b.AppendResult(uid=done.uid, uidvalidity=done.uidvalidity, modseq=done.modseq)


def take_source(call: Call, args: b.AppendArgs | b.DeliverArgs) -> tuple[Source, Callable[[], None]]:
    """Give the message that comes with a request, and what gives it back once no thread needs it.

    Raises:
        AccessError: INVALID where there is not exactly one, UNSUPPORTED where descriptors were not agreed on.
    """
    if sum(one is not None for one in (args.body, args.staged, args.way)) != 1:
        raise AccessError("INVALID", "one of body, staged and as says where the message is", key="body")
    if args.way == "fd":
        if "fd-upload" not in call.caller.features:
            raise AccessError("UNSUPPORTED", "descriptors were not agreed on in rpc.hello")
        descriptor, call.upload = call.upload, None
        if descriptor is None:
            raise AccessError("INVALID", "no descriptor came with the request", key="as")
        return Source(descriptor=descriptor), lambda: os.close(descriptor)
    if args.staged is not None:
        uploads = call.caller.uploads
        upload = uploads.acquire(args.staged, key="staged")
        return Source(staged=upload.staged), lambda: uploads.give_back(upload)
    return Source(body=args.body), lambda: None


def _message_octets(staged: StagedMessage) -> int:
    """Say how long the sealed message is.

    Raises:
        BlobTruncated: it is shorter than any.
    """
    if staged.octets < OVERHEAD_OCTETS:
        raise BlobTruncated(f"a sealed message has at least {OVERHEAD_OCTETS} octets, not {staged.octets}")
    return staged.octets - OVERHEAD_OCTETS


def _discard(staged: StagedMessage) -> None:
    staged.discard()
