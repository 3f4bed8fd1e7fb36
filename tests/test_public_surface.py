"""What users, and the tools that read the package for them, find under its public names."""

from __future__ import annotations

import inspect
import tomllib
from importlib import import_module
from importlib.metadata import distribution, metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import repatient as rp

if TYPE_CHECKING:
    from types import ModuleType

ROOMS = [name for name in rp.__all__ if name != "__version__"]
VERBS = ["datasets", "get", "io", "pl", "tl"]
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def room(name: str) -> ModuleType:
    return import_module(f"repatient.{name}")


def functions_of(name: str) -> list[tuple[str, Any]]:
    return [
        (public, value) for public in room(name).__all__ if inspect.isfunction(value := getattr(room(name), public))
    ]


def classes_of(name: str) -> list[type]:
    return [value for public in room(name).__all__ if inspect.isclass(value := getattr(room(name), public))]


def constants_first(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def own_methods(cls: type) -> list[tuple[str, Any]]:
    """Methods and getters of properties that a user calls, as far as the package wrote them."""
    named = [(name, value) for name, value in inspect.getmembers(cls) if name == "__init__" or name[0] != "_"]
    plain = [(name, value.fget if isinstance(value, property) else value) for name, value in named]
    return [
        (name, value)
        for name, value in plain
        if (inspect.isfunction(value) or inspect.ismethod(value)) and value.__module__.startswith("repatient")
    ]


def not_annotated(function: Any) -> list[str]:
    signature = inspect.signature(function)
    found = [name for name, value in signature.parameters.items() if value.annotation is inspect.Parameter.empty]
    if signature.return_annotation is inspect.Signature.empty:
        found.append("return")
    return [name for name in found if name not in {"self", "cls"}]


@pytest.mark.parametrize("name", ROOMS)
def test_all_is_sorted_and_names_what_there_is(name):
    names = room(name).__all__
    assert names == sorted(set(names), key=constants_first)
    assert [public for public in names if not hasattr(room(name), public)] == []


@pytest.mark.parametrize("name", ROOMS)
def test_nothing_public_is_missing_from_all(name):
    public = {
        key
        for key, value in vars(room(name)).items()
        if not key.startswith("_") and getattr(value, "__module__", "").startswith("repatient")
    }
    assert public <= set(room(name).__all__)


def test_rooms_are_the_public_packages():
    folder = Path(rp.__file__).parent
    public = {path.name for path in folder.iterdir() if (path / "__init__.py").is_file() and path.name[0] != "_"} - {
        "cli",
        "report",
    }
    assert public == set(ROOMS)
    assert sorted(rp.__all__) == rp.__all__


@pytest.mark.parametrize("name", ROOMS)
def test_functions_are_annotated(name):
    found = {public: missing for public, function in functions_of(name) if (missing := not_annotated(function))}
    assert found == {}


@pytest.mark.parametrize("name", ROOMS)
def test_classes_are_annotated(name):
    found = {
        f"{cls.__name__}.{method}": missing
        for cls in classes_of(name)
        for method, function in own_methods(cls)
        if (missing := not_annotated(function))
    }
    assert found == {}


@pytest.mark.parametrize("name", VERBS)
def test_a_function_stands_in_a_file_of_its_name(name):
    files_of = {public: function.__module__ for public, function in functions_of(name)}
    assert files_of == {public: f"repatient.{name}._{public}" for public in files_of}
    assert len(files_of) > 0


@pytest.mark.parametrize("name", ["get", "pl", "tl"])
def test_options_of_a_function_are_named_in_the_call(name):
    """One to three objects come by position, everything else by keyword."""
    positional = {
        public: [
            value.name for value in inspect.signature(function).parameters.values() if value.kind != value.KEYWORD_ONLY
        ]
        for public, function in functions_of(name)
    }
    assert {public: names for public, names in positional.items() if len(names) > 3} == {}


def test_the_version_is_that_of_the_metadata():
    assert rp.__version__ == metadata("repatient")["Version"]
    if PYPROJECT.is_file():
        project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
        assert rp.__version__ == project["version"]
        citation = (PYPROJECT.parent / "CITATION.cff").read_text(encoding="utf-8")
        assert f"\nversion: {rp.__version__}\n" in citation


def test_the_package_says_that_it_is_typed():
    assert files("repatient").joinpath("py.typed").is_file()


def test_the_command_is_installed():
    (command,) = [point for point in distribution("repatient").entry_points if point.group == "console_scripts"]
    assert command.name == "repatient"
    assert callable(command.load())
