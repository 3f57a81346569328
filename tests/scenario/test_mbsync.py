"""mbsync keeps a Maildir and a mailbox of ours alike, through the reference IMAP server."""

import re
import smtplib
import subprocess
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from msgstore.access.sync import Session
from tests.scenario.harness import DOMAIN, PASSWORD, required
from tests.scenario.imap_post import Post, access, mail, post_office

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120), pytest.mark.usefixtures("backend")]

LETTERS: Final = {"\\Seen": "S", "\\Flagged": "F", "\\Answered": "R", "\\Draft": "D"}
UMLAUT: Final = "Ü"
UMLAUT_IN_IMAP: Final = "&ANw-"
"""In modified UTF-7, which mbsync does not know: its directories are named like this."""

FOLDERS: Final = (
    "INBOX",
    *(f"Folder {number}" for number in range(13)),
    *(f"Lists/{UMLAUT}bung {one}" for one in "abcdef"),
)
EACH: Final = 25

Messages = dict[str, list[tuple[str, str]]]
"""Token and flag letters of every message, by folder."""


@pytest.fixture(scope="module")
def post(backend: str) -> Generator[Post]:
    with post_office("judy", "kim") as made:
        yield made


class Near:
    """A Maildir that mbsync keeps like a user's mail on our server."""

    def __init__(self, place: Path, port: int, user: str) -> None:
        self.place = place / "mail"
        self.place.mkdir()
        self._settings = place / "mbsyncrc"
        self._settings.write_text(
            f"IMAPAccount ours\nHost 127.0.0.1\nPort {port}\nUser {user}@{DOMAIN}\nPass {PASSWORD}\n"
            "SSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount ours\n\n"
            f"MaildirStore near\nPath {self.place}/\nInbox {self.place}/INBOX\nSubFolders Verbatim\n\n"
            "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove None\nExpunge Both\n"
            "CopyArrivalDate yes\nSyncState *\n"
        )

    def sync(self) -> None:
        """Run mbsync."""
        command = ["mbsync", "--config", str(self._settings), "--all"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def add(self, folder: str, token: str) -> None:
        box = self._box(folder)
        for name in ("new", "cur", "tmp"):
            (box / name).mkdir(parents=True, exist_ok=True)
        (box / "new" / f"{token}.near").write_bytes(mail(token))

    def file_of(self, folder: str, token: str) -> Path:
        return next(path for path in self._files(folder) if token_of(path.read_bytes()) == token)

    def mark(self, folder: str, token: str, letters: str) -> None:
        found = self.file_of(folder, token)
        base = found.name.partition(":2,")[0]
        found.rename(found.parent.parent / "cur" / f"{base}:2,{letters}")

    def messages(self) -> Messages:
        """Give token and flag letters of every message by folder."""
        boxes = [path.parent for path in sorted(self.place.rglob("cur"))]
        names = [str(box.relative_to(self.place)).replace(UMLAUT_IN_IMAP, UMLAUT) for box in boxes]
        return {name: sorted(map(_token_and_letters, self._files(name))) for name in names}

    def files(self) -> set[Path]:
        return {path for path in self.place.rglob("*") if path.parent.name in ("new", "cur")}

    def _box(self, folder: str) -> Path:
        return self.place / folder.replace(UMLAUT, UMLAUT_IN_IMAP)

    def _files(self, folder: str) -> list[Path]:
        return [*(self._box(folder) / "new").iterdir(), *(self._box(folder) / "cur").iterdir()]


def _token_and_letters(path: Path) -> tuple[str, str]:
    return token_of(path.read_bytes()), "".join(sorted(path.name.partition(":2,")[2]))


def token_of(octets: bytes) -> str:
    """Give the token of a message that is whole, whatever mbsync added to its header."""
    header, _, body = octets.replace(b"\r\n", b"\n").partition(b"\n\n")
    found = re.search(rb"^Subject: (.+)$", header, re.MULTILINE)
    assert found is not None
    assert body == b"Token %s.\n" % found[1]
    return found[1].decode()


def far_messages(session: Session) -> Messages:
    """Give token and flag letters of every message by folder."""
    found: Messages = {}
    for folder in session.folders().folders:
        messages = found.setdefault(folder.name, [])
        for row in session.list(folder.name, fields=("uid", "flags")):
            with session.retrieve(row.uid, folder.name) as body:
                letters = "".join(sorted(LETTERS[flag] for flag in row.flags or ()))
                messages.append((token_of(body.read()), letters))
        messages.sort()
    return found


def fill(session: Session, near: Near) -> Messages:
    """Put half of the messages on each side; gives what each side is to have in the end."""
    for folder in FOLDERS[1:]:
        session.create_folder(folder)
    expected: Messages = {row.name: [] for row in session.folders().folders}
    for at, folder in enumerate(FOLDERS):
        for number in range(EACH):
            flags = ("\\Seen",) if number % 5 == 0 else ()
            session.append(mail(f"far-{at}-{number}"), folder, flags=flags, internal_date=1_500_000_000 + number)
            near.add(folder, f"near-{at}-{number}")
            expected[folder] += [(f"far-{at}-{number}", "S" if flags else ""), (f"near-{at}-{number}", "")]
        expected[folder].sort()
    return expected


def state(session: Session, near: Near) -> tuple[Mapping[str, object], set[Path]]:
    """Give what a sync that has nothing to do leaves as it is."""
    far = {row.name: row.counts for row in session.folders(counts=True).folders}
    return far, near.files()


def uid_of(session: Session, folder: str, token: str) -> int:
    rows = session.list(folder, fields=("uid",))
    return next(row.uid for row in rows if token.encode() in session.headers(row.uid, folder).headers)


def test_mbsync_syncs_a_thousand_messages_both_ways_and_loses_none(post: Post, tmp_path: Path) -> None:
    required("mbsync")
    near = Near(tmp_path, post.port, "judy")
    with access(post.ours, "judy") as session:
        expected = fill(session, near)

        near.sync()
        here, there = near.messages(), far_messages(session)
        before = state(session, near)
        near.sync()

        assert sum(len(messages) for messages in there.values()) == 1000
        assert there == expected
        assert here == expected
        assert state(session, near) == before


def test_mbsync_carries_changes_of_both_sides_over(post: Post, tmp_path: Path) -> None:
    required("mbsync")
    near = Near(tmp_path, post.port, "kim")
    with access(post.ours, "kim") as session:
        session.create_folder("Work")
        for number in range(10):
            session.append(mail(f"m{number}"), "Work")
        near.sync()

        near.mark("Work", "m0", "FS")
        near.file_of("Work", "m1").unlink()
        near.add("Work", "new-near")
        near.add("Made near", "in-near")
        session.set_flags(uid_of(session, "Work", "m2"), change="set", flags=("\\Answered",), folder="Work")
        session.set_flags(uid_of(session, "Work", "m3"), change="add", flags=("\\Deleted",), folder="Work")
        session.expunge(folder="Work", which="flagged")
        session.append(mail("new-far"), "Work", flags=("\\Draft",))
        session.create_folder("Made far/Below")
        session.append(mail("in-far"), "Made far/Below")
        near.sync()
        here, there = near.messages(), far_messages(session)
        before = state(session, near)
        near.sync()

        left = [(f"m{number}", "") for number in range(4, 10)]
        assert there["Work"] == [("m0", "FS"), ("m2", "R"), *left, ("new-far", "D"), ("new-near", "")]
        assert there["Made near"] == [("in-near", "")]
        assert there["Made far/Below"] == [("in-far", "")]
        assert here == there
        assert state(session, near) == before


def test_mail_that_is_delivered_while_mbsync_runs_comes_once(tmp_path: Path) -> None:
    required("mbsync")
    with post_office("lena", daemons=("accessd", "lmtpd")) as post, access(post.ours, "lena") as session:
        near = Near(tmp_path, post.port, "lena")
        tokens = [f"delivered-{number}" for number in range(200)]

        def deliver() -> None:
            with smtplib.LMTP(str(post.ours.lmtp)) as client:
                for token in tokens:
                    client.sendmail("a@example.net", [f"lena@{DOMAIN}"], mail(token))

        with ThreadPoolExecutor(1) as pool:
            delivering = pool.submit(deliver)
            while not delivering.done():
                near.sync()
            delivering.result()
        near.sync()
        here, there = near.messages(), far_messages(session)

        assert there["INBOX"] == sorted((token, "") for token in tokens)
        assert here == there
