"""An Outbound that collects what would be sent, and a counter that collects what was counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgstore.model.errors import MsgstoreError
from msgstore.model.interfaces import Submission

__all__ = ["CollectingOutbound", "Counted"]


@dataclass
class CollectingOutbound:
    """Keeps submissions; refuses with ``error`` where it is set."""

    sent: list[tuple[Submission, bytes]] = field(default_factory=list[tuple[Submission, bytes]])
    error: MsgstoreError | None = None
    asked: int = 0
    largest_piece: int = 0

    def submit(self, submission: Submission, message: Iterable[bytes]) -> None:
        """Take a message, or refuse it."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        pieces = list(message)
        # It begins anew each time.
        assert b"".join(message) == b"".join(pieces)
        self.largest_piece = max(map(len, pieces))
        self.sent.append((submission, b"".join(pieces)))

    def recipients(self) -> list[list[str]]:
        """Give the addresses of each submission."""
        return [[str(one.address) for one in submission.recipients] for submission, _ in self.sent]


class Counted:
    """Keeps the status of each delivery, and the events."""

    def __init__(self) -> None:
        self.deliveries: list[str] = []
        self.events: list[str] = []

    def count_delivery(self, *, domain: str, status: str, seconds: float, octets: int) -> None:
        assert domain == "example.com"
        assert seconds >= 0
        assert octets >= 0
        self.deliveries.append(status)

    def count_event(self, event: str, amount: float = 1) -> None:
        assert amount == 1
        self.events.append(event)
