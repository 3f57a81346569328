"""What an operator gives in a file or on standard input."""

import sys
from pathlib import Path
from typing import Final

import rich_click as click

from msgstore.model.scripts import SCRIPT_LIMIT_OCTETS, ScriptTooLarge

__all__ = ["STDIN", "read_octets", "read_script"]

STDIN: Final = "-"
"""In the place of a file."""


def read_octets(file: str) -> bytes:
    """Read a file, or standard input where it is ``-``.

    Raises:
        click.UsageError: there is no such file.
        OSError: it cannot be read.
    """
    if file == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise click.UsageError(f"there is no file {file}") from None
    except IsADirectoryError:
        raise click.UsageError(f"{file} is a directory") from None


def read_script(file: str) -> bytes:
    """Read a script like :func:`read_octets`.

    Raises:
        ScriptTooLarge: no store keeps such a script.
    """
    content = read_octets(file)
    if len(content) > SCRIPT_LIMIT_OCTETS:
        raise ScriptTooLarge
    return content
