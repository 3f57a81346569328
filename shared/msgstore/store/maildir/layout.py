"""Where a mailbox lies: base path, template, subdirectory.  Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msgstore.model.address import MailboxId
from msgstore.store.directories import Place

__all__ = ["Layout"]

_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the mailboxes of one domain are laid out; ``base_path/expand(path_template)/maildir_subdir``.

    Raises:
        ValueError: a part cannot name a directory, or all users would share one.
    """

    base_path: str = "users"
    """Below the domain's directory unless absolute; empty means that directory itself."""

    path_template: str = "{localpart}"
    """Knows ``{localpart}``, ``{domain}`` and ``{email}``; empty means ``{localpart}``."""

    maildir_subdir: str = ""
    """Directory inside the mailbox that is the Maildir; empty means the mailbox itself."""

    def __post_init__(self) -> None:
        template = self.path_template or "{localpart}"
        variables = set(_VARIABLE.findall(template))
        if not variables <= {"localpart", "domain", "email"} or not variables & {"localpart", "email"}:
            raise ValueError(f"path_template {template!r} must hold {{localpart}} or {{email}} and nothing unknown")
        for part in (*_parts(self.base_path), *_parts(template), *_parts(self.maildir_subdir)):
            _check(part)

    def mailbox_place(self, data_dir: str, mailbox: MailboxId) -> Place:
        """Give the directory that holds everything of one mailbox."""
        return _mailbox_place(self, data_dir, mailbox)

    def maildir_place(self, data_dir: str, mailbox: MailboxId) -> Place:
        """Give the directory that holds ``new``, ``cur`` and ``tmp`` of INBOX."""
        return _maildir_place(self, data_dir, mailbox)

    def expanded(self, data_dir: str, mailbox: MailboxId) -> Place:
        """Put the names of a mailbox into the template."""
        # The parts of a MailboxId are safe components; they are put in once and never looked at again for variables.
        values = {"localpart": mailbox.local_part, "domain": mailbox.domain, "email": str(mailbox)}
        template = self.path_template or "{localpart}"
        own = tuple(_VARIABLE.sub(lambda found: values[found[1]], part) for part in _parts(template))
        for part in own:
            _check(part)
        if self.base_path.startswith("/"):
            return "/" + "/".join(_parts(self.base_path)), own
        return data_dir, (mailbox.domain, *_parts(self.base_path), *own)


# Asked several times for each message that is delivered or read.
@lru_cache(maxsize=4096)
def _mailbox_place(layout: Layout, data_dir: str, mailbox: MailboxId) -> Place:
    return layout.expanded(data_dir, mailbox)


@lru_cache(maxsize=4096)
def _maildir_place(layout: Layout, data_dir: str, mailbox: MailboxId) -> Place:
    root, components = layout.expanded(data_dir, mailbox)
    return root, (*components, *_parts(layout.maildir_subdir))


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _check(part: str) -> None:
    if part in (".", "..") or any(character < " " or character == "\x7f" for character in part):
        raise ValueError(f"{part!r} cannot be a directory of a mailbox")
    if len(part.encode("utf-8", "surrogatepass")) > 255:
        raise ValueError("a directory of a mailbox has more than 255 octets")
