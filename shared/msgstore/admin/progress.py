"""Progress of long work on standard error, where that is a terminal."""

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from click import progressbar

from msgstore.admin.console import Console

__all__ = ["Bar"]


class Bar:
    """Progress on standard error, where that is a terminal; closes what it shows at its end."""

    def __init__(self, console: Console) -> None:
        self._is_shown = not console.as_json and sys.stderr.isatty()
        self._step: Callable[[], object] = lambda: None
        self._end: Callable[[], object] = lambda: None

    def begin(self, label: str, total: int | None) -> None:
        """End the bar before and show one for a folder."""
        self._end()
        if not self._is_shown:
            return
        # Each step is an item of an iterable: that is how a bar without an end is moved.
        bar = progressbar(length=total or 0, label=label, file=sys.stderr, show_pos=True)
        bar.__enter__()
        self._step = lambda: bar.update(1)
        self._end = lambda: bar.__exit__(None, None, None)

    def step(self) -> None:
        """One more is done."""
        self._step()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
