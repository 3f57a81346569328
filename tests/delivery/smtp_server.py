"""A small SMTP server in a thread, for the tests of whatever sends: it says what it is told to and keeps everything."""

import contextlib
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO


@dataclass
class Taken:
    """One message with its envelope as written on the wire."""

    mail: str
    rcpts: list[str]
    octets: bytes
    """As sent, dots still doubled, without the end."""

    @property
    def content(self) -> bytes:
        """The message."""
        text = self.octets.replace(b"\r\n..", b"\r\n.")
        return text[1:] if text.startswith(b"..") else text


@dataclass
class SmtpServer:
    """Answers by verb; ``replies`` maps the beginning of a line to what is said instead."""

    keywords: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 1000000", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
    greeting: str = "220 mx.example.net ESMTP"
    replies: dict[str, str] = field(default_factory=dict[str, str])
    end_replies: list[str] = field(default_factory=list[str])
    """What is said to the ends of messages, in order; ``250 2.0.0 Queued`` when there is no more of it."""

    rcpt_limit: int = 100
    hangs_at: str | None = None
    """The beginning of a line after which nothing is said any more."""

    drips: bool = False
    """Whether the greeting comes octet by octet and never ends."""

    taken: list[Taken] = field(default_factory=list[Taken])
    lines: list[str] = field(default_factory=list[str])
    connections: int = 0
    most_at_once: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _now: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def at(self, place: str | None = None) -> Generator[str]:
        """Serve at a Unix path or at a free port; give the target."""
        family = socket.AF_INET if place is None else socket.AF_UNIX
        with socket.socket(family) as listening:
            listening.bind(("127.0.0.1", 0) if place is None else place)
            listening.listen(64)
            threads: list[threading.Thread] = []
            accepting = threading.Thread(target=self._accept, args=(listening, threads))
            accepting.start()
            target = f"unix:{place}" if place else f"tcp:127.0.0.1:{listening.getsockname()[1]}"
            try:
                yield target
            finally:
                self._stopped.set()
                listening.shutdown(socket.SHUT_RDWR)
                accepting.join()
                for thread in threads:
                    thread.join()

    def _accept(self, listening: socket.socket, threads: list[threading.Thread]) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with self._guard:
            self.connections += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            with connection, contextlib.suppress(OSError):
                self._talk(connection)
        finally:
            with self._guard:
                self._now -= 1

    def _talk(self, connection: socket.socket) -> None:
        if self.drips:
            while not self._stopped.wait(0.02):
                connection.sendall(b"2")
            return
        connection.sendall(self.greeting.encode() + b"\r\n")
        with connection.makefile("rb") as stream:
            mail, rcpts = "", list[str]()
            while line := stream.readline().decode("utf-8").rstrip("\r\n"):
                with self._guard:
                    self.lines.append(line)
                if self.hangs_at is not None and line.startswith(self.hangs_at):
                    self._stopped.wait()
                    return
                answer = self._answer(line, len(rcpts))
                connection.sendall(answer.encode() + b"\r\n")
                if answer.startswith("221"):
                    return
                if line.startswith("MAIL"):
                    mail, rcpts = line, []
                elif line.startswith("RCPT") and answer.startswith("250"):
                    rcpts.append(line)
                elif answer.startswith("354"):
                    connection.sendall(self._message(stream, mail, rcpts).encode() + b"\r\n")

    def _answer(self, line: str, rcpts: int) -> str:
        said = next((text for start, text in self.replies.items() if line.startswith(start)), None)
        if said is not None:
            return said
        if line.startswith("EHLO"):
            words = ["mx.example.net", *self.keywords]
            return "".join(f"250-{word}\r\n" for word in words[:-1]) + f"250 {words[-1]}"
        if line.startswith("RCPT") and rcpts >= self.rcpt_limit:
            return "452 4.5.3 Too many recipients"
        return {"DATA": "354 Go on", "QUIT": "221 Bye"}.get(line, "250 2.1.0 Ok")

    def _message(self, stream: BinaryIO, mail: str, rcpts: list[str]) -> str:
        octets = b""
        while (piece := stream.readline()) != b".\r\n":
            if not piece:
                raise ConnectionResetError
            octets += piece
        with self._guard:
            end = self.end_replies.pop(0) if self.end_replies else "250 2.0.0 Queued"
            if end.startswith("2"):
                self.taken.append(Taken(mail, rcpts, octets))
        return end


def socket_in(tmp_path: Path) -> str:
    """Give a path for a socket."""
    return str(tmp_path / "smtp.sock")
