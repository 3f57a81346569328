"""User flags of a folder: the letters a to z and the names ``dovecot-keywords`` gives them.  Pure.

Lines ``<n> <name>``, n from 0 to 25.  There are 26 letters in a folder; see ``extra`` for keywords beyond them.
"""

from collections.abc import Iterable

__all__ = ["format_keywords", "letters_for", "names_for", "parse_keywords"]


def parse_keywords(content: bytes) -> dict[str, str]:
    """Read the file into letter and name; lines that are not understood are passed over."""
    known: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").split("\n"):
        number, _, name = line.partition(" ")
        if number.isascii() and number.isdigit() and len(number) < 3 and int(number) < 26 and name:
            known.setdefault(chr(ord("a") + int(number)), name)
    return known


def format_keywords(known: dict[str, str]) -> bytes:
    """Write the file."""
    return "".join(f"{ord(letter) - ord('a')} {name}\n" for letter, name in sorted(known.items())).encode()


def names_for(letters: str, known: dict[str, str]) -> frozenset[str]:
    """Give the keywords that letters stand for; letters without a name stand for none."""
    return frozenset(known[letter] for letter in letters if letter in known)


def letters_for(
    keywords: Iterable[str], known: dict[str, str], *, may_name: bool = True
) -> tuple[str, dict[str, str], frozenset[str]]:
    """Give the letters for keywords, the names with new ones added, and the keywords that got no letter.

    Keywords are compared without case, as RFC 9051 §2.3.2 wants.  Without ``may_name`` no keyword gets a new letter.
    """
    named = dict(known)
    letter_of = {name.lower(): letter for letter, name in known.items()}
    free = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in known] if may_name else []
    letters: set[str] = set()
    left: set[str] = set()
    for keyword in sorted(keywords):
        if keyword.lower() not in letter_of and free:
            letter_of[keyword.lower()] = free.pop(0)
            named[letter_of[keyword.lower()]] = keyword
        if keyword.lower() in letter_of:
            letters.add(letter_of[keyword.lower()])
        else:
            left.add(keyword)
    return "".join(sorted(letters)), named, frozenset(left)
