import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from msgstore.config.loader import settings_from
from msgstore.model.errors import ConfigError
from msgstore.wiring import build_access, build_delivery, require_data_dir

ROOT = Path(__file__).parents[1]


def ended(program: str, tmp_path: Path, text: str) -> tuple[int, str]:
    config = tmp_path / "msgstore.toml"
    config.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", program, "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=18,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("program", ["lmtpd", "accessd"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('data_dir = "{place}/missing"', "data_dir: {place}/missing: No such file or directory"),
        ('data_dir = "{place}/msgstore.toml"', "data_dir: {place}/msgstore.toml: Not a directory"),
        ('data_dir = "{place}"\ndomains_dir = "{place}/no"', "domains_dir: {place}/no: No such file or directory"),
        ('data_dir = "{place}"\npostmaster = "nobody"', "postmaster: must be an address with a domain"),
        ('data_dir = "{place}"\ndefault_domain = "a b"', "default_domain: is not a domain name"),
        (
            'data_dir = "{place}"\n[metrics]\n{program} = "unix:{place}/no/s"',
            "cannot be bound: No such file or directory",
        ),
    ],
)
def test_a_daemon_that_cannot_work_says_why_and_ends_with_78(
    tmp_path: Path, program: str, text: str, fault: str
) -> None:
    sockets = f'\n[lmtp]\nlisten = ["unix:{tmp_path}/l"]\n[access]\nlisten = "unix:{tmp_path}/a"\n'
    filled = text.replace("{place}", str(tmp_path)).replace("{program}", program)

    code, told = ended(program, tmp_path, filled + sockets)

    assert code == os.EX_CONFIG, told
    assert fault.replace("{place}", str(tmp_path)) in told
    assert "Traceback" not in told


def test_a_port_that_another_program_has_ends_lmtpd_with_78(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"tcp:127.0.0.1:{other.getsockname()[1]}"

        code, told = ended("lmtpd", tmp_path, f'data_dir = "{tmp_path}"\n[lmtp]\nlisten = ["{listen}"]\n')

    assert code == os.EX_CONFIG
    assert told == f"lmtpd: {listen}: cannot be bound: Address already in use\n"


def test_a_data_directory_is_not_needed_where_nothing_is_kept(tmp_path: Path) -> None:
    require_data_dir(settings_from({"data_dir": str(tmp_path / "missing"), "store": {"backend": "memory"}}))


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_a_data_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.parents[0].chmod(0o755)
    tmp_path.chmod(0o755)
    os.seteuid(4001)

    try:
        with pytest.raises(ConfigError, match="data_dir"):
            require_data_dir(settings_from({"data_dir": str(tmp_path)}))
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed")
def test_root_keeps_no_mail_where_another_user_does(tmp_path: Path) -> None:
    os.chown(tmp_path, 4001, 4001)

    with pytest.raises(ConfigError, match="belongs to uid 4001"):
        require_data_dir(settings_from({"data_dir": str(tmp_path)}))


def test_a_domain_hosted_after_the_start_has_its_series(tmp_path: Path) -> None:
    settings = settings_from({"data_dir": str(tmp_path)})
    for parts in (build_delivery(settings), build_access(settings)):
        (tmp_path / "new.example").mkdir(exist_ok=True)
        parts.directory.domains.forget()

        told = parts.snapshot()
        parts.close()

        assert b"new.example" in told


def test_what_was_counted_is_told_while_the_domains_cannot_be_listed(tmp_path: Path) -> None:
    parts = build_delivery(settings_from({"data_dir": str(tmp_path)}))
    tmp_path.rmdir()
    tmp_path.write_text("")
    parts.directory.domains.forget()

    told = parts.snapshot()
    parts.close()

    assert b"msgstore_deliveries" in told
