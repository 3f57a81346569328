"""An object store for tests: moto's server as a process of its own, and a server between it and its clients."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal
from uuid import uuid4

from msgstore.store.sql.objects import S3Settings

Trouble = Literal["503", "403", "hang", "cut"]

KEY, SECRET = "AKIDTESTS", "a secret that is in no text"
PAGE_NAMES: Final = "4"
"""Names in one page of a listing, so that few make several."""

_REFUSALS: Final = {"503": (503, "SlowDown"), "403": (403, "AccessDenied")}


@contextlib.contextmanager
def object_store() -> Generator[int]:
    """Run moto's server; give its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": PAGE_NAMES},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        lines = server.stderr
        assert lines is not None
        try:
            found = next(match for line in lines if (match := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
            reading = threading.Thread(target=lambda: list(lines))
            reading.start()
            yield int(found[1])
        finally:
            server.terminate()
            server.wait(10)
        reading.join()


def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Speak to a server without a client; give status and answer."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        # Whoever signs nothing may see nothing; whoever signs anything may see all.
        scope = f"Credential={KEY}/20200101/us-east-1/s3/aws4_request"
        connection.request(method, path, body, {"Authorization": f"AWS4-HMAC-SHA256 {scope}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def new_bucket(port: int) -> str:
    """Make a bucket that nobody else uses."""
    bucket = f"mail-{uuid4().hex}"
    assert ask(port, "PUT", f"/{bucket}")[0] == 200
    return bucket


def settings_for(port: int, bucket: str, *, retries: int = 1, timeout_seconds: float = 10.0) -> S3Settings:
    """Settings for a server on this machine; little patience."""
    return S3Settings(
        bucket=bucket,
        prefix="some/where",
        endpoint=f"http://127.0.0.1:{port}",
        region="eu-central-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        timeout_seconds=timeout_seconds,
        retries=retries,
        retry_seconds=5,
    )


def _no_trouble(line: str, number: int) -> Trouble | None:
    del line, number
    return None


@dataclass
class Between:
    """Hands requests on to an object store, and makes trouble where it is told to."""

    target: int = 0
    trouble: Callable[[str, int], Trouble | None] = _no_trouble
    """By method and path, and how many such requests came before."""

    lines: list[str] = field(default_factory=list[str])
    authorizations: list[str] = field(default_factory=list[str])
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def serving(self) -> Generator[int]:
        """Serve; give the port."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = False
            serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            serving.start()
            try:
                yield int(server.server_address[1])
            finally:
                self._ended.set()
                server.shutdown()
                serving.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        line = f"{handler.command} {handler.path}"
        trouble = self.trouble(line, self.lines.count(line))
        self.lines.append(line)
        self.authorizations.append(handler.headers.get("Authorization", ""))
        # One request for one connection: nobody waits for the next one at the end of a test.
        handler.close_connection = True
        if trouble == "hang":
            self._ended.wait()
        elif trouble in _REFUSALS:
            status, code = _REFUSALS[trouble]
            self._send(handler, status, {}, f"<Error><Code>{code}</Code></Error>".encode())
        else:
            with contextlib.closing(HTTPConnection("127.0.0.1", self.target, timeout=10)) as connection:
                headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
                connection.request(handler.command, handler.path, body, headers)
                found = connection.getresponse()
                self._send(handler, found.status, _kept(found), found.read(), cut=trouble == "cut")

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers, "Connection": "close"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(body[: len(body) // 2] if cut else body)


def _kept(answer: HTTPResponse) -> dict[str, str]:
    """The header fields to hand on; a HEAD says how long its body would be."""
    return {name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "server", "date")}
