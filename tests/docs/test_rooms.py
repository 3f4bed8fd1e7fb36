"""Imports between the rooms of the package follow the table in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "repatient"
OPEN = {"_files"}
ROOMS = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - OPEN
ARRAYS = {"mixture", "recipe", "sampling", "mil", "mixing", "views", "evaluation"}
TOP: set[str] = set()


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
    return sorted((SOURCE / room).rglob("*.py")) if room in ROOMS else [SOURCE / f"{room}.py"]


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
