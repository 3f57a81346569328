"""The settings of where mail is kept, as a value; see :mod:`msgstore.config.schema`."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["StoreSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where and how mail is kept."""

    backend: Literal["maildir", "sqlite", "postgresql", "memory"] = "maildir"
    """``maildir`` keeps mail in files; ``sqlite`` in a database on this machine, ``postgresql`` in one that many
    machines share; ``memory`` forgets it at exit and is meant for trying things out."""

    dsn: str = ""
    """The database.  For ``postgresql`` an address as libpq knows it, such as
    ``postgresql://msgstore@db1,db2/msgstore?target_session_attrs=read-write``; its password belongs into a file that
    ``passfile=`` names.  For ``sqlite`` an absolute path; empty means mail.sqlite in data_dir."""

    bodies: str = ""
    """Where a database backend keeps bodies above 128 KiB: an absolute path on a file system that all machines share,
    or ``s3://BUCKET/PREFIX``; empty means bodies/ in data_dir.  The keys of a bucket come from the environment
    (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``) or the machine's role."""

    s3_endpoint: str = ""
    """As ``https://s3.example.net:9000``; empty means Amazon's of the region."""

    s3_region: str = ""
    """Region of the bucket; empty means that of the environment, else us-east-1."""

    base_path: str = "users"
    """Maildir: directory of a domain's mailboxes, below the domain's data directory unless absolute."""

    path_template: str = "{localpart}"
    """Maildir: place of a mailbox below base_path; knows ``{localpart}``, ``{domain}`` and ``{email}``."""

    maildir_subdir: str = ""
    """Maildir: directory inside the mailbox that is the Maildir; empty means the mailbox itself."""

    line_endings: Literal["crlf", "lf"] = "crlf"
    """Maildir: ``crlf`` keeps octets as they came; ``lf`` suits Unix tools."""

    default_folders: bool = True
    """Whether a new mailbox gets Junk, Trash, Sent, Drafts, List and Bulk."""
