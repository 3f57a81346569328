"""An LMTP load: connections that each send message after message, pipelined, and count every reply.

One process and one selector with prebuilt octets, so that the server is what is measured.
"""

import argparse
import json
import selectors
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LINE: Final = b"The quick brown fox jumps over the lazy dog, and so on until column 72.\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send."""

    path: str
    connections: int
    messages: int
    octets: int
    recipients: int
    users: int = 100

    def arguments(self) -> list[tuple[str, str | int]]:
        """Give what the command line of this module takes."""
        names = ("path", "connections", "messages", "octets", "recipients")
        return [(name, getattr(self, name)) for name in names]


@dataclass(slots=True)
class Connection:
    """One connection and where it stands."""

    socket: socket.socket
    expected: int = 0
    """Replies that are still to come."""

    body_sent: bool = False
    pending: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytes = b""
    began: float = 0.0


def body_of(octets: int) -> bytes:
    """Build a message of about ``octets`` octets with its end, one line in thirty with a leading dot."""
    head = (
        b"Received: from mx.example.net (mx.example.net [192.0.2.7])\r\n\tby mail.example.com with ESMTPS id 4F0A2;\r\n"
        b"\tTue, 3 Mar 2026 10:11:12 +0000\r\nFrom: A Sender <sender@example.net>\r\nTo: A User <user@example.com>\r\n"
        b"Subject: Weekly report for the third quarter\r\nDate: Tue, 3 Mar 2026 10:11:12 +0000\r\n\r\n"
    )
    block = LINE * 29 + b"..a line that begins with a dot\r\n"
    room = max(0, octets - len(head))
    return head + block * (room // len(block)) + LINE * (room % len(block) // len(LINE)) + b".\r\n"


class Load:
    """Runs one plan against one server."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.body = body_of(plan.octets)
        self.selector = selectors.DefaultSelector()
        self.begun = 0
        self.latencies: list[float] = []
        self.bad: list[bytes] = []

    def run(self) -> dict[str, float | int | list[str]]:
        """Send everything; give deliveries per second, latencies in ms and replies that were not 250."""
        connections = [self._open() for _ in range(self.plan.connections)]
        began = time.perf_counter()
        for connection in connections:
            self._next(connection)
        while self.selector.get_map():
            for key, mask in self.selector.select(30):
                connection = key.data
                if mask & selectors.EVENT_WRITE:
                    self._write(connection)
                if mask & selectors.EVENT_READ:
                    self._read(connection)
        seconds = time.perf_counter() - began
        ranked = sorted(self.latencies)
        return {
            "seconds": seconds,
            "deliveries": self.plan.messages * self.plan.recipients,
            "per_second": self.plan.messages * self.plan.recipients / seconds,
            "p50_ms": ranked[len(ranked) // 2] * 1000,
            "p99_ms": ranked[int(len(ranked) * 0.99)] * 1000,
            "bad": [reply.decode("ascii", "replace") for reply in self.bad[:5]],
        }

    def _open(self) -> Connection:
        made = socket.socket(socket.AF_UNIX)
        made.connect(self.plan.path)
        with made.makefile("rwb") as stream:
            assert stream.readline().startswith(b"220"), "no greeting"
            stream.write(b"LHLO load.example.net\r\n")
            stream.flush()
            while stream.readline()[3:4] == b"-":
                pass
        made.setblocking(False)
        return Connection(made)

    def _next(self, connection: Connection) -> None:
        if self.begun >= self.plan.messages:
            if connection.socket.fileno() in self.selector.get_map():
                self.selector.unregister(connection.socket)
            connection.socket.close()
            return
        first = self.begun * self.plan.recipients
        self.begun += 1
        users = [(first + index) % self.plan.users for index in range(self.plan.recipients)]
        lines = [b"MAIL FROM:<sender@example.net>\r\n"]
        lines += [b"RCPT TO:<u%d@example.com>\r\n" % user for user in users]
        connection.expected = len(lines) + 1
        connection.body_sent = False
        connection.began = time.perf_counter()
        connection.pending = memoryview(b"".join((*lines, b"DATA\r\n")))
        self._write(connection)

    def _write(self, connection: Connection) -> None:
        try:
            while connection.pending:
                connection.pending = connection.pending[connection.socket.send(connection.pending) :]
        except BlockingIOError:
            pass
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.pending else 0)
        if connection.socket.fileno() not in self.selector.get_map():
            self.selector.register(connection.socket, wanted, connection)
        elif self.selector.get_key(connection.socket).events != wanted:
            self.selector.modify(connection.socket, wanted, connection)

    def _read(self, connection: Connection) -> None:
        chunk = connection.socket.recv(65536)
        assert chunk, "the server closed the connection"
        *lines, connection.received = (connection.received + chunk).split(b"\n")
        for line in lines:
            connection.expected -= 1
            if not line.startswith((b"250", b"354")):
                self.bad.append(line)
        if connection.expected > 0:
            return
        if connection.body_sent:
            self.latencies.append(time.perf_counter() - connection.began)
            self._next(connection)
            return
        connection.body_sent = True
        connection.expected = self.plan.recipients
        connection.pending = memoryview(self.body)
        self._write(connection)


def tree_cpu_seconds(pid: int) -> float:
    """Give the CPU time of a process, its living descendants and those it has reaped."""
    ticks, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        ticks += sum(int(value) for value in fields[11:15])
        waiting += [int(child) for child in children]
    return ticks / 100


def tree_resident_octets(pid: int) -> dict[int, int]:
    """Give the resident memory of a process and its living descendants."""
    found: dict[int, int] = {}
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            found[current] = int(Path(f"/proc/{current}/statm").read_text().split()[1]) * 4096
            children = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        waiting += [int(child) for child in children]
    return found


def main() -> None:
    """Run one plan from the command line and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (("path", str), ("connections", int), ("messages", int), ("octets", int), ("recipients", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--users", type=int, default=100)
    plan = Plan(**vars(parser.parse_args()))
    print(json.dumps(Load(plan).run()))


if __name__ == "__main__":
    main()
