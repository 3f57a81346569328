"""``msgstore folder``, ``msgstore message`` and ``msgstore send-test``."""

import smtplib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime, make_msgid
from typing import Final

import rich_click as click

from msgstore.admin.console import Console, Row, pass_console
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.errors import MailboxNotFound
from msgstore.model.folder import FolderName
from msgstore.model.interfaces import MessageStore
from msgstore.model.message import as_uid

__all__ = ["commands", "send_over_lmtp"]

_REPLY_SECONDS: Final = 300.0
"""Longest wait for one reply; the server answers after its own delivery deadline, 240 seconds, at the latest."""

FOLDER: Final = click.option("--folder", default="INBOX", show_default=True, help="Levels are separated by /.")


@click.group()
def folder() -> None:
    """Look at folders."""


@click.group()
def message() -> None:
    """Look at messages."""


@contextmanager
def _mailbox(console: Console, address: str) -> Generator[tuple[MessageStore, MailboxId]]:
    mailbox = console.directory.find(parse_address(address)).user.mailbox
    with console.store() as store:
        if not store.mailbox_exists(mailbox):
            raise MailboxNotFound(f"{mailbox} has no mail yet")
        yield store, mailbox


@folder.command("list")
@click.argument("address")
@pass_console
def list_folders(console: Console, address: str) -> None:
    """List a user's folders with counts."""
    with _mailbox(console, address) as (store, mailbox):
        rows: list[Row] = []
        for info in store.folders(mailbox).list():
            status = store.folder(mailbox, info.name).stat()
            rows.append(
                {
                    "folder": str(info.name),
                    "messages": status.messages,
                    "unseen": status.unseen,
                    "octets": status.octets,
                    "special_use": None if info.special_use is None else info.special_use.value,
                }
            )
    console.table(rows, ("folder", "messages", "unseen", "octets", "special_use"))


@message.command("list")
@click.argument("address")
@FOLDER
@pass_console
def list_messages(console: Console, address: str, folder: str) -> None:
    """List the messages of a folder."""
    with _mailbox(console, address) as (store, mailbox):
        rows: list[Row] = [
            {
                "uid": info.uid,
                "octets": info.octets,
                "date": _moment(info.internal_date),
                "flags": " ".join(sorted(info.flags | info.keywords)),
                "uidl": info.uidl,
                "sealed": info.sealed,
            }
            for info in store.folder(mailbox, FolderName.parse(folder)).list()
        ]
    console.table(rows, ("uid", "octets", "date", "flags", "sealed"))


@message.command("show")
@click.argument("address")
@click.argument("uid", type=int)
@FOLDER
@click.option("--password-stdin", is_flag=True, help="Open a sealed one with the user's password, a line of input.")
@click.option("--recovery-stdin", is_flag=True, help="Open a sealed one with the recovery key, a line of input.")
@pass_console
def show_message(
    console: Console, address: str, uid: int, folder: str, *, password_stdin: bool, recovery_stdin: bool
) -> None:
    """Write a message as it is stored to standard output; with --json as text.

    A sealed one is opened where a password or a recovery key is given; a terminal is asked for it.
    """
    try:
        wanted = as_uid(uid)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with (
        _mailbox(console, address) as (store, mailbox),
        store.folder(mailbox, FolderName.parse(folder)).retrieve(wanted) as body,
    ):
        opens = password_stdin or recovery_stdin or (sys.stdout.isatty() and sys.stdin.isatty())
        if opens and body.facts is not None and body.facts.sealed:
            # Most verbs about mail open nothing, and start sooner without this.
            from msgstore.admin.sealing import open_message  # noqa: PLC0415

            said = {"password_stdin": password_stdin, "recovery_stdin": recovery_stdin}
            chunks = iter((open_message(console, address, body, **said),))
        else:
            chunks = body.chunks()
        if console.as_json:
            text = b"".join(chunks).decode("utf-8", "replace")
            console.done(text, mailbox=str(mailbox), folder=folder, uid=uid, text=text)
            return
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


