"""Let atheris look for octets that break the laws of Sieve: ``make fuzz``."""

import importlib
import sys
from typing import Any


def main() -> None:
    """Run until stopped; arguments are libFuzzer's."""
    # Not among the locked dependencies: whoever fuzzes installs it.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["msgstore.sieve", "msgstore.mime"]):
        laws = importlib.import_module("tests.fuzz.sieve_laws")
    atheris.Setup(sys.argv, laws.obeys_the_laws)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
