"""What a relay is told of addresses before it takes mail for them."""

from pathlib import Path
from typing import cast

import pytest

from tests.accessd.mailroom import mailroom

FORWARDS = "sales:bob@example.org\ntwo:alice@example.org,bob@example.org\naway:x@far.example\nalice:bob@example.org\n"


@pytest.mark.parametrize(
    ("address", "exists", "mailbox", "forwards"),
    [
        ("alice@example.org", True, "alice@example.org", ("bob@example.org",)),
        ("sales@example.org", True, None, ("bob@example.org",)),
        ("two@example.org", True, None, ("alice@example.org", "bob@example.org")),
        # Nothing here takes mail for elsewhere: the address exists, and its mail waits.
        ("away@example.org", True, None, None),
        ("nobody@example.org", False, None, None),
    ],
)
async def test_an_address_that_only_forwards_exists(
    tmp_path: Path, address: str, mailbox: str | None, forwards: tuple[str, ...] | None, *, exists: bool
) -> None:
    async with mailroom(tmp_path, "memory") as box:
        (tmp_path / "house" / "example.org" / "forwards").write_text(FORWARDS)

        found = cast("dict[str, object]", await box.session.client.call("auth.lookup", address=address))

    assert (found["domain_is_local"], found["user_exists"]) == (True, exists)
    assert (found.get("mailbox"), found.get("forwards")) == (mailbox, None if forwards is None else list(forwards))
