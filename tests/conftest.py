"""What every test may ask for."""

from tests.postgres_room import database, postgres
from tests.sql_room import each_url, mail_database, mail_template

__all__ = ["database", "each_url", "mail_database", "mail_template", "postgres"]  # fixtures
