"""Passwords now; sealing and key wrapping come beside it.  PyNaCl's only door."""
