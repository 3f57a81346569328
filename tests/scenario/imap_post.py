"""The reference IMAP server in front of our daemons, and clients of both."""

import contextlib
import imaplib
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from msgstore.access.sync import AccessClient, Session
from tests.scenario.harness import DOMAIN, PASSWORD, PATHS, ROOT, House, end, free_port, house, wait_until

__all__ = ["Post", "access", "imap_server", "logged_in", "mail", "post_office"]


@contextmanager
def imap_server(ours: House) -> Generator[int]:
    """Run the reference IMAP server for the time of the block; gives its port."""
    port = free_port()
    server = str(ROOT / "tests" / "reference" / "imap_server.py")
    command = [sys.executable, server, str(ours.access), "127.0.0.1", str(port)]
    with (ours.place / "imap.log").open("ab") as log:
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PATHS}, stderr=log)
    try:
        wait_until(lambda: greets(port) or child.poll() is not None, what="the IMAP server")
        assert child.poll() is None, (ours.place / "imap.log").read_text()
        yield port
    finally:
        end(child)


def greets(port: int) -> bool:
    """Whether an IMAP server answers there."""
    with contextlib.suppress(OSError), imaplib.IMAP4("127.0.0.1", port, timeout=10):
        return True
    return False


@dataclass(frozen=True, slots=True)
class Post:
    """Our daemons with an IMAP server in front."""

    ours: House
    port: int


@contextmanager
def post_office(*users: str, daemons: tuple[str, ...] = ("accessd",)) -> Generator[Post]:
    """Run accessd, or what else is named, and the IMAP server for the time of the block."""
    with house(*users, only=daemons) as ours, imap_server(ours) as port:
        yield Post(ours, port)


@contextmanager
def logged_in(post: Post, user: str, folder: str | None = "INBOX") -> Generator[imaplib.IMAP4]:
    """Log a user in with the client of the standard library."""
    client = imaplib.IMAP4("127.0.0.1", post.port, timeout=30)
    try:
        client.login(f"{user}@{DOMAIN}", PASSWORD)
        if folder is not None:
            assert client.select(folder)[0] == "OK"
        yield client
    finally:
        client.shutdown()


@contextmanager
def access(ours: House, user: str) -> Generator[Session]:
    """Log a user in at the access socket."""
    with AccessClient.connect(str(ours.access)) as client:
        yield client.login(f"{user}@{DOMAIN}", PASSWORD, service="imap")


def mail(token: str) -> bytes:
    """Make a message that can be told from others."""
    return f"From: a@example.net\r\nSubject: {token}\r\n\r\nToken {token}.\r\n".encode()
