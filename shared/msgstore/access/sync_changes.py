"""What a session of the blocking client changes: folders, flags, places of messages."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from msgstore.access import entries
from msgstore.access.bodyshapes import AppendResult, MessageSource
from msgstore.access.changeshapes import FolderMade, QuotaResult, SetFlagsResult, TransferResult
from msgstore.access.entries import Method
from msgstore.access.folderchanges import CHANGE_FIELDS, FolderChanges
from msgstore.access.mailshapes import FolderListResult, FolderStatusResult, ListResult, UidItem

__all__ = ["Changing"]

Result = TypeVar("Result")


class Changing(ABC):
    """The part of a session that changes folders and messages.

    ``request_id`` makes a change repeatable: the server does it once and answers a repeat with the same result.
    """

    @abstractmethod
    def _ask(self, method: Method[Any, Result], folder: str | None, **args: object) -> Result:
        """Call a method about a folder, or about the mailbox where that is None."""

    @abstractmethod
    def _ask_with(self, method: Method[Any, Result], body: MessageSource, folder: str, **args: object) -> Result:
        """Call a method that takes a message."""

    @abstractmethod
    def _to_append(self, message: MessageSource) -> tuple[MessageSource, dict[str, object] | None]:
        """Give a message as it goes into the mailbox, and how it is sealed; None is not at all."""

    @abstractmethod
    def _pages(self, folder: str, **args: object) -> Iterator[ListResult]:
        """List page by page."""

    def folders(
        self, pattern: str | None = None, *, subscribed: bool | None = None, counts: bool | None = None
    ) -> FolderListResult:
        """Give the folders whose names fit a pattern: ``*`` is anything, ``%`` anything within a level."""
        return self._ask(entries.FOLDER_LIST, None, pattern=pattern, subscribed=subscribed, counts=counts)

    def status(self, *folders: str) -> FolderStatusResult:
        """Count several folders; for one that cannot be counted the error stands in its place."""
        return self._ask(entries.FOLDER_STATUS, None, folders=folders)

    def create_folder(
        self, folder: str, *, special_use: str | None = None, request_id: str | None = None
    ) -> FolderMade:
        """Make a folder and the levels above it.

        Raises:
            AccessError: FOLDER_EXISTS, INVALID_NAME, RESERVED_NAME.
        """
        options = {"special_use": special_use, "_request_id": request_id}
        return self._ask(entries.FOLDER_CREATE, folder, **options)

    def delete_folder(self, folder: str, *, request_id: str | None = None) -> None:
        """Remove a folder with its messages.

        Raises:
            AccessError: NO_FOLDER, HAS_CHILDREN, RESERVED_NAME, LOCKED.
        """
        self._ask(entries.FOLDER_DELETE, folder, _request_id=request_id)

    def rename_folder(self, folder: str, new_folder: str, *, request_id: str | None = None) -> FolderMade:
        """Give a folder, and those below it, another name; INBOX stays and its messages go.

        Raises:
            AccessError: NO_FOLDER, FOLDER_EXISTS, INVALID_NAME, RESERVED_NAME, LOCKED.
        """
        options = {"new_folder": new_folder, "_request_id": request_id}
        return self._ask(entries.FOLDER_RENAME, folder, **options)

    def subscribe(self, folder: str) -> None:
        """Note that the user wants to see a folder, which need not exist."""
        self._ask(entries.FOLDER_SUBSCRIBE, folder)

    def unsubscribe(self, folder: str) -> None:
        """Note that the user does not want to see a folder any more."""
        self._ask(entries.FOLDER_UNSUBSCRIBE, folder)

    def quota(self) -> QuotaResult:
        """Say what the mailbox holds and may hold."""
        return self._ask(entries.MAILBOX_QUOTA, None)

    def set_flags(
        self,
        *uids: UidItem,
        change: Literal["set", "add", "remove"],
        flags: Iterable[str] = (),
        keywords: Iterable[str] = (),
        unchanged_since: int | None = None,
        folder: str = "INBOX",
    ) -> SetFlagsResult:
        """Change flags, with backslash, and keywords, without; both are compared without case.

        Messages that changed after ``unchanged_since`` are left alone and named in ``modified``.
        """
        return self._ask(
            entries.MESSAGE_SET_FLAGS,
            folder,
            uids=uids,
            change=change,
            flags=tuple(flags),
            keywords=tuple(keywords),
            unchanged_since=unchanged_since,
        )

    def append(
        self,
        body: MessageSource,
        folder: str = "INBOX",
        *,
        flags: Iterable[str] = (),
        keywords: Iterable[str] = (),
        internal_date: int | None = None,
        request_id: str | None = None,
    ) -> AppendResult:
        """Put a message into a folder, durably; of a file the whole content, wherever it is read at.

        ``internal_date`` is seconds since 1970 UTC, below zero for what is older; None means now.

        Raises:
            AccessError: NO_FOLDER, whose ``imap`` is TRYCREATE; TOO_LARGE, OVER_QUOTA.
        """
        kept, encryption = self._to_append(body)
        return self._ask_with(
            entries.MESSAGE_APPEND,
            kept,
            folder,
            flags=tuple(flags),
            keywords=tuple(keywords),
            internal_date=internal_date,
            encryption=encryption,
            _request_id=request_id,
        )

    def copy(self, *uids: UidItem, to: str, folder: str = "INBOX", request_id: str | None = None) -> TransferResult:
        """Put messages into another folder too: all that exist, or none.

        Raises:
            AccessError: NO_FOLDER, whose ``imap`` is TRYCREATE where the destination is missing; OVER_QUOTA.
        """
        options = {"to_folder": to, "_request_id": request_id}
        return self._ask(entries.MESSAGE_COPY, folder, uids=uids, **options)

    def move(self, *uids: UidItem, to: str, folder: str = "INBOX", request_id: str | None = None) -> TransferResult:
        """Put messages into another folder: all that exist, or none.

        Raises:
            AccessError: as for :meth:`copy`, and LOCKED.
        """
        options = {"to_folder": to, "_request_id": request_id}
        return self._ask(entries.MESSAGE_MOVE, folder, uids=uids, **options)

    def changes(
        self, since_modseq: int, folder: str = "INBOX", *, fields: Sequence[str] = CHANGE_FIELDS
    ) -> FolderChanges:
        """Say what is new, changed and expunged since a modseq; ``fields`` must name uid."""
        pages = tuple(self._pages(folder, since_modseq=since_modseq, fields=tuple(fields)))
        return FolderChanges.of(pages)
