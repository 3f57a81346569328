"""What Pigeonhole's ``sieve-test`` decides, and what we decide, in the same words."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from msgstore.sieve import (
    Action,
    Context,
    Discard,
    Envelope,
    FileInto,
    InvalidScript,
    Keep,
    Message,
    Notify,
    Owner,
    Redirect,
    Reject,
    Vacate,
    default_engine,
    evaluate,
)
from tests.sieve.room import House

__all__ = ["Decision", "Pigeonhole", "ours"]

Decision = frozenset[tuple[str, ...]] | str
"""Actions in any order, or ``"compile"`` or ``"run"`` where the script fails."""

SENDER: Final = "wile+x@desert.example"
RECIPIENT: Final = "me+there@y.example"
ENGINE: Final = default_engine()
_ACTION: Final = re.compile(r"^ \* ", re.MULTILINE)


class Pigeonhole:
    """A private configuration in a directory; nothing of the machine's Dovecot is touched."""

    def __init__(self, place: Path) -> None:
        uid = os.getuid() or 65534
        gid = os.getgid() or 65534
        self._place = place
        (place / "mail" / ".There" / "cur").mkdir(parents=True)
        for name in ("new", "tmp"):
            (place / "mail" / ".There" / name).mkdir()
        for name in ("cur", "new", "tmp"):
            (place / "mail" / name).mkdir()
        (place / "home").mkdir()
        (place / "dovecot.conf").write_text(f"""base_dir = {place}/run
log_path = /dev/stderr
mail_location = maildir:{place}/mail
mail_home = {place}/home
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
plugin {{
  sieve_extensions = +editheader
  recipient_delimiter = +
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
""")
        if os.getuid() == 0:
            for path in (place, *place.rglob("*")):
                os.chown(path, uid, gid)

    def decide(self, script: str, message: bytes) -> Decision:
        """Run a script on a message; nothing is carried out."""
        written, mail = self._place / "test.sieve", self._place / "test.eml"
        written.write_text(script, "utf-8")
        mail.write_bytes(message)
        options = ["-c", str(self._place / "dovecot.conf"), "-f", SENDER, "-r", RECIPIENT, "-a", RECIPIENT]
        done = subprocess.run(
            ["sieve-test", *options, str(written), str(mail)], capture_output=True, timeout=30, check=False
        )
        said = done.stdout.decode("utf-8", "surrogateescape")
        if b"failed to compile" in done.stderr:
            return "compile"
        if done.returncode != 0:
            assert b"resolved with successful implicit keep" in done.stderr, done.stderr
            return "run"
        return frozenset(filter(None, map(_theirs, _ACTION.split(said)[1:])))


def _theirs(text: str) -> tuple[str, ...] | None:
    first, _, rest = text.partition("\n")
    if first.startswith("store message in folder: "):
        flags = re.search(r"\+ add IMAP flags: (.*)", rest)
        return "store", first.partition(": ")[2], *sorted((flags[1] if flags else "").lower().split())
    if first.startswith("redirect message to: "):
        return "redirect", first.partition("<")[2].rstrip(">")
    if first.startswith("reject message with reason: "):
        return "reject", first.partition("reason: ")[2]
    if first.startswith("send vacation message:"):
        text = rest.partition("START MESSAGE\n")[2].rpartition("\nEND MESSAGE")[0]
        return "reply", text.replace("\r\n", "\n")
    if first.startswith("send notification"):
        return "notify", *re.findall(r"\+ To: (\S+)", rest)
    if first.startswith("discard"):
        return None
    raise AssertionError(first)


def ours(script: str, message: bytes) -> Decision:
    """Decide the same with our engine."""
    try:
        program = ENGINE.compile(script)
    except InvalidScript:
        return "compile"
    context = Context(
        Message.parse(message),
        envelope=Envelope(reverse_path=SENDER, forward_path=RECIPIENT),
        owner=Owner(address="me@y.example"),
    )
    verdict = evaluate(ENGINE, program, context, House(folders=("INBOX", "There")))
    if verdict.error is not None:
        return "run"
    return frozenset(filter(None, map(_own, verdict.actions)))


def _own(action: Action) -> tuple[str, ...] | None:
    match action:
        case Keep() | FileInto():
            folder = "INBOX" if isinstance(action, Keep) else str(action.folder)
            return "store", folder, *sorted(flag.lower() for flag in action.flags)
        case Redirect():
            return "redirect", action.address
        case Reject() | Vacate():
            return "reject" if isinstance(action, Reject) else "reply", action.reason.replace("\r\n", "\n")
        case Notify():
            return "notify", *action.recipients
        case _:
            assert isinstance(action, Discard), action
            return None
