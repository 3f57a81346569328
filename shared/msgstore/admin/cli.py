"""The command, its groups and its last line of defence."""

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import rich_click as click
from click import ClickException, UsageError

from msgstore.admin.console import EX_SOFTWARE, EX_USAGE, Console, exit_code, pass_console
from msgstore.model.errors import MsgstoreError

__all__ = ["VERBS", "Verbs", "cli", "main"]

EX_ABORTED: Final = 130
"""As a shell reports an end by Ctrl-C."""


VERBS: Final = {
    "backup": "backups",
    "config": "settings",
    "demo": "demo",
    "doctor": "doctor",
    "domain": "domains",
    "export": "exchange",
    "folder": "mail",
    "import": "exchange",
    "key": "keymail",
    "message": "mail",
    "quota": "quotas",
    "restore": "backups",
    "retention": "retention",
    "send-test": "mail",
    "setup": "settings",
    "sieve": "scripts",
    "store": "conversion",
    "user": "users",
    "verify": "backups",
}
"""Each verb or noun, and the module of this package that has it among its ``commands``."""


class Verbs(click.RichGroup):
    """Loads a module when its verb is run or shown: all of them together would take longer than most verbs do."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every verb, loaded or not."""
        return sorted({*super().list_commands(ctx), *VERBS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a verb; None where there is none of that name."""
        if cmd_name in VERBS and cmd_name not in self.commands:
            module = import_module(f"msgstore.admin.{VERBS[cmd_name]}")
            for command in cast("tuple[click.Command, ...]", module.commands):
                self.add_command(command)
        return super().get_command(ctx, cmd_name)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file. Without it: $MSGSTORE_CONFIG, then /etc/msgstore/msgstore.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs. Every verb knows it too.")
@click.pass_context
def cli(context: click.Context, config: Path | None, *, as_json: bool) -> None:
    """Keep the mail of a server suite: domains, users, folders, messages, checks."""
    context.obj = Console(config, as_json=as_json)


@cli.command("version")
@pass_console
def show_version(console: Console) -> None:
    """Show the version of msgstore and of Python."""
    # No other verb needs this, and it takes longer to load than some of them take.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        own = version("msgstore")
    except PackageNotFoundError:
        own = "unknown"
    console.done(f"msgstore {own}, Python {platform.python_version()}", msgstore=own, python=platform.python_version())


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_console
def completion(console: Console, shell: str) -> None:
    """Print completion code for a shell.

    For bash, put `eval "$(msgstore completion bash)"` into ~/.bashrc.
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 (a tenth of the start-up time)

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    source = kind(cast("Any", cli), {}, "msgstore", "_MSGSTORE_COMPLETE").source()
    console.done(source, shell=shell, source=source)


def main() -> None:
    """Run the command of this process' arguments and end the process."""
    arguments, as_json = _without_json(sys.argv[1:])
    try:
        code = cli.main(args=arguments, prog_name="msgstore", standalone_mode=False)
    except SystemExit as end:
        # 2 is click's word for a group without a verb; it has shown the verbs.
        sys.exit(EX_USAGE if end.code == 2 else end.code)
    except click.Abort:
        sys.exit(_complain("Aborted", "nothing was done", EX_ABORTED, as_json=as_json))
    except BrokenPipeError:
        # The reader of a pipe left; nothing is wrong here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ClickException as error:
        code = EX_USAGE if isinstance(error, UsageError) else EX_SOFTWARE
        sys.exit(_complain(type(error).__name__, _sentence(error), code, as_json=as_json))
    # The outermost frame of a command: an operator reads a sentence, never a trace.
    except Exception as error:  # noqa: BLE001
        sys.exit(_complain(type(error).__name__, _reason(error), exit_code(error), as_json=as_json))
    sys.exit(code if isinstance(code, int) else 0)


def _without_json(arguments: list[str]) -> tuple[list[str], bool]:
    """Let ``--json`` stand anywhere before ``--``: an operator adds it at the end of the line."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before = [argument for argument in arguments[:end] if argument != "--json"]
    as_json = len(before) != end
    return (["--json"] if as_json else []) + before + arguments[end:], as_json


def _complain(kind: str, text: str, code: int, *, as_json: bool) -> int:
    """Say what went wrong, in JSON where the result would have stood, and give the exit code."""
    if as_json:
        click.echo(json.dumps({"error": kind, "text": text, "code": code}))
        return code
    for line in text.splitlines() or [kind]:
        click.echo(f"msgstore: {line}", err=True)
    return code


def _sentence(error: ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, UsageError) else None
    if context is None or type(error) is UsageError:
        return text
    return f"{text.rstrip('.')}; see `{context.command_path} --help`"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, OSError | MsgstoreError):
        return str(error)
    return f"this is a fault of msgstore itself: {type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
