"""``msgstore sieve preview``: what a script would do to mail that is there."""

import time
from dataclasses import fields
from typing import Final, cast

import rich_click as click

from msgstore.admin.console import Console, Row, pass_console
from msgstore.admin.users import ADDRESS, find_account
from msgstore.model.address import MailboxId
from msgstore.model.errors import MailboxNotFound, MessageExpunged, MessageNotFound
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import Uid
from msgstore.model.scripts import ScriptNotFound, ScriptShelf, StoredScript
from msgstore.sieve import (
    Action,
    Context,
    Engine,
    Envelope,
    Message,
    Owner,
    Program,
    Services,
    evaluate,
)

__all__ = ["details_of", "preview"]

_LIMIT: Final = click.IntRange(min=1, max=100_000)


@click.command("preview")
@ADDRESS
@click.argument("name", required=False)
@click.option("--folder", default="INBOX", show_default=True, help="Levels are separated by /.")
@click.option("--limit", type=_LIMIT, default=100, show_default=True, help="Messages, the newest ones.")
@pass_console
def preview(console: Console, address: str, name: str | None, *, folder: str, limit: int) -> None:
    """Show what a script, or else the active one, would do to mail that is there; nothing is done.

    The envelope is not kept with a message: envelope tests see the recipient and the Return-Path.
    """
    mailbox = find_account(console, address).user.mailbox
    engine = console.engine
    rows: list[Row] = []
    with console.store() as store:
        if not store.mailbox_exists(mailbox):
            raise MailboxNotFound(f"{mailbox} has no mail yet")
        script = _script(store.scripts(mailbox), name)
        program = engine.compile(script.content, name=script.name)
        place = store.folder(mailbox, FolderName.parse(folder))
        for info in place.list()[-limit:]:
            try:
                with place.retrieve(Uid(info.uid)) as body:
                    octets = body.read(0, body.stored_octets)
            except (MessageNotFound, MessageExpunged):
                # Gone since the listing.
                continue
            rows += _rows(program, octets, info.uid, engine=engine, mailbox=_Mailbox(store, mailbox))
    console.table(rows, ("uid", "line", "action", "details"))


class _Mailbox(Services):
    """Answers from the mailbox itself."""

    def __init__(self, store: MessageStore, mailbox: MailboxId) -> None:
        self._tree = store.folders(mailbox)
        self.mailbox = mailbox

    def folder_exists(self, folder: FolderName) -> bool:
        return self._tree.exists(folder)

    def special_use(self, folder: FolderName | None, use: str) -> bool:
        return any(
            info.special_use is not None and info.special_use.value.lower() == use.lower()
            for info in self._tree.list()
            if folder is None or info.name == folder
        )


def _script(shelf: ScriptShelf, name: str | None) -> StoredScript:
    if name is not None:
        return StoredScript(name=name, content=shelf.read(name))
    active = shelf.active()
    if active is None:
        raise ScriptNotFound("no script is active; name one")
    return active


def _rows(program: Program, octets: bytes, uid: int, *, engine: Engine, mailbox: _Mailbox) -> list[Row]:
    owner = str(mailbox.mailbox)
    message = Message.parse(octets)
    context = Context(
        message,
        envelope=Envelope(reverse_path=_return_path(octets), forward_path=owner),
        owner=Owner(address=owner, addresses=(owner,)),
        now=time.time(),
    )
    verdict = evaluate(engine, program, context, mailbox)
    rows: list[Row] = [
        {
            "uid": uid,
            "line": action.line or None,
            "action": type(action).__name__.lower(),
            "details": details_of(action),
        }
        for action in verdict.actions
    ]
    if verdict.error is not None:
        rows.append({"uid": uid, "line": verdict.error.line, "action": "error", "details": verdict.error.text})
    return rows


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
