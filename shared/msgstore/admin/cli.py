"""The command, its groups and its last line of defence."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import rich_click as click

from msgstore.admin import demo, doctor, domains, mail, settings, users
from msgstore.admin.console import EX_SOFTWARE, EX_USAGE, Console, exit_code, pass_console
from msgstore.model.errors import MsgstoreError

__all__ = ["cli", "main"]


@click.group(cls=click.RichGroup, context_settings={"help_option_names": ["-h", "--help"]})
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


for group in (settings.commands, domains.commands, users.commands, mail.commands, doctor.commands, demo.commands):
    for command in group:
        cli.add_command(command)


def main() -> None:
    """Run the command of this process' arguments and end the process."""
    arguments, as_json = _without_json(sys.argv[1:])
    try:
        code = cli.main(args=arguments, prog_name="msgstore", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(EX_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(EX_SOFTWARE)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe left; nothing is wrong here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (MsgstoreError, OSError) as error:
        _complain(error, as_json=as_json)
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)


def _without_json(arguments: list[str]) -> tuple[list[str], bool]:
    """Let ``--json`` stand anywhere before ``--``: an operator adds it at the end of the line."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before = [argument for argument in arguments[:end] if argument != "--json"]
    as_json = len(before) != end
    return (["--json"] if as_json else []) + before + arguments[end:], as_json


def _complain(error: BaseException, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": type(error).__name__, "text": str(error)}, ensure_ascii=False), err=True)
        return
    for line in str(error).splitlines() or [type(error).__name__]:
        click.echo(f"msgstore: {line}", err=True)


if __name__ == "__main__":
    main()
