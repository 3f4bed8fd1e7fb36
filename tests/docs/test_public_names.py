"""Every public name is documented, with the parameters that it has, and has its place in the API pages."""

from __future__ import annotations

import builtins
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc

import repatient as rp

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROOMS = {name: getattr(rp, name) for name in rp.__all__ if name != "__version__"}
PUBLIC = {f"{room}.{name}": getattr(module, name) for room, module in ROOMS.items() for name in module.__all__}
CALLABLE = {name: value for name, value in PUBLIC.items() if callable(value)}
CONSTANTS = sorted(set(PUBLIC) - set(CALLABLE))
METHODS = {
    f"{name}.{method}": function
    for name, value in CALLABLE.items()
    if inspect.isclass(value)
    for method, function in vars(value).items()
    if not method.startswith("_") and inspect.isfunction(inspect.unwrap(getattr(function, "__func__", function)))
}


def documented(section: list) -> list[str]:
    """Names of a section; several may share a description."""
    return [name.strip().lstrip("*") for entry in section for name in entry.name.split(",")]


def parameters(value: object) -> list[str]:
    if not inspect.isclass(value):
        return list(inspect.signature(value).parameters)
    # Exceptions and protocols have none of their own.
    is_its_own = not issubclass(value, Exception) and not getattr(value, "_is_protocol", False)
    return list(inspect.signature(value).parameters) if is_its_own else []


def returns_something(function: object) -> bool:
    return inspect.signature(function).return_annotation not in ("None", "NoReturn", None)


@pytest.mark.parametrize("name", CALLABLE)
def test_parameters_are_documented(name):
    value = CALLABLE[name]
    doc = (ClassDoc if inspect.isclass(value) else FunctionDoc)(value)
    assert "".join(doc["Summary"]).strip(), "no summary"
    assert sorted(documented(doc["Parameters"])) == sorted(parameters(value))
    assert all("".join(entry.desc).strip() for entry in doc["Parameters"])


@pytest.mark.parametrize("name", [name for name, value in CALLABLE.items() if not inspect.isclass(value)])
def test_what_is_returned_is_documented(name):
    doc = FunctionDoc(CALLABLE[name])
    assert bool(doc["Returns"] or doc["Yields"]) == returns_something(CALLABLE[name])


@pytest.mark.parametrize("name", [name for name in CALLABLE if name.split(".")[0] in ("tl", "pl", "get", "io")])
def test_errors_are_documented(name):
    """The table of errors in the documentation is made from these sections."""
    value = CALLABLE[name]
    raised = FunctionDoc(value)["Raises"] if not inspect.isclass(value) else []
    assert raised or inspect.isclass(value)
    for entry in raised:
        assert all(issubclass(getattr(builtins, kind), Exception) for kind in entry.type.split(", "))
        assert "".join(entry.desc).strip()


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_documented(name):
    # What is there only for some members stands behind a descriptor.
    function = getattr(METHODS[name], "fn", getattr(METHODS[name], "__func__", METHODS[name]))
    doc = FunctionDoc(function)
    assert "".join(doc["Summary"]).strip(), "no summary"
    taken = [parameter for parameter in parameters(function) if parameter not in ("self", "cls")]
    found = documented(doc["Parameters"])
    assert not found or sorted(found) == sorted(taken), "documented are others than those that there are"


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_documented_in_their_room(name):
    room, _, constant = name.partition(".")
    assert f".. data:: {constant}\n" in ROOMS[room].__doc__


def test_every_room_is_in_the_api_pages():
    """The pages list the public names of a room by themselves, see docs/_templates/autosummary/module.rst."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^ {3}(\w+)$", page, flags=re.MULTILINE)) == sorted(ROOMS)


def test_public_names_are_sorted_and_there():
    for room, module in ROOMS.items():
        assert sorted(module.__all__) == sorted(set(module.__all__)), room
