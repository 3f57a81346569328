"""Two stores, a mailbox that has something of everything, and what one looks like exactly."""

from collections.abc import Callable

from msgstore.exchange.converting import Converting
from msgstore.exchange.copying import Difference, FolderConverted
from msgstore.model.folder import INBOX, FolderName, SpecialUse
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import SEEN, MessageInfo, Uid
from msgstore.model.outcomes import Restored
from tests.exchange.room import ALICE, Silent

WORK, DEEP, SENT = FolderName(("Work",)), FolderName(("A b", "c", "ä.d")), FolderName(("Sent",))
JUNK = FolderName(("Junk",))
BLOB = bytes(range(256)) + b"\r\n\n\r.\r\n" + b"x" * 100
Made = Callable[[str], MessageStore]
Portrait = dict[str, object]


def convert(
    source: MessageStore, target: MessageStore, **more: bool
) -> tuple[dict[str, FolderConverted], list[Difference]]:
    converting = Converting(source, target, ALICE, progress=Silent(), **more)
    return {str(one.folder): one for one in converting.run()}, converting.differences


def put(
    store: MessageStore, folder: FolderName = INBOX, text: bytes = b"Subject: hi\n\nbody\r\n", **more: object
) -> Uid:
    sealed = text is BLOB
    with store.stage(sealed=sealed) as staged:
        staged.write(text)
        return store.folder(ALICE, folder).append(staged, **more).uid  # type: ignore[arg-type]  # fields of a test


def portrait(store: MessageStore, *, names: frozenset[FolderName] | None = None) -> Portrait:
    """Everything that a conversion keeps, exactly."""
    found: Portrait = {}
    tree = store.folders(ALICE)
    for info in tree.list():
        if names is not None and info.name not in names:
            continue
        folder = store.folder(ALICE, info.name)
        status = folder.stat()
        messages: list[tuple[MessageInfo, bytes]] = []
        for one in folder.list():
            with folder.retrieve(one.uid) as body:
                messages.append((one, b"".join(body.chunks())))
        uids = (status.uidvalidity, status.uidnext, tree.guid(info.name))
        found[str(info.name)] = (uids, info.special_use, info.subscribed, messages)
    shelf = store.scripts(ALICE)
    found["scripts"] = [(one.name, one.is_active, shelf.read(one.name)) for one in shelf.list()]
    found["mark"] = store.quota_mark(ALICE)
    found["usage"] = (store.usage(ALICE).octets, store.usage(ALICE).messages)
    return found


def furnish(store: MessageStore) -> None:
    """Make a mailbox that has something of everything."""
    store.create_mailbox(ALICE)
    tree = store.folders(ALICE)
    tree.restore(INBOX, uidvalidity=76, uidnext=1)
    tree.create(DEEP)
    tree.create(WORK, special_use=SpecialUse.ARCHIVE)
    tree.restore(WORK, uidvalidity=77, uidnext=1)
    tree.delete(SENT)
    tree.create(SENT)
    tree.subscribe(DEEP)
    put(store, flags=frozenset({SEEN}), keywords=frozenset({"$Junk", "work"}), internal_date=1_000_000_000)
    put(store, text=b"a\r\nb\nc\rd", internal_date=1_100_000_000)
    put(store, text=BLOB)
    put(store, DEEP, b"x" * 300_000)
    store.folder(ALICE, INBOX).expunge([Uid(2)])
    with store.stage() as staged:
        staged.write(b"old\r\n")
        one = Restored(staged=staged, uid=Uid(9), internal_date=1e9, uidl="old-uidl", guid="old.guid", modseq=3)
        store.folder(ALICE, WORK).restore([one], uidnext=20)
    store.scripts(ALICE).put("main", b"keep;\r\n")
    store.scripts(ALICE).put("other ü", b"discard;\r\n")
    store.scripts(ALICE).activate("main")
    store.set_quota_mark(ALICE, 80)
