"""Whether a message says that no person sent it.  Pure, linear."""

from msgstore.mime.parameters import VALUE_LIMIT_OCTETS, parse_structured

__all__ = ["says_automatic"]


def says_automatic(value: bytes) -> bool:
    """Whether a value of Auto-Submitted says anything but "no", comments and parameters aside.

    A blank value says nothing; what cannot be read counts as automatic, for an answer too few ends no loop too late.

    RFC 3834 §5.
    """
    found = parse_structured(value[:VALUE_LIMIT_OCTETS])
    return bool(value.strip()) and (found is None or found.value != "no")
