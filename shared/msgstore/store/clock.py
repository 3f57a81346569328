"""The machine's own clock."""

import time

__all__ = ["SystemClock"]


class SystemClock:
    """Satisfies :class:`msgstore.model.interfaces.Clock` with the clocks of the kernel."""

    def time(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
