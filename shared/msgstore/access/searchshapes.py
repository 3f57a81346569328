"""Arguments and result of ``message.search``; one of the doors to msgspec."""

from typing import Annotated

from msgspec import Meta, Struct

from msgstore.access.mailshapes import Count, FolderArgs, Uids
from msgstore.access.shapes import Short

__all__ = ["SearchArgs", "SearchHit", "SearchResult"]

Terms = Annotated[tuple[Short, ...], Meta(max_length=100)]
Words = Annotated[tuple[Short, ...], Meta(max_length=100)]


class SearchArgs(FolderArgs, kw_only=True, frozen=True, omit_defaults=True):
    """What is looked for.  All conditions have to hold; of the terms of body and text at least one has to be there.

    Terms are found anywhere in a text, without regard to case.  RFC 9051 §6.4.4.
    """

    uids: Uids | None = None
    body_terms: Terms | None = None
    text_terms: Terms | None = None
    """Looked for in headers and body."""

    header_terms: Annotated[tuple[tuple[Short, Short], ...], Meta(max_length=100)] | None = None
    """Name of a field, and what one of its values holds; the empty text says that the field is there."""

    since: int | None = None
    """Internal date at or after this second."""

    before: int | None = None
    """Internal date before this second."""

    larger: Count | None = None
    """More octets than this."""

    smaller: Count | None = None
    """Fewer octets than this."""

    with_flags: Words | None = None
    without_flags: Words | None = None
    with_keywords: Words | None = None
    without_keywords: Words | None = None
    need_headers: bool | None = None
    """Whether hits bring their header block along."""

    after_uid: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None


class SearchHit(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One message, and which terms it holds, by their place in the request."""

    uid: int
    body_matches: tuple[int, ...]
    text_matches: tuple[int, ...]
    headers: bytes | None = None
    """Header block as stored, without the empty line, at most 256 KiB of it."""


class SearchResult(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What was found in one page; with ``next_uid`` as the next ``after_uid`` where messages are left to look at.

    A page may be empty and have a next one: it ends when its time is over.
    """

    hits: tuple[SearchHit, ...]
    next_uid: int | None = None
