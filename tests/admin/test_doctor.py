"""What the doctor and the check of the configuration say of sending on, and of the certificate of ManageSieve."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from msgstore.admin.certificates import CertificateUnusable, read_certificate, shown_certificate
from msgstore.config.schema import ManageSieveSettings
from tests.admin.trial import Trial
from tests.delivery.smtp_server import SmtpServer
from tests.sieve_room import certificate, front, openssl

ALICE = "alice@example.com"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path).from_template()


def add(trial: Trial, text: str) -> None:
    with trial.config.open("a") as file:
        file.write(f"\n{text}\n")


def found(trial: Trial, what: str) -> tuple[str, str]:
    """Give what the doctor says of one thing; the daemons are down."""
    rows = {row["what"]: row for row in trial.json("doctor", code=75)}
    return rows[what]["state"], rows[what]["text"]


def keep_script(trial: Trial, name: str, text: str, *more: str) -> None:
    trial.run("sieve", "put", ALICE, name, "-", *more, stdin=text)


def test_where_nothing_is_sent_on_no_server_is_missed(trial: Trial) -> None:
    keep_script(trial, "main", "keep;", "--activate")
    keep_script(trial, "other", 'redirect "a@elsewhere.example";')
    (trial.place / "mail" / "example.com" / "forwards").write_text("info:alice\nme: alice@example.com, <alice>\n")

    assert found(trial, "outbound") == ("ok", "outbound.target is not set, and nothing needs it")
    assert trial.json("config", "check")["warnings"] == []


def test_scripts_and_forwards_that_nobody_sends_on_are_named(trial: Trial) -> None:
    keep_script(trial, "away", 'require "vacation"; if true { vacation "x"; redirect "a@b.example"; }', "--activate")
    domain = trial.place / "mail" / "example.com"
    (domain / "forwards").write_text("info: alice, sales@elsewhere.example\n")
    (domain / "user_forwards").mkdir()
    (domain / "user_forwards" / "alice").write_text("a@elsewhere.example\n")
    (domain / "config.toml").write_text('[forwards]\nboss = "b@elsewhere.example"\n')

    state, text = found(trial, "outbound")
    warnings = trial.json("config", "check")["warnings"]
    told = trial.run("config", "check")

    assert state == "warning"
    for one in (
        f"script away of {ALICE} (redirect, vacation)",
        "forward of info@example.com to sales@elsewhere.example",
        "forward of alice@example.com to a@elsewhere.example",
        "forward of boss@example.com to b@elsewhere.example",
    ):
        assert one in text
    assert warnings == [
        "outbound.target is not set, and is needed by forward of boss@example.com to b@elsewhere.example"
    ]
    assert "warning: outbound.target is not set" in told.stderr


def test_what_an_active_script_includes_counts_as_well(trial: Trial) -> None:
    keep_script(trial, "inner", 'require "enotify"; notify "mailto:a@b.example";')
    keep_script(trial, "main", 'require "include"; include "inner";', "--activate")

    assert f"script inner of {ALICE} (notify)" in found(trial, "outbound")[1]


def test_many_that_need_a_server_are_counted(trial: Trial) -> None:
    lines = "".join(f"a{number}: x@elsewhere.example\n" for number in range(8))
    (trial.place / "mail" / "example.com" / "forwards").write_text(lines)

    assert found(trial, "outbound")[1].endswith("; and 3 more")


def test_scripts_of_the_site_that_are_broken_or_missing_are_named(trial: Trial) -> None:
    broken, sending = trial.place / "broken.sieve", trial.place / "sending.sieve"
    broken.write_text("if if")
    sending.write_text('redirect "a@elsewhere.example";')
    add(trial, f'[sieve]\nbefore = ["{broken}", "{sending}", "/nowhere/x.sieve"]')

    warnings = trial.json("config", "check")["warnings"]

    assert warnings[0] == "/nowhere/x.sieve is not there"
    assert warnings[1].startswith("broken.sieve does not compile: 1:")
    assert warnings[2].endswith("script sending.sieve (redirect)")
    assert found(trial, "site scripts")[0] == "warning"


def test_scripts_that_are_switched_off_need_nothing(trial: Trial) -> None:
    keep_script(trial, "main", 'redirect "a@b.example";', "--activate")
    add(trial, "[sieve]\nenabled = false")

    assert found(trial, "outbound")[0] == "ok"


def test_the_server_that_sends_on_is_greeted_and_gets_no_mail(trial: Trial) -> None:
    server = SmtpServer()
    with server.at(str(trial.place / "s")) as target:
        add(trial, f'[outbound]\ntarget = "{target}"')
        up = found(trial, "outbound")
    down = found(trial, "outbound")

    assert up[0] == "ok"
    assert down[0] == "failed"
    assert server.taken == []
    assert not any(line.startswith("MAIL") for line in server.lines)


def test_a_certificate_that_lasts_is_fine_and_one_that_ends_soon_is_told(trial: Trial) -> None:
    for name, days in (("long", 90), ("short", 3)):
        (trial.place / name).mkdir()
        cert, key = certificate(trial.place / name, days=days)
        assert read_certificate(cert, key).days_left in (days - 1, days)
    add(trial, f'[managesieve]\nlisten = ["tcp:127.0.0.1:1"]\ntls_cert = "{cert}"\ntls_key = "{key}"')

    assert trial.json("config", "check")["warnings"][0].startswith(f"managesieve.tls_cert: {cert} ends in ")
    assert found(trial, "managesieve") == ("failed", "tcp:127.0.0.1:1: Connection refused; is accessd running?")


def ended(place: Path) -> tuple[str, str]:
    """Make a certificate of long ago."""
    key, request, cert = str(place / "k.pem"), str(place / "r.pem"), str(place / "c.pem")
    (place / "index").touch()
    (place / "ca.cnf").write_text(
        f"""[ca]
