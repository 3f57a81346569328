"""Looking through a folder: what rows tell decides first, and only what is left is opened.  Blocking."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final, cast

from accessd.mail import Target
from accessd.opening import opened_mail
from msgstore.access.codes import AccessError
from msgstore.access.searchshapes import SearchArgs, SearchHit, SearchResult
from msgstore.access.uids import UidRange, compressed, ranges_of
from msgstore.crypto import SecretKey
from msgstore.mime.search import Found, header_matches, search
from msgstore.mime.structure import Part, walk
from msgstore.model.errors import MessageNotFound
from msgstore.model.interfaces import Body, Folder, MessageStore
from msgstore.model.message import Uid
from msgstore.model.outcomes import Column

__all__ = ["PAGE_SECONDS", "Seeker"]

PAGE_SECONDS: Final = 1.0
"""A page ends after this time, so that a deadline of the client is for a page and not for a folder."""

_PAGE_OCTETS: Final = 640 * 1024
"""Header blocks of one page; with one more of at most 256 KiB it fits a frame."""

_HIT_OCTETS: Final = 16
_STEP: Final = 1000
_SEALED_RANGES: Final = 10_000
"""Named in one error; it has to fit a frame."""

_COLUMNS: Final[tuple[Column, ...]] = ("uid", "octets", "flags", "keywords", "internal_date", "sealed")


@dataclass(frozen=True, slots=True)
class _Row:
    uid: int
    octets: int
    flags: tuple[str, ...]
    keywords: tuple[str, ...]
    internal_date: int
    sealed: bool


class Seeker:
    """One page of a search, in a worker thread.

    ``stop`` ends it from outside, between messages and between pieces of one.
    """

    def __init__(
        self,
        args: SearchArgs,
        target: Target,
        *,
        page_rows: int,
        now: Callable[[], float],
        stop: Event,
        keys: Sequence[SecretKey] = (),
    ) -> None:
        """``keys`` open what is sealed; without any a term that needs it is refused."""
        self._args = args
        self._target = target
        self._limit = min(args.limit or page_rows, page_rows)
        self._now = now
        self._stop = stop
        self._terms = (args.body_terms or (), args.text_terms or ())
        self._keys = keys
        self._needs_content = bool(any(self._terms) or args.header_terms or args.need_headers)
        self._flags = _lowered(args.with_flags), _lowered(args.without_flags)
        self._keywords = _lowered(args.with_keywords), _lowered(args.without_keywords)

    def page(self, store: MessageStore) -> SearchResult:
        """Look from ``after_uid`` on until the page is full or its time is over.

        Raises:
            AccessError: SEALED where a term needs what is sealed, CANCELLED where nobody wants the page any more.
            FolderNotFound: there is no such folder.
        """
        folder = self._target.open(store)
        hits: list[SearchHit] = []
        octets = 0
        ends_at = self._now() + PAGE_SECONDS
        for row in self._rows(folder, self._args.after_uid or 0):
            if self._stop.is_set():
                raise AccessError("CANCELLED", "the search was given up")
            if self._fits(row):
                if row.sealed and self._needs_content and not self._keys:
                    self._refuse(folder, row)
                hit = self._hit(folder, row)
                if hit is not None:
                    hits.append(hit)
                    octets += _HIT_OCTETS + len(hit.headers or b"") + len(hit.body_matches) + len(hit.text_matches)
            if len(hits) == self._limit or octets > _PAGE_OCTETS or self._now() > ends_at:
                return SearchResult(hits=tuple(hits), next_uid=row.uid)
        return SearchResult(hits=tuple(hits))

    def _fits(self, row: _Row) -> bool:
        """Whether a row meets all that can be said without opening its message."""
        args = self._args
        return (
            (args.since is None or row.internal_date >= args.since)
            and (args.before is None or row.internal_date < args.before)
            and (args.larger is None or row.octets > args.larger)
            and (args.smaller is None or row.octets < args.smaller)
            and _holds(row.flags, *self._flags)
            and _holds(row.keywords, *self._keywords)
        )

    def _refuse(self, folder: Folder, row: _Row) -> None:
        """Name all that cannot be looked into from here on, so that the client leaves them out at once."""
        sealed = (other.uid for other in self._rows(folder, row.uid - 1) if other.sealed and self._fits(other))
        uids = compressed(sealed)[:_SEALED_RANGES]
        raise AccessError("SEALED", "a term needs what is sealed", uids=list(uids))

    def _hit(self, folder: Folder, row: _Row) -> SearchHit | None:
        if not self._needs_content:
            return SearchHit(uid=row.uid, body_matches=(), text_matches=())
        try:
            body = folder.retrieve(Uid(row.uid))
        except MessageNotFound:
            # Gone since its row was read.
            return None
        with body:
            if not row.sealed:
                return self._look_into(row.uid, body)
            with opened_mail(body, self._keys) as opened:
                # What none of the keys opens holds no words.
                return None if opened is None else self._look_into(row.uid, opened)

    def _look_into(self, uid: int, body: Body) -> SearchHit | None:
        args, found = self._args, Found(body=(), text=())
        header = b""
        if args.header_terms or args.need_headers:
            first = next(walk(self._pieces(body)))
            assert isinstance(first, Part), "a walk begins with the message itself"
            header = first.header
            if not header_matches(header, args.header_terms or ()):
                return None
        if any(self._terms):
            found = search(self._pieces(body), body_terms=self._terms[0], text_terms=self._terms[1])
            if not (found.body or found.text):
                return None
        headers = header if args.need_headers else None
        return SearchHit(uid=uid, body_matches=found.body, text_matches=found.text, headers=headers)

    def _pieces(self, body: Body) -> Iterator[bytes]:
        for piece in body.chunks():
            if self._stop.is_set():
                raise AccessError("CANCELLED", "the search was given up")
            yield piece

    def _rows(self, folder: Folder, after: int) -> Iterator[_Row]:
        ranges = ((1, 2**32 - 1),) if self._args.uids is None else ranges_of(self._args.uids)
        view = self._target.view
        if view is not None:
            ranges = tuple((first, min(last, view.last_uid)) for first, last in ranges)
        return _rows(folder, ranges, after)


def _rows(folder: Folder, ranges: Sequence[UidRange], after: int) -> Iterator[_Row]:
    for first, last in ranges:
        cursor = max(after, first - 1)
        while cursor < last:
            rows = folder.rows(_COLUMNS, after_uid=cursor, last_uid=last, limit=_STEP)
            for cells in rows:
                yield _Row(*cast("tuple[int, int, tuple[str, ...], tuple[str, ...], int, bool]", cells))
            if len(rows) < _STEP:
                break
            cursor = cast("int", rows[-1][0])


def _lowered(words: Sequence[str] | None) -> frozenset[str]:
    return frozenset(word.lower() for word in words or ())


def _holds(words: Sequence[str], wanted: frozenset[str], unwanted: frozenset[str]) -> bool:
    if not wanted and not unwanted:
        return True
    there = _lowered(words)
    return wanted <= there and not unwanted & there
