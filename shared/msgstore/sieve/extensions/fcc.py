"""``fcc``: a copy of what vacation and notify send is filed.  RFC 8580."""

from collections.abc import Mapping
from typing import Final

from msgstore.sieve.actions import FileInto
from msgstore.sieve.context import Context
from msgstore.sieve.registry import Extension, Kind, Tag
from msgstore.sieve.values import Value

__all__ = ["EXTENSIONS"]


def _folder(context: Context, value: Value) -> Mapping[str, object]:
    return {"fcc": FileInto(folder=context.folder(str(value)), script=context.script)}


def _create(context: Context, value: Value) -> Mapping[str, object]:
    del context, value
    return {"fcc.create": True}


def _flags(context: Context, value: Value) -> Mapping[str, object]:
    del context
    assert isinstance(value, tuple)
    words = (word for text in value for word in str(text).split())
    return {"fcc.flags": tuple(dict.fromkeys(words))}


def _special_use(context: Context, value: Value) -> Mapping[str, object]:
    del context
    return {"fcc.special_use": str(value)}


def _mailbox_id(context: Context, value: Value) -> Mapping[str, object]:
    del context
    return {"fcc.mailbox_id": str(value)}


_TAGS: Final = (
    Tag(name="fcc", kind=Kind.TEXT, effect=_folder),
    Tag(name="create", with_tag="fcc", needs=("mailbox",), effect=_create),
    Tag(name="flags", kind=Kind.TEXTS, with_tag="fcc", needs=("imap4flags",), effect=_flags),
    Tag(name="specialuse", kind=Kind.TEXT, with_tag="fcc", needs=("special-use",), effect=_special_use),
    Tag(name="mailboxid", kind=Kind.TEXT, with_tag="fcc", needs=("mailboxid",), effect=_mailbox_id),
)

EXTENSIONS: Final = (Extension(capability="fcc", rfc="RFC 8580", tags={"vacation": _TAGS, "notify": _TAGS}),)
