"""What several test files here stand on."""

from collections.abc import Iterator

import pytest

from tests.store.object_room import object_store


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of an object store."""
    with object_store() as port:
        yield port