@message.command("removed")
@click.argument("address")
@pass_console
def list_removed(console: Console, address: str) -> None:
    """List expunged messages that can still be brought back."""
    with _mailbox(console, address) as (store, mailbox):
        rows: list[Row] = [
            {"removed": _moment(one.removed_at), "folder": str(one.folder), "octets": one.octets, "key": one.key}
            for one in store.removed(mailbox)
        ]
    console.table(rows, ("removed", "folder", "octets", "key"))


@message.command()
@click.argument("address")
@click.argument("keys", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that can be brought back.")
@pass_console
def undelete(console: Console, address: str, keys: tuple[str, ...], *, everything: bool) -> None:
    """Bring expunged messages back into their folders; KEYS are those that `message removed` shows."""
    if bool(keys) == everything:
        raise click.UsageError("name keys, or say --all")
    with _mailbox(console, address) as (store, mailbox):
        wanted = [one for one in store.removed(mailbox) if everything or one.key in keys]
        back = store.undelete(mailbox, wanted)
    console.done(f"{back} messages are back", messages=back)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@click.command("send-test")
@click.argument("address")
@click.option("--from", "reverse_path", default="", help="Reverse-path; empty is the null path.")
@pass_console
def send_test(console: Console, address: str, reverse_path: str) -> None:
    """Hand a small message over to the running lmtpd and show its reply."""
    parse_address(address)
    if reverse_path:
        parse_address(reverse_path)
    text = send_over_lmtp(console.settings.lmtp.listen[0], [address], reverse_path=reverse_path)[address]
    code = int(text[:3])
    console.done(f"{address}: {text}", address=address, code=code, text=text[4:])
    if code >= 300:
        sys.exit(75 if code < 500 else 69)


def send_over_lmtp(listen: str, addresses: list[str], *, reverse_path: str = "") -> dict[str, str]:
    """Send a test message over LMTP; gives the reply for each address.

    Raises:
        OSError: nobody listens there or the connection broke.
    """
    scheme, _, place = listen.partition(":")
    host, _, port = place.rpartition(":")
    # Without a name of its own, smtplib would ask the network for one.
    client = smtplib.LMTP("", 0, "localhost", timeout=_REPLY_SECONDS)
    client.command_encoding = "utf-8"
    replies: dict[str, str] = {}
    try:
        _expect(client.connect(place) if scheme == "unix" else client.connect(host.strip("[]"), int(port)), 220)
        client.ehlo_or_helo_if_needed()
        is_ascii = all(text.isascii() for text in (reverse_path, *addresses))
        _expect(client.docmd(f"MAIL FROM:<{reverse_path}>{'' if is_ascii else ' SMTPUTF8'}"))
        for address in addresses:
            code, text = client.docmd(f"RCPT TO:<{address}>")
            if code != 250:
                replies[address] = f"{code} {text.decode('utf-8', 'replace')}"
        accepted = [address for address in addresses if address not in replies]
        if accepted:
            _expect(client.docmd("DATA"), 354)
            client.send(_test_message(accepted))
            for address in accepted:
                code, text = client.getreply()
                replies[address] = f"{code} {text.decode('utf-8', 'replace')}"
        client.quit()
    except OSError as error:
        why = error.strerror or str(error)
        raise ConnectionError(f"lmtpd at {listen}: {why}; is it running?") from error
    finally:
        client.close()
    return replies


def _expect(reply: tuple[int, bytes], code: int = 250) -> None:
    if reply[0] != code:
        raise ConnectionError(f"lmtpd answered {reply[0]} {reply[1].decode('utf-8', 'replace')}")


def _test_message(addresses: list[str]) -> bytes:
    lines = [
        "From: msgstore <postmaster@localhost>",
        f"To: {', '.join(addresses)}",
        "Subject: A test from msgstore",
        f"Date: {format_datetime(datetime.now(UTC))}",
        f"Message-ID: {make_msgid(domain='msgstore.invalid')}",
        "",
        "This message was sent by `msgstore send-test`.",
        ".",
        "",
    ]
    return "\r\n".join(lines).encode()


commands: Final = (folder, message, send_test)
