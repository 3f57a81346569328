"""What a run of scripts asks, answered from the store, the history and the site."""

from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from msgstore.delivery.history import Kind, Mark, Run
from msgstore.delivery.programs import Programs, Scripts, SiteScripts
from msgstore.model.address import MailboxId
from msgstore.model.envelope import Envelope, SpamVerdict
from msgstore.model.errors import (
    FolderExists,
    FolderNotFound,
    InvalidFolderName,
    MailboxNotFound,
    ReservedFolderName,
)
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import FolderTree, MessageStore
from msgstore.model.scripts import InvalidScriptName, ScriptNotFound, StoredScript
from msgstore.sieve import InvalidScript, Program, Scan, ScriptIsBroken, SeenBefore, Services

__all__ = ["Answers", "Folders", "duplicate_mark", "environment_of", "scan_of"]

_SPECIAL_USE_NAME: Final = "/private/specialuse"
"""The annotation that says what a folder is for. RFC 6154 §4."""


class Folders:
    """The folders of one mailbox, as scripts see them; a mailbox that has no mail yet is made."""

    def __init__(self, store: MessageStore, mailbox: MailboxId) -> None:
        self._store = store
        self._mailbox = mailbox

    def require(self) -> None:
        """Make the mailbox if it is not there: what is remembered of a reply stands in it."""
        self._tree()

    def exists(self, folder: FolderName) -> bool:
        """Whether mail can be filed into the folder.

        Raises:
            StoreError: the mailbox cannot be looked at.
        """
        if folder.is_inbox:
            return True
        try:
            return self._tree().exists(folder)
        except (InvalidFolderName, ReservedFolderName):
            return False

    def with_use(self, use: str) -> tuple[FolderName, ...]:
        """Give the folders that have a special-use attribute, written in any case."""
        return tuple(
            info.name
            for info in self._tree().list()
            if info.special_use is not None and info.special_use.value.lower() == use.lower()
        )

    def use_of(self, folder: FolderName) -> str | None:
        """Give the special-use attribute of a folder; None where it has none, or is not there."""
        for info in self._tree().list():
            if info.name == folder:
                return None if info.special_use is None else info.special_use.value
        return None

    def with_id(self, mailbox_id: str) -> FolderName | None:
        """Give the folder that has this id, as the store keeps it for ever; None where none has. RFC 9042 §4."""
        tree = self._tree()
        for info in tree.list():
            try:
                if tree.guid(info.name) == mailbox_id:
                    return info.name
            except FolderNotFound:
                # Somebody removed it a moment ago.
                continue
        return None

    def create(self, folder: FolderName) -> bool:
        """Make a folder that is missing; false where no folder can have the name."""
        try:
            self._tree().create(folder)
        except FolderExists:
            return True
        except (InvalidFolderName, ReservedFolderName):
            return False
        return True

    def _tree(self) -> FolderTree:
        try:
            return self._store.folders(self._mailbox)
        except MailboxNotFound:
            self._store.create_mailbox(self._mailbox)
            return self._store.folders(self._mailbox)


class Answers(Services):
    """Answers the questions of one run; what the store cannot say now ends the run with its error."""

    def __init__(
        self,
        *,
        folders: Folders,
        run: Run,
        programs: Programs,
        scripts: Scripts,
        site: SiteScripts,
        now: Callable[[], float],
    ) -> None:
        self._folders: Final = folders
        self._run: Final = run
        self._programs: Final = programs
        self._scripts: Final = scripts
        self._site: Final = site
        self._now: Final = now

    def folder_exists(self, folder: FolderName) -> bool:
        """Whether mail can be filed into the folder."""
        return self._folders.exists(folder)

    def special_use(self, folder: FolderName | None, use: str) -> bool:
        """Whether the folder, or any where None, has the attribute."""
        found = self._folders.with_use(use)
        return bool(found) if folder is None else folder in found

    def seen_before(self, question: SeenBefore) -> bool:
        """Whether the id is on record; it is held for this run from now on."""
        return self._run.seen(duplicate_mark(question.handle, question.unique_id, question.seconds, question.last))

    def script(self, name: str, *, is_global: bool) -> Program | ScriptIsBroken | None:
        """Give a script to include."""
        found = self._site.included(name) if is_global else self._personal(name)
        if found is None:
            return None
        program = self._programs.compiled(found)
        return ScriptIsBroken(str(program)) if isinstance(program, InvalidScript) else program

    def list_contains(self, name: str, values: tuple[str, ...]) -> bool:
        """Whether the external list holds one of the values, compared without case."""
        members = self._site.members(name)
        if members is None:
            return False
        known = {member.lower() for member in members}
        return any(value.lower() in known for value in values)

    def list_known(self, name: str) -> bool:
        """Whether there is such a list."""
        return self._site.members(name) is not None

    def metadata(self, folder: FolderName | None, name: str) -> str | None:
        """Give an annotation of the server, or of a folder, which has none here but its special use.

        RFC 5490 §3.3, §4; RFC 6154 §4.
        """
        if folder is None:
            return self._site.server_metadata(name)
        return self._folders.use_of(folder) if name.lower() == _SPECIAL_USE_NAME else None

    def mailbox_id(self, mailbox_id: str) -> FolderName | None:
        """Give the folder that has this id."""
        return self._folders.with_id(mailbox_id)

    def current_time(self) -> float:
        """Give seconds since 1970 UTC."""
        return self._now()

    def _personal(self, name: str) -> StoredScript | None:
        try:
            return StoredScript(name=name, content=self._scripts.read(name))
        except (ScriptNotFound, InvalidScriptName, MailboxNotFound):
            return None


def duplicate_mark(handle: str, unique_id: str, seconds: float, last: bool) -> Mark:  # noqa: FBT001
    """Give what the duplicate test remembers."""
    return Mark(kind=Kind.DUPLICATE, handle=handle, unique=unique_id, seconds=seconds, is_renewed=last)


def scan_of(spam: SpamVerdict | None, *, full_score: float) -> Scan | None:
    """Say what a trusted scanner said in the words of the engine; None where nothing was scanned."""
    if spam is None:
        return None
    percent = min(max(spam.score / full_score * 100, 0.0), 100.0)
    return Scan(spam_percent=percent)


def environment_of(envelope: Envelope, *, hostname: str, full_score: float) -> dict[str, str]:
    """Give the items of the environment; those about spam are there only where the message was scanned. RFC 5183 §4."""
    client = envelope.client
    items = {"host": hostname, "version": _version(), "remote-host": client.name or ""}
    if "." in hostname:
        items["domain"] = hostname.partition(".")[2]
    if client.address:
        items["remote-ip"] = client.address
    if envelope.spam is not None:
        percent = min(max(envelope.spam.score / full_score * 100, 0.0), 100.0)
        items |= {
            "vnd.maildancer.spam-flag": "YES" if envelope.spam.is_spam else "NO",
            # As the spamtest of RFC 5235 §3.2 counts.
            "vnd.maildancer.spam-value": str(
                1 if percent <= 0 else 10 if percent >= 100 else 2 + int(percent * 8 / 100)
            ),
            "vnd.maildancer.spam-score": f"{envelope.spam.score:g}",
        }
    return items


@cache
def _version() -> str:
    try:
        return version("msgstore")
    except PackageNotFoundError:  # run from a directory that was not installed
        return ""
