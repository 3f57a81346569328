"""Clocks for tests."""

__all__ = ["HandClock"]


class HandClock:
    """Time that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now
