"""``msgstore sieve run``: what a script does to mail that is there."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, Literal, cast

import rich_click as click

from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.given import read_script
from msgstore.admin.users import ADDRESS, find_account
from msgstore.delivery.acting import place_of, split_flags
from msgstore.delivery.answers import Answers, Folders
from msgstore.delivery.history import History
from msgstore.delivery.programs import Programs, SiteScripts
from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, MessageExpunged, MessageNotFound
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import Folder, MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import FlagChange
from msgstore.model.scripts import ScriptNotFound, ScriptShelf, StoredScript
from msgstore.opening import CLOCK
from msgstore.sieve import (
    Action,
    Context,
    Discard,
    Envelope,
    Ereject,
    FileInto,
    Keep,
    Message,
    Owner,
    Program,
    Redirect,
    Reject,
    SeenBefore,
    Verdict,
    evaluate,
)

__all__ = ["details_of", "run"]

_LIMIT: Final = click.IntRange(min=1)
_COLUMNS: Final = ("uid", "line", "action", "details", "outcome")

Discarding = Literal["keep", "remove"]


@click.command("run")
@ADDRESS
@click.argument("name", required=False)
@click.option("--file", help="A script that is not kept; - for standard input.")
@click.option("--folder", default="INBOX", show_default=True, help="Levels are separated by /.")
@click.option("--limit", type=_LIMIT, help="Only the newest messages.")
@click.option("--discard", type=click.Choice(["keep", "remove"]), default="keep", show_default=True)
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@pass_console
def run(
    console: Console,
    address: str,
    name: str | None,
    *,
    file: str | None,
    folder: str,
    limit: int | None,
    discard: Discarding,
    dry_run: bool,
) -> None:
    """Run a script, or else the active one, over mail that is there.

    Messages are put into folders, and flags are added to them.  Nothing is sent: a message that would be redirected or
    refused stays where it is, as does one that would be discarded, without `--discard remove`.  Edits of headers are
    left out, and `duplicate` finds none.

    The envelope is not kept with a message: envelope tests see the recipient and the Return-Path.
    """
    if name is not None and file is not None:
        raise click.UsageError("give a name or --file")
    given = None if file is None else StoredScript(name=Path(file).name, content=read_script(file))
    mailbox = find_account(console, address).user.mailbox
    with console.store() as store:
        if not store.mailbox_exists(mailbox):
            raise MailboxNotFound(f"{mailbox} has no mail yet")
        place = store.folder(mailbox, FolderName.parse(folder))
        shelf = store.scripts(mailbox)
        # Compiled before anything is done: a script that is broken changes nothing.
        script = given or _script(shelf, name)
        program = console.engine.compile(script.content, name=script.name)
        with _runner(console, store, mailbox, shelf) as runner:
            runner.removes = discard == "remove"
            rows = list(_rows(runner, program, place, limit=limit, dry_run=dry_run))
    console.table(rows, _COLUMNS)
    if dry_run:
        console.note("nothing was changed")


def _script(shelf: ScriptShelf, name: str | None) -> StoredScript:
    if name is not None:
        return StoredScript(name=name, content=shelf.read(name))
    active = shelf.active()
    if active is None:
        raise ScriptNotFound("no script is active; name one")
    return active


def _rows(runner: "_Runner", program: Program, place: Folder, *, limit: int | None, dry_run: bool) -> Iterator[Row]:
    for info in place.list()[-(limit or 0) :]:
        uid = Uid(info.uid)
        try:
            with place.retrieve(uid) as body:
                octets = body.read(0, body.stored_octets)
        except (MessageNotFound, MessageExpunged):
            # Gone since the listing.
            continue
        verdict = runner.verdict(program, octets)
        plan = runner.plan(verdict, place.name, is_real=not dry_run)
        if not dry_run:
            runner.carry_out(plan, place, uid)
        for action, outcome in zip(verdict.actions, plan.outcomes, strict=True):
            yield {
                "uid": uid,
                "line": action.line or None,
                "action": type(action).__name__.lower(),
                "details": details_of(action),
                "outcome": outcome,
            }
        if verdict.error is not None:
            error = verdict.error
            yield {"uid": uid, "line": error.line, "action": "error", "details": error.text, "outcome": "stays"}


@dataclass(slots=True)
class _Plan:
    """What becomes of one message."""

    stays: bool = False
    is_removed: bool = False
    flags: tuple[str, ...] = ()
    """Added to the message where it stays."""

    targets: dict[FolderName, tuple[str, ...]] = field(default_factory=dict[FolderName, tuple[str, ...]])
    outcomes: list[str] = field(default_factory=list[str])
    """One for each action."""


class _Runner(Answers):
    """Runs a script over messages of one mailbox, and answers from it."""

    def __init__(
        self, console: Console, store: MessageStore, mailbox: MailboxId, *, shelf: ScriptShelf, history: History
    ) -> None:
        self._console = console
        self._store = store
        self._mailbox = mailbox
        self._own_folders = Folders(store, mailbox)
        self.removes = False
        sieve = console.settings.sieve
        self._creates = sieve.missing_folder == "create"
        super().__init__(
            folders=self._own_folders,
            run=history.run(mailbox),
            programs=Programs(console.engine, limit=sieve.programs),
            scripts=shelf,
            site=SiteScripts(sieve, console.directory.domains.root),
            now=time.time,
        )

    def seen_before(self, question: SeenBefore) -> bool:
        """Say that it was not: what was delivered once is asked about again."""
        del question
        return False

    def verdict(self, program: Program, octets: bytes) -> Verdict:
        """Run the script over a message."""
        owner = str(self._mailbox)
        context = Context(
            Message.parse(octets),
            envelope=Envelope(reverse_path=_return_path(octets), forward_path=owner),
            owner=Owner(address=owner, separator=self._console.settings.auth.detail_separator),
            limits=self._console.engine.limits,
            now=time.time(),
        )
        return evaluate(self._console.engine, program, context, self)

    def plan(self, verdict: Verdict, source: FolderName, *, is_real: bool) -> _Plan:
        """Say what the actions come to for a message of a folder; ``is_real`` makes folders that are to be made."""
        plan = _Plan()
        discards = False
        for action in verdict.actions:
            outcome = "nothing is sent"
            match action:
                case Keep():
                    plan.stays, plan.flags, outcome = True, action.flags, "stays"
                case FileInto():
                    outcome = self._file(plan, action, source, is_real=is_real)
                case Discard():
                    discards, outcome = True, ""
                case Redirect() | Reject() | Ereject() if not action.copy:
                    plan.stays = True
                case _:
                    pass
            plan.outcomes.append(outcome)
        if not plan.stays and not plan.targets:
            plan.is_removed = discards and self.removes
            plan.stays = not plan.is_removed
        is_at = "removed" if plan.is_removed else "stays" if plan.stays else "moved"
        plan.outcomes = [one or is_at for one in plan.outcomes]
        return plan

    def carry_out(self, plan: _Plan, place: Folder, uid: Uid) -> None:
        """Do it.  Stopped in between, the message is in two folders, and at no time in none."""
        targets = list(plan.targets.items())
        moved = None if plan.stays or not targets else targets.pop()
        for target, flags in targets:
            self._add_flags(self._store.folder(self._mailbox, target), place.copy((uid,), target).to_uids, flags)
        if moved is not None:
            target, flags = moved
            self._add_flags(self._store.folder(self._mailbox, target), place.move((uid,), target).to_uids, flags)
        elif plan.is_removed:
            place.expunge((uid,))
        else:
            self._add_flags(place, (uid,), plan.flags)

    def _file(self, plan: _Plan, action: FileInto, source: FolderName, *, is_real: bool) -> str:
        makes = action.create or self._creates
        asked = action if is_real else replace(action, create=False)
        found = place_of(asked, self._own_folders, creates=is_real and self._creates)
        if found is None and not (makes and not is_real):
            plan.stays = True
            return f"stays: there is no folder {action.folder}"
        target = found or action.folder
        if target == source:
            plan.stays, plan.flags = True, action.flags
            return "stays"
        plan.targets[target] = action.flags
        return f"into {target}" if found is not None else f"into {target}, which is made"

    def _add_flags(self, place: Folder, uids: Sequence[Uid], flags: Sequence[str]) -> None:
        system, keywords = split_flags(flags)
        if uids and (system or keywords):
            place.set_flags(uids, FlagChange.ADD, flags=system, keywords=keywords)


@contextmanager
def _runner(console: Console, store: MessageStore, mailbox: MailboxId, shelf: ScriptShelf) -> Generator[_Runner]:
    history = History(store.control_directory, clock=CLOCK, records=store.records())
    try:
        yield _Runner(console, store, mailbox, shelf=shelf, history=history)
    finally:
        history.close()


def _return_path(octets: bytes) -> str | None:
    """Give what final delivery noted; it is the first field where it is there. RFC 5321 §4.4."""
    line, _, _ = octets[:2048].partition(b"\n")
    name, colon, value = line.partition(b":")
    if not colon or name.strip().lower() != b"return-path":
        return None
    return value.decode("utf-8", "replace").strip()


def details_of(action: Action) -> str:
    """Say what an action is about: every value it has beside its place."""
    found = {field.name: getattr(action, field.name) for field in fields(action)}
    edited = "message=edited" if found.pop("message", None) is not None else ""
    told = (f"{name}={_shown(value)}" for name, value in found.items() if value and name not in ("line", "script"))
    return "; ".join([*told, *([edited] if edited else [])])


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, cast("tuple[object, ...]", value)))
    return "yes" if value is True else str(value)
