"""The shipped units: linted, and run under a real systemd in namespaces of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest

from tests.scenario.harness import ROOT, required, required_root

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

UNITS: Final = ROOT / "systemd"
INSIDE: Final = Path(__file__).with_name("systemd_inside.sh")
CLIENT: Final = Path(__file__).with_name("systemd_client.py")


@pytest.mark.parametrize("name", ["lmtpd.service", "accessd.service", "msgstore-retention.service"])
def test_exposure_of_each_service_is_at_most_one(name: str) -> None:
    required("systemd-analyze")

    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=10", "--no-pager", str(UNITS / name)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-300:]


def test_the_units_verify_without_a_word(tmp_path: Path) -> None:
    required("systemd-analyze")
    for unit in (*UNITS.glob("*.*et"), *UNITS.glob("*.timer")):
        shutil.copy(unit, tmp_path)
    for unit in UNITS.glob("*.service"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/msgstore/bin/", "/bin/true #"))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )

    ours = [line for line in done.stderr.splitlines() if any(name in line for name in ("lmtpd", "accessd", "msgstore"))]
    assert ours == []


def copy_packages(place: Path) -> None:
    """Put what the daemons need where the sandbox can read it."""
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if not line or line[0] in " #":
            continue
        name = line.split("==")[0]
        for file in distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = place / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    for source in ("lmtpd", "accessd", "shared/msgstore"):
        shutil.copytree(ROOT / source, place / Path(source).name, ignore=shutil.ignore_patterns("__pycache__"))


def test_both_units_serve_under_a_real_systemd() -> None:
    required("unshare", "systemctl")
    required_root()
    system = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print(sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    if system.stdout.strip() != str(tuple(sys.version_info[:2])):
        pytest.skip("the system's Python is another version, so the installed packages do not fit it")
    place = Path(tempfile.mkdtemp(prefix="msgstore-systemd-"))
    place.chmod(0o755)
    try:
        copy_packages(place / "site")
        shutil.copytree(UNITS, place / "units")
        shutil.copy(CLIENT, place / "client.py")
        subprocess.run(["chmod", "-R", "a+rX", str(place)], check=True)

        done = subprocess.run(
            ["/bin/sh", str(INSIDE), str(place)],
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
        )

        report = place / "report.json"
        assert report.exists(), done.stdout[-6000:] + done.stderr[-3000:]
        failures = {what: text for what, text in json.loads(report.read_text()).items() if text != "ok"}
        assert not failures, json.dumps(failures, indent=1) + done.stdout[-6000:]
    finally:
        shutil.rmtree(place)
