"""A trial whose Alice has two messages with UIDs of their own, and the same with mail in another layout."""

from pathlib import Path

from tests.admin.trial import Trial
from tests.exchange.room import tree_of

ALICE = "alice@example.com"
OTHER = '\n[store]\nmaildir_subdir = "Maildir"\nbase_path = "boxes"\nline_endings = "lf"\n'


def imported(place: Path) -> Trial:
    made = Trial(place).from_template()
    source = tree_of(
        place / "source",
        {
            "cur/1.host:2,S": b"Subject: one\r\n\r\n",
            "cur/2.host:2,": b"Subject: two\n\nbare\n",
            "new/": b"",
            "dovecot-uidlist": b"3 V77 N9\n4 :1.host\n6 :2.host\n",
        },
    )
    made.run("import", "maildir", str(source), ALICE)
    return made


def in_another_layout(trial: Trial) -> Trial:
    """The same domains and users, with mail in another layout and a taste for other line ends."""
    made = Trial(trial.place)
    made.config = trial.place / "etc" / "other.toml"
    made.config.write_text(trial.config.read_text() + OTHER)
    return made
