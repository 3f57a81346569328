"""How a run leaves a block early: plain exceptions, which pass through every handler unchanged."""

__all__ = ["BreakLoop", "ReturnFromScript", "StopScript"]


class StopScript(Exception):
    """All processing ends. RFC 5228 §3.3."""


class ReturnFromScript(Exception):
    """This script ends, the one that includes it goes on. RFC 6609 §3.3."""


class BreakLoop(Exception):
    """A loop ends. RFC 5703 §3.2."""

    def __init__(self, name: str) -> None:
        """An empty name is the innermost loop."""
        super().__init__(name)
        self.name = name
