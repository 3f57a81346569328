"""What every test may ask for."""

from tests.postgres_room import database, postgres

__all__ = ["database", "postgres"]  # fixtures
