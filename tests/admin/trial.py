"""The command on a configuration of its own, as an operator runs it."""

import atexit
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

PATHS: Final = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in ("shared", "."))


class Trial:
    """One configuration file and what belongs to it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = place / "etc" / "msgstore.toml"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "msgstore.admin.cli", "--config", str(self.config), *arguments]

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": PATHS},
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", stdin=stdin, code=code).stdout)

    def at_terminal(self, *arguments: str, answers: str) -> tuple[int, str]:
        """Run at a terminal; gives the exit code and what stood there, echo included."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["PYTHONPATH"] = PATHS
            os.execv(sys.executable, self.command(*arguments))  # noqa: S606 (only a child of pty.fork has a terminal)
        shown = b""
        given = answers.splitlines(keepends=True)
        try:
            while select.select([terminal], [], [], 15)[0]:
                shown += os.read(terminal, 4096)
                # Typed when it is asked for: a prompt without echo throws away what was typed before.
                if given and shown.rstrip(b" ").endswith((b":", b"?", b"]:")):
                    os.write(terminal, given.pop(0).encode())
        except OSError:
            # The other end of a terminal that is gone reads as EIO.
            pass
        finally:
            os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    def setup(self) -> "Trial":
        self.run(
            "setup",
            "alice@example.com",
            "--password-stdin",
            f"--data-dir={self.place}/mail",
            f"--run-dir={self.place}/run",
            stdin="secret\n",
        )
        with self.config.open("a", encoding="utf-8") as file:
            file.write('\n[auth]\nhash_profile = "testing"\n')
        return self

    def from_template(self) -> "Trial":
        """Be what ``setup`` gives; it is run once, for the password takes as long as a whole test."""
        made = _template()
        shutil.copytree(made.place, self.place, dirs_exist_ok=True)
        self.config.write_text(self.config.read_text().replace(str(made.place), str(self.place)))
        return self


@cache
def _template() -> Trial:
    place = tempfile.mkdtemp(prefix="msgstore-trial-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Trial(Path(place)).setup()
