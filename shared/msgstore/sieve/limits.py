"""Every bound of the Sieve engine, in one value."""

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a script and its run may use; a limit that is passed is an error of the script, never a crash."""

    script_octets: int = 64 * 1024
    """Checked before anything reads the script."""

    nesting: int = 32
    """Blocks in blocks, and test lists in test lists, counted apart. RFC 5228 §2.10.7 wants 15."""

    diagnostics: int = 100
    """Findings that are told about one script; the rest is not."""

    variables: int = 128
    """Distinct variables of one script, and as many global ones. RFC 5229 §6."""

    variable_value_characters: int = 4000
    """A longer value is cut between two characters. RFC 5229 §6."""

    match_variables: int = 99
    """The highest ``${n}``; RFC 5229 §6 wants 9."""

    expansion_characters: int = 256 * 1024
    """Of one string after its variables are put in."""

    actions: int = 32
    redirects: int = 5
    include_depth: int = 10
    includes: int = 255
    operations: int = 1_000_000
    """Commands, tests, values and, in lots of 64, characters that a run looks at; includes and the scripts before and
    after draw on the same budget."""

    header_octets: int = 1024 * 1024
    """Of an edited header."""

    field_octets: int = 32 * 1024
    """Of a value that addheader adds; RFC 5293 §4 wants 998."""

    body_octets: int = 8 * 1024 * 1024
    """Of a message that tests of its body look at; what is beyond counts as absent."""

    body_text_characters: int = 1024 * 1024
    """Of one part, decoded."""

    parts: int = 1000
    vacation_seconds_min: int = 0
    """RFC 6131 §2 permits 0."""

    vacation_days_min: int = 1
    vacation_days_max: int = 90
    """RFC 5230 §4.1 wants more than 7 and advises more than 30."""

    vacation_days_default: int = 7
    duplicate_seconds_max: int = 90 * 24 * 3600
    duplicate_seconds_default: int = 7 * 24 * 3600
    """RFC 7352 §3.3."""

    notify_characters: int = 4000
    """Of the text of a notification; more is cut."""


DEFAULT_LIMITS: Final = Limits()
"""What an engine uses unless told otherwise."""
