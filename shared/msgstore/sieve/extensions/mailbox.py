"""``mailbox``, ``special-use``, ``mailboxid``: which folder.  RFC 5490 §3, RFC 8579, RFC 9042."""

from collections.abc import Mapping
from typing import Final

from msgstore.model.errors import InvalidFolderName
from msgstore.model.folder import FolderName
from msgstore.sieve.context import Context
from msgstore.sieve.questions import Asking, FolderExists, MailboxId, SpecialUseFolder, ask
from msgstore.sieve.registry import Arguments, Extension, Kind, Positional, Tag, Test
from msgstore.sieve.values import Value

__all__ = ["EXTENSIONS"]


def _create(context: Context, value: Value) -> Mapping[str, object]:
    del context, value
    return {"create": True}


def _special_use(context: Context, value: Value) -> Mapping[str, object]:
    if not _is_use(str(value)):
        raise context.fail(f"{str(value)[:40]!r} is no special-use attribute")
    return {"special_use": str(value)}


def _mailbox_id(context: Context, value: Value) -> Mapping[str, object]:
    del context
    return {"mailbox_id": str(value)}


def _is_use(text: str) -> bool:
    return text.startswith("\\") and text[1:].isascii() and text[1:].isalnum()


def _check_use(text: str) -> str:
    return "" if _is_use(text) else f"{text[:40]!r} is no special-use attribute"


def _named(context: Context, text: str) -> FolderName | None:
    """A name that no folder can have is of a folder that does not exist: in a test that is no error."""
    try:
        return context.folder_name(text)
    except InvalidFolderName:
        return None


def _mailbox_exists(context: Context, arguments: Arguments) -> Asking[bool]:
    for text in arguments.texts("folders"):
        folder = _named(context, text)
        if folder is None or not (yield from ask(FolderExists(folder))):
            return False
    return True


def _special_use_exists(context: Context, arguments: Arguments) -> Asking[bool]:
    folder: FolderName | None = None
    if arguments.has("folder"):
        folder = _named(context, arguments.text("folder"))
        if folder is None:
            return False
    for use in arguments.texts("uses"):
        if not _is_use(use) or not (yield from ask(SpecialUseFolder(folder, use))):
            return False
    return True


def _mailbox_id_exists(context: Context, arguments: Arguments) -> Asking[bool]:
    for mailbox_id in arguments.texts("ids"):
        context.spend(1)
        if (yield from ask(MailboxId(mailbox_id))) is None:
            return False
    return True


EXTENSIONS: Final = (
    Extension(
        capability="mailbox",
        rfc="RFC 5490 §3",
        tests=(
            Test(
                name="mailboxexists",
                arguments=(Positional(name="folders", kind=Kind.TEXTS),),
                handler=_mailbox_exists,
            ),
        ),
        tags={"fileinto": (Tag(name="create", effect=_create),)},
    ),
    Extension(
        capability="special-use",
        rfc="RFC 8579",
        tests=(
            Test(
                name="specialuse_exists",
                arguments=(Positional(name="folder", optional=True), Positional(name="uses", kind=Kind.TEXTS)),
                handler=_special_use_exists,
            ),
        ),
        tags={"fileinto": (Tag(name="specialuse", kind=Kind.TEXT, check=_check_use, effect=_special_use),)},
    ),
    Extension(
        capability="mailboxid",
        rfc="RFC 9042",
        tests=(
            Test(
                name="mailboxidexists",
                arguments=(Positional(name="ids", kind=Kind.TEXTS),),
                handler=_mailbox_id_exists,
            ),
        ),
        tags={"fileinto": (Tag(name="mailboxid", kind=Kind.TEXT, effect=_mailbox_id),)},
    ),
)
