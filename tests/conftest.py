"""What every test may ask for."""

from tests.postgres_room import database, postgres
from tests.sql_room import mail_database, mail_template

__all__ = ["database", "mail_database", "mail_template", "postgres"]  # fixtures
