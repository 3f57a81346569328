"""``mboxmetadata`` and ``servermetadata``: annotations.  RFC 5490 §3.3, §4."""

from typing import Final

from msgstore.model.errors import InvalidFolderName
from msgstore.model.folder import FolderName
from msgstore.sieve.context import Context
from msgstore.sieve.questions import Asking, Metadata, ask
from msgstore.sieve.registry import Arguments, Extension, Kind, Positional, Shared, Test

__all__ = ["EXTENSIONS"]


def _folder(context: Context, arguments: Arguments) -> FolderName | None:
    try:
        return context.folder_name(arguments.text("folder"))
    except InvalidFolderName:
        return None


def _metadata(context: Context, arguments: Arguments) -> Asking[bool]:
    folder = _folder(context, arguments)
    value = None if folder is None else (yield from ask(Metadata(folder, arguments.text("name"))))
    return False if value is None else (yield from arguments.match((value,)))


def _server_metadata(context: Context, arguments: Arguments) -> Asking[bool]:
    context.spend(1)
    value = yield from ask(Metadata(None, arguments.text("name")))
    return False if value is None else (yield from arguments.match((value,)))


def _metadata_exists(context: Context, arguments: Arguments) -> Asking[bool]:
    folder = _folder(context, arguments)
    if folder is None:
        return False
    for name in arguments.texts("names"):
        if (yield from ask(Metadata(folder, name))) is None:
            return False
    return True


def _server_metadata_exists(context: Context, arguments: Arguments) -> Asking[bool]:
    for name in arguments.texts("names"):
        context.spend(1)
        if (yield from ask(Metadata(None, name))) is None:
            return False
    return True


_FOLDER: Final = Positional(name="folder")
_NAME: Final = Positional(name="name")
_NAMES: Final = Positional(name="names", kind=Kind.TEXTS)
_KEYS: Final = Positional(name="keys", kind=Kind.TEXTS)
_MATCH: Final = frozenset({Shared.MATCH})

EXTENSIONS: Final = (
    Extension(
        capability="mboxmetadata",
        rfc="RFC 5490 §3.3",
        tests=(
            Test(name="metadata", arguments=(_FOLDER, _NAME, _KEYS), shared=_MATCH, handler=_metadata),
            Test(name="metadataexists", arguments=(_FOLDER, _NAMES), handler=_metadata_exists),
        ),
    ),
    Extension(
        capability="servermetadata",
        rfc="RFC 5490 §4",
        tests=(
            Test(name="servermetadata", arguments=(_NAME, _KEYS), shared=_MATCH, handler=_server_metadata),
            Test(name="servermetadataexists", arguments=(_NAMES,), handler=_server_metadata_exists),
        ),
    ),
)
