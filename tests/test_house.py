"""The floors, doors, sizes and docstrings of the house, from the table in pyproject.toml."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["msgstore"]["house"]
SOURCES = sorted(
    path
    for top in ("lmtpd", "accessd", "shared/msgstore")
    for path in (ROOT / top).rglob("*.py")
    if "__pycache__" not in path.parts
)
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if "__pycache__" not in path.parts)
STDLIB_OF_SHELLS = {"asyncio"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "shared" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The package a module belongs to, in the table's words."""
    parts = module.split(".")
    if parts[0] != "msgstore":
        return parts[0]
    return parts[1] if len(parts) > 1 else "msgstore"


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            if module in ("msgstore", "msgstore.admin"):
                for alias in node.names:
                    yield f"{module}.{alias.name}", node.lineno
            else:
                yield module, node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_downwards_only(path: Path) -> None:
    module = name_of(path)
    package = package_of(module)
    if module == "msgstore":
        return
    allowed = {package, *TABLE["floors"][package]}

    for imported, line in imports_of(path):
        top = imported.split(".")[0]
        if top in ("msgstore", "lmtpd", "accessd"):
            assert package_of(imported) in allowed, f"{path}:{line}: {package} may not import {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_third_party_packages_come_through_their_door(path: Path) -> None:
    module = name_of(path)

    for imported, line in imports_of(path):
        doors = TABLE["doors"].get(imported.split(".")[0])
        if doors is not None:
            fits = any(module == door or module.startswith(door + ".") for door in doors)
            assert fits, f"{path}:{line}: {imported} belongs behind {', '.join(doors)}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_asyncio_stands_in_the_shells_alone(path: Path) -> None:
    module = name_of(path)
    shell = any(module == place or module.startswith(place + ".") for place in TABLE["asyncio"])

    for imported, line in imports_of(path):
        assert shell or imported.split(".")[0] != "asyncio", f"{path}:{line}: asyncio in a synchronous module"


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=str)
def test_modules_and_functions_are_small(path: Path) -> None:
    text = path.read_text("utf-8")

    assert text.count("\n") <= 400, f"{path} has over 400 lines"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{path}:{node.lineno}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is_and_names_what_it_offers(path: Path) -> None:
    tree = tree_of(path)

    assert ast.get_docstring(tree), f"{path} has no docstring"
    offers = any(isinstance(node, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(node) for node in tree.body)
    assert offers or path.name in ("__init__.py", "__main__.py"), f"{path} has no __all__"
    for name in TABLE["forbidden_names"]:
        assert name not in path.parts
        assert path.stem != name, f"{path}: {name} says nothing"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_disk_syncs_links_and_renames_in_the_store(path: Path) -> None:
    module = name_of(path)
    if package_of(module) != "store" or module in TABLE["disk"]:
        return

    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in TABLE["disk_calls"], f"{path}:{node.lineno}: os.{node.attr} outside of the disk"


def test_catching_everything_stands_in_few_places() -> None:
    places = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    ]

    strangers = [place for place in places if place.split(":")[0] not in TABLE["catch_all"]]
    assert not strangers, f"except Exception outside of the places for it: {strangers}"


def test_every_declared_dependency_is_imported_and_every_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {line.split(">")[0].split("<")[0].split("[")[0].strip() for line in project["dependencies"]}
    declared |= {"uvloop"}
    imported = {name.split(".")[0] for path in SOURCES for name, _ in imports_of(path)}
    modules = TABLE["distributions"]

    missing = [name for name in declared if modules.get(name, name) not in imported and name not in TABLE["not_yet"]]
    assert not missing, f"declared and never imported: {missing}"
    undeclared = [door for door in TABLE["doors"] if door in imported and door not in modules.values()]
    assert not undeclared, f"imported and not declared: {undeclared}"
