"""Scripts that went out are what a real Pigeonhole lists, and those it made active come in as they were."""

import getpass
import os
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from msgstore.exchange.maildir_target import write_maildir
from msgstore.exchange.script_source import read_scripts
from msgstore.exchange.script_target import ScriptsTarget
from msgstore.exchange.values import Failures
from msgstore.store.disk import Disk
from tests.exchange.room import ALICE, Silent, memory
from tests.scenario.harness import required

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(60)]

UID: Final = os.getuid() or 65534
GID: Final = os.getgid() or 65534
"""Dovecot does nothing for root."""

SCRIPT: Final = b'require "fileinto";\nfileinto "Work";\n'


def doveadm(place: Path, home: Path, *arguments: str, stdin: bytes = b"") -> list[str]:
    config = place / "dovecot.conf"
    config.write_text(f"""base_dir = {place}/run
log_path = /dev/stderr
mail_location = maildir:{home}
mail_uid = {UID}
mail_gid = {GID}
first_valid_uid = 0
first_valid_gid = 0
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
""")
    user = getpass.getuser()
    done = subprocess.run(
        ["doveadm", "-c", str(config), "sieve", *arguments],
        input=stdin,
        capture_output=True,
        check=True,
        timeout=30,
        env={**os.environ, "USER": user, "HOME": str(home)},
    )
    return sorted(done.stdout.decode().splitlines())


@pytest.fixture
def place() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="msgstore-scripts-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_pigeonhole_lists_what_went_out_and_what_it_activates_comes_in(place: Path) -> None:
    required("doveadm", "sieve-test")
    store = memory()
    store.create_mailbox(ALICE)
    for name in ("work", "größer & anders", "later"):
        store.scripts(ALICE).put(name, SCRIPT)
    store.scripts(ALICE).activate("work")
    home = place / "home"

    list(write_maildir(store, ALICE, (Disk(), str(home)), progress=Silent(), scripts=ScriptsTarget()))
    if os.getuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, UID, GID, follow_symlinks=False)
    listed = doveadm(place, home, "list")
    doveadm(place, home, "put", "theirs", stdin=b"keep;\n")
    doveadm(place, home, "activate", "theirs")
    failures = Failures()
    back = read_scripts(Disk(), str(home), failures=failures)

    assert [line.rstrip() for line in listed] == ["größer & anders", "later", "work ACTIVE"]
    assert failures.found == []
    assert {one.name: one.is_active for one in back} == {
        "größer & anders": False,
        "later": False,
        "theirs": True,
        "work": False,
    }
