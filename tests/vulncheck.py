"""Compare the locked dependencies with the advisory database.

Exit status 0: nothing known; 1: something is vulnerable; 2: the database could not be reached, so nothing is known.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.txt"


def main() -> int:
    """Run pip-audit over the lock file and say what it found."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        print(f"NOT AUDITED: the advisory database could not be reached ({reason[0][:200]})")
        return 2
    if found and all("skip_reason" in entry for entry in found):
        print(f"NOT AUDITED: the advisory database could not be reached ({found[0]['skip_reason'][:200]})")
        return 2
    skipped = [entry["name"] for entry in found if "skip_reason" in entry]
    bad = [(entry["name"], fault["id"]) for entry in found for fault in entry.get("vulns", ())]
    for name, fault in bad:
        print(f"VULNERABLE: {name}: {fault}")
    if skipped:
        print(f"NOT AUDITED: {', '.join(skipped)}")
    print(f"{len(found) - len(skipped)} dependencies audited, {len(bad)} vulnerabilities")
    return 1 if bad or skipped else 0


if __name__ == "__main__":
    sys.exit(main())
