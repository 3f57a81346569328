"""What every scenario may ask for."""

from tests.scenario.backends import backend

__all__ = ["backend"]  # fixtures
