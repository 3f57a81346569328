"""The settings of Sieve, as a value; see :mod:`msgstore.config.schema`."""

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["SieveSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SieveSettings:
    """Filtering at delivery."""

    enabled: bool = True
    """Whether scripts are run."""

    before: tuple[str, ...] = ()
    """Scripts of the site that run first, for every user, in this order."""

    default: str = ""
    """Script for users who have no active one, where their domain has none for them either."""

    domain_script: str = "system.sieve"
    """File in the directory of a domain: the script for its users who have no active one; empty means there is none."""

    after: tuple[str, ...] = ()
    """Scripts of the site that run last, for mail that still is to be kept."""

    global_dir: str = ""
    """Directory of scripts that ``include :global`` finds, each as NAME.sieve; empty means there are none."""

    lists: dict[str, str] = field(default_factory=dict[str, str])
    """Name of an external list to its file, one value a line. RFC 6134."""

    server_metadata: dict[str, str] = field(default_factory=dict[str, str])
    """What ``servermetadata`` in scripts finds: names of annotations, which begin with ``/shared/``, and their values,
    for all users alike. RFC 5490 §4."""

    missing_folder: Literal["inbox", "create"] = "inbox"
    """Where ``fileinto`` without ``:create`` puts mail whose folder is missing: into INBOX, or into a new folder."""

    redirect_sender: Literal["sender", "recipient", "user"] = "sender"
    """Reverse-path of redirected mail: the one it came with, rewritten where ``[outbound]`` says so; the address it
    came to; or that of the user.  The null one stays."""

    redirect_hours: float = 12.0
    """How long a message is not redirected to the same address again."""

    reject_text: str = "Refused by the recipient's mail filter"
    """Said where a script gives no reason that can be shown."""

    extensions: tuple[Literal["vnd.dovecot.debug", "vnd.dovecot.environment", "vnd.dovecot.report"], ...] = ()
    """Extensions that scripts may use only where they are named here."""

    without_extensions: tuple[str, ...] = ()
    """Extensions that scripts may not use."""

    script_octets: int = 262_144
    """Largest script."""

    actions: int = 32
    """Actions of one run."""

    redirects: int = 5
    """Redirects of one run."""

    operations: int = 1_000_000
    """Steps of one run, all its scripts together."""

    run_seconds: float = 5.0
    """Time of one run, all its scripts together."""

    vacation_days: int = 7
    """How often one sender is answered, where the script does not say."""

    vacation_days_min: int = 1
    """Least number of days that a script can ask for."""

    vacation_days_max: int = 90
    """Greatest number of days that a script can ask for."""

    spam_score: float = 15.0
    """Score that counts as surely spam; ``spamtest`` gives what part of it the scanner gave."""

    user_log_octets: int = 65_536
    """Size of ``msgstore-sieve.log`` in a mailbox, where its user is told of errors; one older file of it is kept."""

    programs: int = 4096
    """Compiled scripts that a process remembers."""

    trace_days: int = 0
    """How long it is remembered which test and action decided over each message; 0 remembers nothing."""