default_ca = own
[own]
database = {place}/index
new_certs_dir = {place}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""
    )
    new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x")
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
    signed = ("ca", "-batch", "-selfsign", "-config", str(place / "ca.cnf"), "-keyfile", key, "-in", request, *dates)
    for told in ((*new, "-keyout", key, "-out", request), (*signed, "-out", cert, "-notext")):
        subprocess.run([openssl(), *told], check=True, capture_output=True)
    return cert, key


def test_a_certificate_that_has_ended_cannot_be_read_or_has_another_key_is_told(trial: Trial) -> None:
    cert, key = ended(trial.place)
    other, _ = certificate(trial.place)

    with pytest.raises(CertificateUnusable, match="expired"):
        read_certificate(cert, key)
    with pytest.raises(CertificateUnusable, match="No such file"):
        read_certificate("/nowhere.pem", "")
    with pytest.raises(CertificateUnusable, match=r"(?i)key"):
        read_certificate(other, key)
    add(trial, f'[managesieve]\nlisten = ["tcp:127.0.0.1:1"]\ntls_cert = "{cert}"\ntls_key = "{key}"')
    assert "expired" in found(trial, "managesieve")[1]
    assert "expired" in trial.json("config", "check")["warnings"][0]


async def test_the_doctor_sees_which_certificate_a_server_shows(tmp_path: Path) -> None:
    trial = await asyncio.to_thread(Trial(tmp_path).from_template)
    (tmp_path / "new").mkdir()
    cert, key = certificate(tmp_path, days=90)
    settings = ManageSieveSettings(listen=("tcp:127.0.0.1:0",), tls_cert=cert, tls_key=key)
    async with front(tmp_path, settings) as served:
        listen = f"tcp:127.0.0.1:{served.port}"
        add(trial, f'[managesieve]\nlisten = ["{listen}"]\ntls_cert = "{cert}"\ntls_key = "{key}"')
        same = await asyncio.to_thread(found, trial, "managesieve")
        other, other_key = certificate(tmp_path / "new", days=90)
        for new, old in ((other, cert), (other_key, key)):
            await asyncio.to_thread(Path(new).replace, old)
        changed = await asyncio.to_thread(found, trial, "managesieve")

    assert same[0] == "ok"
    assert " more days" in same[1]
    assert changed[0] == "warning"
    assert "reload accessd" in changed[1]


async def test_a_server_without_tls_shows_no_certificate(tmp_path: Path) -> None:
    async with front(tmp_path) as served:
        said = await asyncio.to_thread(shown_certificate, f"tcp:127.0.0.1:{served.port}", seconds=5.0)

    assert said == ('OK "ready"', None)


def test_a_server_that_does_not_speak_managesieve_is_told(tmp_path: Path) -> None:
    with SmtpServer().at(str(tmp_path / "s")) as target, pytest.raises(OSError, match=r"timed out|speak"):
        shown_certificate(target, seconds=0.5)
