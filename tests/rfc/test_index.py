"""The index of rules: every row names a module and a test that are there, and every extension has a row."""

import ast
import tomllib
from pathlib import Path

import pytest

from msgstore.sieve import builtin_extensions

ROOT = Path(__file__).parents[2]
RULES = tomllib.loads((ROOT / "tests/rfc/index.toml").read_text("utf-8"))["rule"]


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["section"]))
def test_the_module_and_the_test_of_a_rule_are_there(rule: dict[str, str]) -> None:
    path, _, name = rule["test"].partition("::")

    assert set(rule) <= {"section", "module", "test", "text_at_hand"}
    assert (ROOT / "shared" / (rule["module"].replace(".", "/") + ".py")).is_file()
    assert name in names_in(ROOT / path)


def test_every_standard_that_an_extension_names_has_a_row() -> None:
    known = {" ".join(rule["section"].split()[:2]) for rule in RULES}
    named = {" ".join(item.rfc.split()[:2]) for item in builtin_extensions() if item.rfc.startswith("RFC")}

    assert named <= known, named - known
