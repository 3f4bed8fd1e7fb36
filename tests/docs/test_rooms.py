"""Imports between the rooms of the package follow the table in CONTRIBUTING.md, and are of public names."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "repatient"
OPEN = {"_files"}
ROOMS = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - OPEN
ARRAYS = {"mixture", "recipe", "sampling", "mil", "mixing", "views", "evaluation"}
TOP: set[str] = set()

# What tests of files and of several processes need of the inside of other rooms; nothing may be added.
PRIVATE_TESTS = {
    "evaluation/test_run.py",
    "tl/test_in_reference.py",
    "tl/test_lazy.py",
    "trust/fuzz/test_declared.py",
    "trust/fuzz/test_models.py",
    "trust/fuzz/test_recipes_files.py",
    "trust/fuzz/test_sealed.py",
    "trust/test_formats.py",
    "trust/test_killed.py",
}


def allowed() -> dict[str, set[str]]:
    """What each room may import, as the table says."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| .+? \| (.+?) \|$", text.partition("## The rooms")[2].partition("\n## ")[0], re.M)
    table: dict[str, set[str]] = {}
    for rooms, imports in rows[1:]:
        names = set(re.findall(r"`(\w+)`", imports)) | (ARRAYS if "the array rooms" in imports else set())
        table |= {room.removesuffix(".py"): names for room in re.findall(r"`([\w.]+)`", rooms)}
    return table


def imported(path: Path) -> set[str]:
    """Rooms, and files beside them, that a file imports anything of, when it is loaded or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {module.split(".")[1] for module in modules if module.startswith("repatient.")}
    return found


def files(room: str) -> list[Path]:
    return sorted((SOURCE / room).rglob("*.py")) if room in ROOMS | OPEN else [SOURCE / f"{room}.py"]


def test_the_table_has_every_room():
    assert set(allowed()) == ROOMS | TOP


@pytest.mark.parametrize("room", sorted(ROOMS | TOP))
def test_arrows(room):
    may = allowed()[room] | {room}
    for path in files(room):
        assert imported(path) & (ROOMS | TOP) <= may, path.name


def test_files_that_are_open_to_all_import_no_room():
    for path in (*SOURCE.glob("*.py"), *SOURCE.glob("_files/*.py")):
        if path.stem not in TOP | {"__init__"}:
            assert not imported(path) & ROOMS, path.name


@pytest.mark.parametrize("room", sorted(ARRAYS))
def test_array_rooms_know_no_objects(room):
    """Of numpy, scipy, scikit-learn and torch they know, of AnnData they do not, not even for type checkers."""
    for path in files(room):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not {name.split(".")[0] for name in modules} & {"anndata", "mudata", "scanpy", "scvi"}, path.name


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def private_names(path: Path, own: str | None) -> set[str]:
    """Names of other rooms that are not public there, as modules, in imports and behind a dot."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("repatient"):
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names if alias.name.startswith("repatient.")]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ROOMS:
            dotted = [f"repatient.{node.value.id}.{node.attr}"]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr in ROOMS:
            dotted = [f"repatient.{node.value.attr}.{node.attr}"]
        else:
            continue
        for name in dotted:
            _, room, *rest = name.split(".") if "." in name else (name, "")
            is_private = any(part.startswith("_") and not part.startswith("__") for part in rest)
            if room in ROOMS - {own} and is_private:
                found.add(name)
    return found


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_rooms_take_public_names_of_each_other(room):
    found = {str(path.relative_to(SOURCE)) for path in files(room) if private_names(path, room)}
    assert not found, {name: private_names(SOURCE / name, room) for name in found}


def imports_within(path: Path, room: str) -> set[str]:
    """Files of the same room that a file imports, at once or later, other than for type checkers."""
    tree = parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    prefix = f"repatient.{room}."
    names = {path.stem for path in files(room)}
    inside = {name.removeprefix(prefix).split(".")[0] for name in found if name.startswith(prefix)}
    # What is no file is a public name, and comes through the file that collects them.
    return {name if name in names else "__init__" for name in inside} - {path.stem}


@pytest.mark.parametrize("room", sorted(ROOMS | OPEN))
def test_no_circles_within_a_room(room):
    graph = nx.DiGraph()
    for path in sorted((SOURCE / room).glob("*.py")):
        graph.add_edges_from((path.stem, name) for name in imports_within(path, room))
    circles = {frozenset(f"{room}/{name}" for name in part) for part in nx.strongly_connected_components(graph)}
    assert not [circle for circle in circles if len(circle) > 1]


def test_no_two_classes_have_one_name():
    names = [
        node.name for path in SOURCE.rglob("*.py") for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)
    ]
    assert not {name for name, number in Counter(names).items() if number > 1}


def test_tests_know_the_private_modules_of_their_own_room_alone():
    tests, found = ROOT / "tests", {}
    for path in tests.rglob("*.py"):
        names = private_names(path, path.relative_to(tests).parts[0])
        if names:
            found[str(path.relative_to(tests))] = names
    assert set(found) <= PRIVATE_TESTS, {name: found[name] for name in set(found) - PRIVATE_TESTS}


def test_exceptions_are_still_needed():
    tests = ROOT / "tests"
    assert all(private_names(tests / name, name.split("/")[0]) for name in PRIVATE_TESTS)
