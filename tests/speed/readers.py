"""What reads a large mailbox: accessd, and Dovecot's POP3 and IMAP, each over a mailbox with the same mail."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgstore.crypto.password import PROFILES, hash_password
from tests.speed.servers import ROOT, connects, running

PASSWORD: Final = "secret"
LINE: Final = b"The quick brown fox jumps over the lazy dog, and so on until column 72..\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A running server."""

    pid: int
    path: str = ""
    """Of the access socket."""

    pop3_port: int = 0
    imap_port: int = 0


def fill(mailbox: Path, messages: int, octets: int) -> None:
    """Make a Maildir of read messages with sizes in their names, one in ten flagged."""
    for inner in ("tmp", "new", "cur"):
        (mailbox / inner).mkdir(parents=True)
    head = b"From: a@example.net\r\nTo: u@example.com\r\nSubject: report %09d\r\nMessage-ID: <%d@example.net>\r\n\r\n"
    text = LINE * (octets // len(LINE))
    cur = os.open(mailbox / "cur", os.O_RDONLY)
    try:
        for number in range(messages):
            content = head % (number, number) + text
            flags = "FS" if number % 10 == 0 else "S"
            unique = f"{1_700_000_000 + number // 10}.M{number % 1_000_000:06d}P12Q{number}.mx"
            name = f"{unique},S={len(content)},W={len(content)}:2,{flags}"
            descriptor = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600, dir_fd=cur)
            os.write(descriptor, content)
            os.close(descriptor)
    finally:
        os.close(cur)


@contextmanager
def accessd(mail: Path) -> Generator[Reader]:
    """Run accessd over ``mail/example.com/users/*``."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-bench-"))
    users = sorted(path.name for path in (mail / "example.com" / "users").iterdir())
    hashed = hash_password(bytearray(PASSWORD.encode()), PROFILES["testing"])
    (mail / "example.com" / "passwd").write_text("".join(f"{name}:{hashed}:{name}\n" for name in users))
    config = place / "msgstore.toml"
    config.write_text(
        f'data_dir = "{mail}"\n[access]\nlisten = "unix:{place}/sock"\nhints_dir = "{place}/hints"\n'
        'max_connections = 2000\n[auth]\nhash_profile = "testing"\n[log]\nlevel = "warning"\n'
    )
    paths = os.pathsep.join((str(ROOT / "shared"), str(ROOT)))
    child = subprocess.Popen(
        [sys.executable, "-m", "accessd", "--config", str(config)], env={**os.environ, "PYTHONPATH": paths}
    )
    with running("accessd", child, place, is_up=lambda: connects(socket.AF_UNIX, str(place / "sock"))):
        yield Reader(pid=child.pid, path=str(place / "sock"))


@contextmanager
def dovecot(mail: Path) -> Generator[Reader]:
    """Run Dovecot's POP3 and IMAP over ``mail/<user>``."""
    place = Path(tempfile.mkdtemp(prefix="msgstore-bench-"))
    place.chmod(0o755)
    pop3, imap = _free_port(), _free_port()
    mail.parent.chmod(0o755)
    for path in (mail, *mail.rglob("*")):
        shutil.chown(path, "mail", "mail")
    config = place / "dovecot.conf"
    config.write_text(
        f"""protocols = pop3 imap
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{mail}/%n
first_valid_uid = 0
first_valid_gid = 0
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={place}/home/%n
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
    )
    child = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(config)])
    listeners = [("127.0.0.1", port) for port in (pop3, imap)]
    with running("dovecot", child, place, is_up=lambda: all(connects(socket.AF_INET, one) for one in listeners)):
        yield Reader(pid=child.pid, pop3_port=pop3, imap_port=imap)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
