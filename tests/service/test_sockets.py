import os
import socket
import stat
from pathlib import Path

import pytest

from msgstore.model.errors import ConfigError
from msgstore.service.activation import passed_sockets
from msgstore.service.listen import bind
from msgstore.service.notify import Notifier


def test_passed_sockets_are_taken_once_and_the_variables_go_away() -> None:
    one, two = socket.socketpair()
    first = os.dup2(one.fileno(), 200)
    os.dup2(two.fileno(), 201)
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "lmtp", "KEEP": "x"}

    passed = passed_sockets(environ, pid=7, first_descriptor=first)
    again = passed_sockets(environ, pid=7, first_descriptor=first)

    assert [each.name for each in passed] == ["lmtp", "unknown"]
    assert environ == {"KEEP": "x"}
    assert again == ()
    for each in (*(each.socket for each in passed), one, two):
        each.close()


def test_sockets_of_another_process_are_left_alone() -> None:
    assert passed_sockets({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, pid=7) == ()


def test_a_bound_socket_has_its_mode_and_goes_away_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "s"

    listener = bind(f"unix:{path}", mode=0o620, group=str(os.getgid()))
    mode = stat.S_IMODE(path.stat().st_mode)
    listener.close()

    assert mode == 0o620
    assert not path.exists()


def test_a_live_socket_is_not_taken_and_a_dead_one_is(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    first = bind(address)

    with pytest.raises(ConfigError, match="another program"):
        bind(address)
    first.socket.close()
    second = bind(address)
    first.close()

    assert (tmp_path / "s").exists()
    second.close()


@pytest.mark.parametrize(
    "address", ["tcp::25", "tcp:localhost:25", "tcp:127.0.0.1:x", "unix:", "x", "tcp:127.0.0.1:70000"]
)
def test_an_address_that_is_not_literal_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        bind(address)


def test_a_file_in_the_way_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mail")

    with pytest.raises(ConfigError):
        bind(f"unix:{tmp_path}/s")

    assert (tmp_path / "s").read_text() == "mail"


def test_tcp_listens_at_the_address_given() -> None:
    listener = bind("tcp:127.0.0.1:0")

    host, _ = listener.socket.getsockname()

    assert host == "127.0.0.1"
    listener.close()


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_service_manager_hears_what_is_said(tmp_path: Path, *, is_abstract: bool) -> None:
    name = f"@msgstore-test-{os.getpid()}" if is_abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})

        notifier.ready("fine\nand well")
        notifier.watchdog()
        notifier.stopping()

        assert [manager.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=fine and well", b"WATCHDOG=1", b"STOPPING=1"]
        assert notifier.watchdog_seconds == 3.0


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, pid=2)

    notifier.ready()

    assert notifier.watchdog_seconds is None
