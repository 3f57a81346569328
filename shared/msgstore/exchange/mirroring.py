"""What a mailbox has beside its folders, made in one store what it is in another: subscriptions and scripts."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgstore.model.address import MailboxId
from msgstore.model.errors import InvalidFolderName, ReservedFolderName, StoreError
from msgstore.model.folder import FolderInfo, FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import Uid
from msgstore.model.scripts import InvalidScriptName, ScriptIsActive, ScriptShelf, ScriptTooLarge, TooManyScripts

__all__ = ["Note", "mirror_scripts", "mirror_subscriptions"]

Note: TypeAlias = Callable[[FolderName | None, Uid | None, str], None]
"""Takes a difference: the folder and the UID it belongs to, as far as it belongs to one, and what it is."""


def mirror_subscriptions(
    folders: Sequence[FolderInfo], target: MessageStore, mailbox: MailboxId, *, note: Note
) -> None:
    """Let those of ``folders`` be subscribed to that say so, and no others of them.

    Raises:
        StoreError: the target takes nothing now.
    """
    tree = target.folders(mailbox)
    there = {info.name: info.subscribed for info in tree.list()}
    for info in folders:
        if info.subscribed == there.get(info.name, False):
            continue
        try:
            tree.subscribe(info.name, wanted=info.subscribed)
        except (InvalidFolderName, ReservedFolderName) as error:
            note(info.name, None, f"cannot be subscribed to there: {error}")


def mirror_scripts(here: ScriptShelf, there: ScriptShelf, *, prunes: bool, verifies: bool, note: Note) -> None:
    """Let the same scripts be there, with the same one active; with ``prunes`` no others.

    Raises:
        StoreError: a shelf cannot be looked at, or the target takes nothing now.
    """
    infos = {info.name: info for info in here.list()}
    known = {info.name for info in there.list()}
    done: set[str] = set()
    for name in infos:
        try:
            content = here.read(name)
        except StoreError as error:
            note(None, None, f"script {name} cannot be read: {error}")
            continue
        try:
            if name not in known or there.read(name) != content:
                there.put(name, content)
            if verifies and there.read(name) != content:
                note(None, None, f"script {name} has other octets there")
        except (InvalidScriptName, ScriptTooLarge, TooManyScripts) as error:
            note(None, None, f"script {name} cannot be put there: {error}")
            continue
        done.add(name)
    _activate(here, there, done, note)
    for name in sorted(known - infos.keys()):
        if not prunes:
            note(None, None, f"script {name} is there and not here; --prune takes it away")
            continue
        try:
            there.remove(name)
        except ScriptIsActive as error:
            note(None, None, f"script {name} is there and not here: {error}")


def _activate(here: ScriptShelf, there: ScriptShelf, done: set[str], note: Note) -> None:
    try:
        active = here.active()
    except StoreError as error:
        note(None, None, f"the active script cannot be read: {error}")
        return
    name = None if active is None else active.name
    if name is not None and name not in done:
        note(None, None, f"script {name} is active here and not there")
        return
    now = next((info.name for info in there.list() if info.is_active), None)
    if name != now:
        there.activate(name)
