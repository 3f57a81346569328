"""All extensions that come with the engine, in one list."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgstore.sieve.engine import Engine
from msgstore.sieve.extensions import (
    body,
    copies,
    core,
    date,
    dovecot,
    dsn,
    duplicate,
    editheader,
    encoded_character,
    enotify,
    envelope,
    environment,
    extlists,
    fcc,
    fileinto,
    ihave,
    imap4flags,
    include,
    mailbox,
    metadata,
    mime_edit,
    mime_parts,
    regex,
    reject,
    relational,
    spamtest,
    subaddress,
    vacation,
    variables,
)
from msgstore.sieve.limits import DEFAULT_LIMITS, Limits
from msgstore.sieve.registry import Extension

__all__ = ["OFF_BY_DEFAULT", "builtin_extensions", "default_engine"]

OFF_BY_DEFAULT: Final = frozenset({"vnd.dovecot.debug", "vnd.dovecot.environment", "vnd.dovecot.report"})
"""Only there when they are named."""

_MODULES: Final[tuple[Sequence[Extension], ...]] = (
    body.EXTENSIONS,
    copies.EXTENSIONS,
    core.EXTENSIONS,
    date.EXTENSIONS,
    dovecot.EXTENSIONS,
    dsn.EXTENSIONS,
    duplicate.EXTENSIONS,
    editheader.EXTENSIONS,
    encoded_character.EXTENSIONS,
    enotify.EXTENSIONS,
    envelope.EXTENSIONS,
    environment.EXTENSIONS,
    extlists.EXTENSIONS,
    fcc.EXTENSIONS,
    fileinto.EXTENSIONS,
    ihave.EXTENSIONS,
    imap4flags.EXTENSIONS,
    include.EXTENSIONS,
    mailbox.EXTENSIONS,
    metadata.EXTENSIONS,
    mime_edit.EXTENSIONS,
    mime_parts.EXTENSIONS,
    regex.EXTENSIONS,
    reject.EXTENSIONS,
    relational.EXTENSIONS,
    spamtest.EXTENSIONS,
    subaddress.EXTENSIONS,
    vacation.EXTENSIONS,
    variables.EXTENSIONS,
)


def builtin_extensions(*, also: Iterable[str] = (), without: Iterable[str] = ()) -> tuple[Extension, ...]:
    """Give the built-in extensions; ``also`` names some of :data:`OFF_BY_DEFAULT`, ``without`` some to leave out."""
    off = (OFF_BY_DEFAULT - frozenset(also)) | frozenset(without)
    return tuple(item for module in _MODULES for item in module if item.capability not in off)


def default_engine(
    *,
    limits: Limits = DEFAULT_LIMITS,
    extensions: Iterable[Extension] = (),
    also: Iterable[str] = (),
    without: Iterable[str] = (),
) -> Engine:
    """Make an engine of the built-in extensions and some more."""
    return Engine((*builtin_extensions(also=also, without=without), *extensions), limits=limits)
