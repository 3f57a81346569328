"""Scenarios over every backend: a module that uses ``backend`` runs once for each, its houses keeping mail there."""

from collections.abc import Callable, Iterator

import pytest

from tests.postgres_room import Postgres
from tests.scenario import harness

__all__ = ["backend"]


@pytest.fixture(scope="module", params=["maildir", "sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The backend of all houses of the module for this run; a house on PostgreSQL has a database of its own."""
    settings: Callable[[], str] = lambda: ""  # noqa: E731
    if request.param == "sqlite":
        settings = lambda: '[store]\nbackend = "sqlite"\n'  # noqa: E731
    elif request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        template: str = request.getfixturevalue("mail_template")

        def settings() -> str:
            url = server.dsn(server.fresh_database(template=template))
            return f'[store]\nbackend = "postgresql"\ndsn = "{url}"\n'

    before, harness.store_settings = harness.store_settings, settings
    yield request.param
    harness.store_settings = before
