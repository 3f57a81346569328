import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from msgstore.service.channel import FrameKind, FrameReader, WorkerChannel

PROGRAM = """
import asyncio, os, socket, sys
from msgstore.service.lifecycle import run
from msgstore.service.listen import bind
from msgstore.service.notify import Notifier
from msgstore.service.workers import PoolSettings, supervise
from msgstore.telemetry.metrics import MetricsHub, Metrics

path, workers, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
listener = bind("unix:" + path)
page = bind("unix:" + path + ".page")

async def serve(channel, life):
    metrics = Metrics(service="test")
    loop = asyncio.get_running_loop()
    async def answer(reader, writer):
        metrics.count_event("hello")
        channel.send_snapshot(metrics.snapshot())
        writer.write(b"%d\\n" % os.getpid())
        line = await reader.readline()
        if line == b"die\\n":
            os._exit(1)
        writer.close()
    server = await asyncio.start_unix_server(answer, sock=listener.socket)
    loop.add_reader(channel.socket, life.stop)
    channel.ready()
    await life.stopped()
    server.close()

def work(channel):
    if mode == "beats":
        return int(channel.beat_seconds)
    if mode == "misconfigured":
        return os.EX_CONFIG
    return run(lambda life: serve(channel, life))

code = supervise(work, PoolSettings(workers=workers, grace_seconds=5, first_delay_seconds=0.01),
                 notifier=Notifier.from_environment(), hub=MetricsHub(), page_socket=page.socket)
listener.close()
page.close()
sys.exit(code)
"""


def started(
    path: Path, workers: int, mode: str = "serve", **more: str
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(f"{path}.notify")
    manager.settimeout(15)
    environ = {**os.environ, "NOTIFY_SOCKET": f"{path}.notify", "PYTHONPATH": os.pathsep.join(sys.path), **more}
    arguments = [sys.executable, "-c", PROGRAM, str(path), str(workers), mode]
    return subprocess.Popen(arguments, env=environ, stderr=subprocess.PIPE if mode == "beats" else None), manager


def asked(path: Path, word: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(str(path))
        pid = client.recv(100)
        client.sendall(word)
        while client.recv(100):
            pass
        return pid


def fetched(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(f"{path}.page")
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        found = b""
        while octets := client.recv(1 << 16):
            found += octets
        return found


def test_workers_are_ready_restarted_counted_and_ended(tmp_path: Path) -> None:
    path = tmp_path / "s"
    program, manager = started(path, 2)
    ready = manager.recv(100)

    first = asked(path, b"die\n")
    second = asked(path, b"bye\n")
    page = fetched(path)
    program.send_signal(signal.SIGTERM)
    stopping = manager.recv(100)

    assert ready.startswith(b"READY=1")
    assert first != second
    assert b'msgstore_test_events_total{event="hello"} 2.0' in page
    assert stopping.startswith(b"STOPPING=1")
    assert program.wait(15) == 0
    assert not path.exists()
    manager.close()


def test_a_configuration_that_no_worker_can_use_ends_the_whole(tmp_path: Path) -> None:
    program, manager = started(tmp_path / "s", 1, "misconfigured")

    assert program.wait(15) == os.EX_CONFIG
    manager.close()


@pytest.mark.parametrize(("watchdog_seconds", "beat_seconds"), [(None, 10), (234, 10), (21, 7)])
def test_a_worker_beats_three_times_in_the_time_the_watchdog_gives(
    tmp_path: Path, watchdog_seconds: int | None, beat_seconds: int
) -> None:
    watchdog = {} if watchdog_seconds is None else {"WATCHDOG_USEC": str(watchdog_seconds * 1_000_000)}
    program, manager = started(tmp_path / "s", 1, "beats", **watchdog)

    # The worker ends with the number as its code again and again; the log names it, and one is enough.
    assert program.stderr is not None
    found = next(line for line in program.stderr if b"worker_died" in line)
    program.terminate()
    program.stderr.close()
    program.wait(15)

    assert f"code={beat_seconds} ".encode() in found.replace(b"\n", b" ")
    manager.close()


def test_frames_are_the_same_at_every_cut() -> None:
    mine, theirs = socket.socketpair()
    channel = WorkerChannel(theirs)
    channel.ready()
    channel.send_snapshot(b"abc")
    channel.beat()
    wire = mine.recv(1000)

    for cut in range(len(wire) + 1):
        reader = FrameReader()
        found = [*reader.feed(wire[:cut]), *reader.feed(wire[cut:])]

        assert found == [(FrameKind.READY, b""), (FrameKind.SNAPSHOT, b"abc"), (FrameKind.BEAT, b"")]
    mine.close()
    channel.beat()
    theirs.close()


def test_what_is_no_frame_is_refused() -> None:
    for wrong in (b"X\0\0\0\0", b"S\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match=r"frame|valid"):
            list(FrameReader().feed(wrong))
