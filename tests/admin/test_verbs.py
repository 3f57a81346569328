import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import msgstore.admin
from msgstore.admin.cli import VERBS
from msgstore.admin.console import exit_code
from msgstore.model.errors import DirectoryUnavailable
from tests.admin.trial import PATHS, Trial

LOADED = """
import sys
from msgstore.admin.cli import cli
cli.main(sys.argv[1:], standalone_mode=False)
print(*sys.modules, sep="\\n")
"""


def said(code: str, *arguments: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": PATHS, **environment},
    )
    return done.stdout.splitlines()


def test_every_verb_of_every_module_is_named_with_its_module() -> None:
    names = [path.stem for path in Path(msgstore.admin.__file__).parent.glob("*.py") if path.stem != "__init__"]

    found = {
        command.name: name
        for name in names
        for command in getattr(import_module(f"msgstore.admin.{name}"), "commands", ())
    }

    assert found == VERBS


@pytest.mark.parametrize(
    "arguments", [["version"], ["user", "list"], ["folder", "list", "alice@example.com"]], ids=" ".join
)
def test_a_verb_without_sieve_loads_neither_its_engine_nor_what_daemons_count_with(
    tmp_path: Path, arguments: list[str]
) -> None:
    config = str(Trial(tmp_path).from_template().config)

    modules = set(said(LOADED, "--config", config, *arguments))

    strange = ("msgstore.sieve", "msgstore.scripts", "msgstore.delivery", "sievelib", "re2", "prometheus_client")
    assert "msgstore.admin.console" in modules
    assert not modules & set(strange)
    assert ("msgstore.store" in modules) == (arguments[0] == "folder")


def test_the_names_of_verbs_are_completed() -> None:
    code = "import sys; sys.argv = ['msgstore']; from msgstore.admin.cli import main; main()"

    words = said(code, _MSGSTORE_COMPLETE="bash_complete", COMP_WORDS="msgstore s", COMP_CWORD="1")

    assert words == ["plain,send-test", "plain,setup", "plain,sieve", "plain,store"]


def test_what_may_not_be_looked_at_is_no_matter_of_trying_again() -> None:
    refused = DirectoryUnavailable("domain example.com: Permission denied")
    refused.__cause__ = PermissionError()

    assert exit_code(refused) == 77
    assert exit_code(DirectoryUnavailable("domain example.com: Input/output error")) == 75
