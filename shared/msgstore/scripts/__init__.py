"""A user's scripts: checked before they are kept, as rules, and on their way from and to other servers.

``checking`` stands between whoever sends a script and the shelf: what does not compile never gets there.  ``rules``
turns scripts that a program wrote into data and back; a script that would not come back the same is no rules.
``importing`` speaks ManageSieve to other servers.  Everything blocks; nothing here keeps state.

sievelib stands behind ``rules`` and ``importing`` and never judges a script: our own engine does, before and after.
"""

from msgstore.scripts.checking import Findings, ScriptInvalid, activate_checked, check, put_checked
from msgstore.scripts.importing import (
    Imported,
    Remote,
    RemoteFailed,
    RemoteScript,
    fetch_scripts,
    push_scripts,
    take_scripts,
)
from msgstore.scripts.rules import Rule, RulesRefused, rules_in, text_of

__all__ = [
    "Findings",
    "Imported",
    "Remote",
    "RemoteFailed",
    "RemoteScript",
    "Rule",
    "RulesRefused",
    "ScriptInvalid",
    "activate_checked",
    "check",
    "fetch_scripts",
    "push_scripts",
    "put_checked",
    "rules_in",
    "take_scripts",
    "text_of",
]
