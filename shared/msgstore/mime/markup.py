"""The text of an HTML page, for searching.  Pure, linear, within a cap.

Python's own parser takes the square of the time on pages made for it: 32 KiB of ``<a`` cost 15 s (measured with 3.11).
Here whatever has no end reaches to the end of the page, so nothing is looked at twice.
"""

import html
import re
from typing import Final

__all__ = ["MARKUP_LIMIT", "text_of_markup"]

MARKUP_LIMIT: Final = 128 * 1024
"""Characters of a page that are looked at."""

_MARKUP: Final = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style|template|noscript)\b[^>]*(?:>.*?(?:</\1\b[^>]*(?:>|\Z)|\Z)|\Z)"
    r"|</?([a-z][a-z0-9]*)[^>]*(?:>|\Z)"
    r"|<[!?][^>]*(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY: Final = re.compile(
    r"&(?:#[0-9]{1,7}(?![0-9])|#[xX][0-9A-Fa-f]{1,6}(?![0-9A-Fa-f])|[A-Za-z][A-Za-z0-9]{1,31});?"
)
_INLINE: Final = re.compile(
    r"a|abbr|b|bd[io]|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr",
    re.IGNORECASE,
)
"""Elements that may stand inside of a word; all others part words."""


def text_of_markup(page: str) -> str:
    """Give what a reader of the page sees, roughly: no tags, no scripts, entities resolved."""
    bare = _MARKUP.sub(_replacement, page[:MARKUP_LIMIT])
    return _ENTITY.sub(lambda found: html.unescape(found[0]), bare)


def _replacement(found: "re.Match[str]") -> str:
    name = found[2]
    return "" if name is not None and _INLINE.fullmatch(name) else "\n"
