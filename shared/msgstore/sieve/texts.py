"""Strings of a script turned into constants or templates.  RFC 5229 §3."""

import re
from typing import Final

from msgstore.sieve.values import Reference, Template, Text
from msgstore.sieve.vocabulary import Vocabulary

__all__ = ["is_variable_name", "template"]

_REFERENCE: Final = re.compile(
    r"\$\{((?:[A-Za-z_][A-Za-z0-9_]*+\.(?:[A-Za-z0-9_]++\.)*+)?)([A-Za-z_][A-Za-z0-9_]*|[0-9]+)\}"
)
_NAMESPACED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z0-9_.-]+)\}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_variable_name(text: str) -> bool:
    """Whether a variable without a namespace can have this name."""
    return _IDENTIFIER.fullmatch(text) is not None


def template(text: str, vocabulary: Vocabulary, match_variables: int) -> Text:
    """Find the variables in a text.

    Raises:
        ValueError: one is of an unknown namespace, or a match variable beyond those that are kept.
    """
    if "${" not in text:
        return text
    parts: list[str | Reference] = []
    at = 0
    while True:
        found = _next(text, at)
        if found is None:
            break
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(_reference(found[1], found[2], vocabulary, match_variables))
        at = found.end()
    if not parts:
        return text
    if at < len(text):
        parts.append(text[at:])
    return Template(tuple(parts), text)


def _next(text: str, at: int) -> "re.Match[str] | None":
    plain, spaced = _REFERENCE.search(text, at), _NAMESPACED.search(text, at)
    if plain is None or (spaced is not None and spaced.start() < plain.start()):
        return spaced
    return plain


def _reference(namespace: str, name: str, vocabulary: Vocabulary, match_variables: int) -> Reference:
    namespace, name = namespace.lower(), name.lower()
    if not namespace:
        if not name[0].isdigit():
            return Reference("", name)
        digits = name.lstrip("0") or "0"
        if len(digits) > 6 or int(digits) > match_variables:
            raise ValueError(f"there is no match variable ${{{name[:20]}}}: the last one is ${{{match_variables}}}")
        return Reference("", digits, int(digits))
    space, _, middle = namespace.partition(".")
    rest = middle + name
    if space not in vocabulary.namespaces:
        raise ValueError(f"there is no namespace {space!r} of variables")
    if not vocabulary.namespaces[space].is_name(rest):
        raise ValueError(f"{rest!r} is no variable of the namespace {space!r}")
    return Reference(space, rest)
