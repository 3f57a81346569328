"""Bringing a folder in line with the folder of another store that its messages came from.

Flags and keywords are changed as for any reader, on the disk first.  Modseqs stand in the index alone, so they are kept
as long as that is; one that lies ahead of this machine's clock is not taken over, for an index that is made anew begins
at the clock, and must not begin below what somebody has seen.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgstore.model.message import MessageInfo, Uid
from msgstore.model.outcomes import FlagChange
from msgstore.store.maildir.changing import Changing
from msgstore.store.maildir.index import Index
from msgstore.store.maildir.reading import Reading
from msgstore.store.maildir.rows import FolderRow

__all__ = ["align_folder", "give_modseqs"]


def align_folder(reading: Reading, messages: Sequence[MessageInfo], *, vanished: Sequence[Uid], modseq: int) -> None:
    """Take over flags, keywords, modseqs and what vanished; see the interface."""
    changing = Changing(reading)
    alike: dict[tuple[frozenset[str], frozenset[str]], list[Uid]] = defaultdict(list)
    for one in messages:
        alike[one.flags, one.keywords].append(one.uid)
    for (flags, keywords), uids in alike.items():
        changing.set_flags(uids, FlagChange.SET, flags=flags, keywords=keywords, unchanged_since=None)
    if vanished:
        changing.expunge(vanished, sets_aside=True)

    def number(index: Index, row: FolderRow) -> None:
        with index.writing():
            row = give_modseqs(reading, index, {one.uid: one.modseq for one in messages})
            row.modseq = max(row.modseq, min(modseq, reading.house.now_ms()))
            # One from the future is not kept, so nothing before the one that is kept may be called complete.
            row.min_modseq = max(row.min_modseq, min(modseq, row.modseq))
            index.save_folder(row)

    reading.run(number)


def give_modseqs(reading: Reading, index: Index, modseqs: Mapping[Uid, int]) -> FolderRow:
    """Let messages have given modseqs, as far as these may be kept; called in a turn of the index."""
    row = reading.ledger.bring_up(index, reading.name)
    now_ms = reading.house.now_ms()
    kept = {uid: modseq for uid, modseq in modseqs.items() if modseq <= now_ms}
    if kept:
        marks = ", ".join(str(int(uid)) for uid in kept)
        changed = index.messages(row.id, f"uid in ({marks})")
        for one in changed:
            one.modseq = kept[Uid(one.uid)]
        index.update(row.id, changed)
        row.modseq = max(row.modseq, *kept.values())
        index.save_folder(row)
    return row
