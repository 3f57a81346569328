"""What a session did itself, so that its watches do not tell it again."""

from dataclasses import dataclass

from accessd.looks import FolderNews, News
from msgstore.model.message import Uid

__all__ = ["Own"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A change that a session made itself and knows from its response."""

    seen: frozenset[tuple[Uid, int]] = frozenset()
    """Messages with the modseq under which the session was shown them."""

    added: frozenset[Uid] = frozenset()
    modseq: int | None = None
    """Of the folder when the messages had been added; a later change of one of them is news."""

    removed: frozenset[Uid] = frozenset()
    folder: FolderNews | None = None

    def without(self, news: News) -> News:
        """Take what is known out of what is to be told."""
        if news.is_resync:
            return news
        if news.folder is not None:
            is_known = self.folder is not None and (self.folder.change, self.folder.folder, self.folder.new_folder) == (
                news.folder.change,
                news.folder.folder,
                news.folder.new_folder,
            )
            return News() if is_known else news
        later = tuple(
            info
            for info in news.new
            if info.uid in self.added and self.modseq is not None and info.modseq > self.modseq
        )
        return News(
            new=tuple(info for info in news.new if info.uid not in self.added),
            flags=tuple(info for info in (*news.flags, *later) if (info.uid, info.modseq) not in self.seen),
            expunged=tuple(uid for uid in news.expunged if uid not in self.removed),
        )
