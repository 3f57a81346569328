"""The sender rewriting of this site: its secrets read from their file, again when it changes."""

import os
import threading
import time
from typing import Final

from msgstore.auth.files import FileStamp, open_directory, read_small, stamp_of
from msgstore.config.schema import OutboundSettings
from msgstore.delivery.srs import Srs, SrsFault, parse_secrets
from msgstore.model.address import Address
from msgstore.model.errors import DirectoryUnavailable, InvalidAddress, UserNotFound
from msgstore.model.interfaces import Clock
from msgstore.telemetry.log import logger

__all__ = ["Rewriter"]

log = logger(__name__)

_LOOK_SECONDS: Final = 1.0


class Rewriter:
    """Rewrites and restores; safe in every thread.  Restoring works while ``srs`` is off, for what was sent before."""

    def __init__(self, settings: OutboundSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._guard = threading.Lock()
        self._srs: Srs | None = None
        self._stamp: FileStamp | None = None
        self._looked_at = float("-inf")

    def is_ours(self, address: Address) -> bool:
        """Whether an address has the look of one that was rewritten here."""
        settings = self._settings
        if not settings.srs_domain or not settings.srs_secret_file:
            return False
        return Srs(domain=settings.srs_domain, secrets=(b"-",)).is_ours(address)

    def rewrite(self, reverse_path: Address) -> Address:
        """Give the reverse-path to send with; the same one where rewriting is off.

        Raises:
            DirectoryUnavailable: the secrets cannot be read.
        """
        if self._settings.srs == "off":
            return reverse_path
        try:
            return self._scheme().rewrite(reverse_path, at_seconds=self._clock.time())
        except InvalidAddress:
            return reverse_path

    def restore(self, address: Address) -> Address:
        """Give the address that was rewritten to this one.

        Raises:
            UserNotFound: it was not made here, or is too old.
            DirectoryUnavailable: the secrets cannot be read.
        """
        try:
            return self._scheme().restore(address, at_seconds=self._clock.time())
        except SrsFault as fault:
            log.info("srs.refused", address=str(address), why=str(fault))
            raise UserNotFound(f"{address} {fault}") from fault

    def _scheme(self) -> Srs:
        with self._guard:
            now = time.monotonic()
            if self._srs is not None and now - self._looked_at < _LOOK_SECONDS:
                return self._srs
            try:
                self._srs = self._read()
            except (OSError, ValueError) as error:
                raise DirectoryUnavailable(f"outbound.srs_secret_file: {error}") from error
            self._looked_at = now
            return self._srs

    def _read(self) -> Srs:
        path, _, name = self._settings.srs_secret_file.rpartition("/")
        directory = open_directory(path or "/")
        try:
            if self._srs is not None and self._stamp is not None and stamp_of(directory, name) == self._stamp:
                return self._srs
            found = read_small(directory, name)
        finally:
            os.close(directory)
        if found is None:
            raise ValueError(f"{self._settings.srs_secret_file} is missing")
        self._stamp = found[1] if found[1].is_settled else None
        settings = self._settings
        return Srs(domain=settings.srs_domain, secrets=parse_secrets(found[0]), days=settings.srs_days)
