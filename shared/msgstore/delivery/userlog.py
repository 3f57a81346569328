"""Where users find what was wrong with their scripts: a small file beside their mail."""

import os
import time
from collections.abc import Callable
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.model.errors import StoreError
from msgstore.telemetry.log import escape, logger

__all__ = ["FILE_NAME", "UserLog"]

log = logger(__name__)

FILE_NAME: Final = "msgstore-sieve.log"
_OLDER: Final = "msgstore-sieve.log.1"


class UserLog:
    """Appends lines to the log of a mailbox; safe in every thread, and among processes.

    ``control`` is :meth:`msgstore.model.interfaces.MessageStore.control_directory`.
    """

    def __init__(self, control: Callable[[MailboxId], int | None], *, limit_octets: int) -> None:
        self._control = control
        self._limit_octets = limit_octets

    def tell(self, mailbox: MailboxId, delivery_id: str, text: str, *, at_seconds: float) -> None:
        """Write one line; trouble is logged for the operator and nothing else: mail matters more."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_seconds))
        line = f"{when} {delivery_id} {escape(text)}\n".encode("utf-8", "replace")
        try:
            directory = self._control(mailbox)
            if directory is None:
                return
            try:
                self._append(directory, line)
            finally:
                os.close(directory)
        except (OSError, StoreError) as error:
            log.info("sieve.not_told", mailbox=str(mailbox), why=str(error))

    def _append(self, directory: int, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(FILE_NAME, flags, 0o600, dir_fd=directory)
        try:
            os.write(descriptor, line)
            is_full = os.fstat(descriptor).st_size > self._limit_octets
        finally:
            os.close(descriptor)
        if is_full:
            # Two processes may do this at once; then the second one finds nothing or a short file.
            os.replace(FILE_NAME, _OLDER, src_dir_fd=directory, dst_dir_fd=directory)
