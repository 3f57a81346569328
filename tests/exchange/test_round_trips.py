"""What goes out comes back as it was: memory to Maildir to mbox and all the way round."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from msgstore.exchange.maildir_source import MaildirSource
from msgstore.exchange.maildir_target import write_maildir
from msgstore.exchange.mbox_source import MboxSource
from msgstore.exchange.mbox_target import write_mbox
from msgstore.model.errors import InvalidFolderName
from msgstore.model.folder import FolderName, SpecialUse
from msgstore.model.message import SYSTEM_FLAGS
from msgstore.store.disk import Disk
from tests.exchange.room import ALICE, Held, Seen, Silent, fill, held, maildir, memory, take

LINES = st.one_of(
    st.sampled_from(
        [b"", b"From me", b">From you", b">>From us", b"From a Thu Jan  1 00:00:00 1970", b" folded", b"."]
    ),
    st.binary(max_size=80).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
)
TEXTS = st.lists(LINES, max_size=8).map(lambda lines: b"Subject: x\n\n" + b"".join(line + b"\n" for line in lines))
KEYWORDS = st.one_of(
    st.sampled_from([f"k{number}" for number in range(40)]), st.from_regex(r"\A\$?[A-Za-z][A-Za-z0-9_.-]{0,20}\Z")
)
SEEN = st.builds(
    Seen,
    flags=st.frozensets(st.sampled_from(SYSTEM_FLAGS)),
    keywords=st.lists(KEYWORDS, max_size=5, unique_by=str.lower).map(frozenset),
    date=st.integers(0, 2**33),
    uidl=st.none() | st.from_regex(r"\A[!-~]{1,70}\Z"),
    text=TEXTS,
)
NAMES = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12), min_size=1, max_size=3
)


def folder_name(components: list[str]) -> str | None:
    try:
        name = str(FolderName.parse("/".join(component.replace("/", "") for component in components)))
    except InvalidFolderName:
        return None
    return None if name.upper().startswith("INBOX") else name


@st.composite
def mailboxes(draw: st.DrawFn) -> dict[str, Held]:
    names = {"INBOX"} | {name for name in map(folder_name, draw(st.lists(NAMES, max_size=3))) if name is not None}
    found: dict[str, Held] = {}
    spelling: dict[str, str] = {}
    for name in sorted(names):
        uids = sorted(draw(st.sets(st.integers(1, 2**32 - 3), max_size=5)))
        messages: list[tuple[int, Seen]] = []
        for uid in uids:
            seen = draw(SEEN)
            # In a folder a keyword has one spelling.
            keywords = frozenset(spelling.setdefault(word.lower(), word) for word in seen.keywords)
            messages.append(
                (uid, Seen(flags=seen.flags, keywords=keywords, date=seen.date, uidl=seen.uidl, text=seen.text))
            )
        found[name] = Held(
            uidvalidity=draw(st.integers(1, 2**32 - 1)),
            uidnext=max(uids, default=1) + draw(st.integers(1, 2)),
            special_use=None if name == "INBOX" else draw(st.none() | st.sampled_from(SpecialUse)),
            subscribed=draw(st.booleans()),
            messages=tuple(messages),
        )
    return found


@settings(max_examples=12, deadline=None)
@given(mailboxes())
def test_a_mailbox_comes_back_from_a_maildir_and_from_mbox_files_as_it_was(before: dict[str, Held]) -> None:
    # Nothing here is about what a disk does.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as place:
        first, second, third = memory(), maildir(Path(place) / "store"), memory()
        fill(first, before)
        assert held(first) == before

        list(write_maildir(first, ALICE, (Disk(), f"{place}/maildir"), progress=Silent()))
        _, failures = take(second, MaildirSource(Disk(), f"{place}/maildir"))
        assert failures == []
        assert held(second) == before

        list(write_mbox(second, ALICE, (Disk(), f"{place}/mbox"), progress=Silent()))
        _, failures = take(third, MboxSource(Disk(), f"{place}/mbox"))
        assert failures == []
        assert held(third) == before
        second.close()
