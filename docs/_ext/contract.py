"""Tables of what is stored where, and of which function raises what, from signatures and docstrings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from docutils.parsers.rst import Directive
from numpydoc.docscrape import FunctionDoc

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

ROOMS = ("tl", "pl", "get", "io")
# The kind that most errors are of, in the order of the columns.
ERRORS = ("KeyError", "TypeError", "ValueError")


def functions(room: str) -> dict[str, object]:
    """Public functions of a room by their full names."""
    module = getattr(rp, room)
    return {f"repatient.{room}.{name}": getattr(module, name) for name in module.__all__ if is_function(module, name)}


def link(name: str) -> str:
    """A reference that shows the room, as functions of several rooms have one name."""
    return f":func:`{name.removeprefix('repatient.')} <{name}>`"


def is_function(module: object, name: str) -> bool:
    """Whether a public name is a function, not a class."""
    return inspect.isfunction(getattr(module, name))


def raised(room: str) -> dict[str, dict[str, str]]:
    """For every function, the kinds of errors that it documents and when it raises them."""
    return {
        name: {entry.type: " ".join(entry.desc) for entry in FunctionDoc(function)["Raises"]}
        for name, function in functions(room).items()
    }


def error_rows(room: str) -> Iterator[list[str]]:
    """One row a function: itself, its errors of the three common kinds, and the others."""
    yield ["", *ERRORS, "others"]
    for name, errors in raised(room).items():
        cells = dict.fromkeys((*ERRORS, "others"), "")
        for kinds, when in errors.items():
            # What may be one of two kinds stands with the last, and says so.
            last = kinds.split(", ")[-1]
            column = last if last in ERRORS else "others"
            cells[column] += f" {when}" if kinds == column else f" ``{kinds}``: {when}"
        yield [link(name), *(cell.strip() for cell in cells.values())]


def key_rows() -> Iterator[list[str]]:
    """One row a key of ``uns``: who writes it by default, and who reads it by which parameter."""
    writers: dict[str, list[str]] = {}
    readers: dict[str, list[str]] = {}
    for room in ROOMS:
        for name, function in functions(room).items():
            for parameter in inspect.signature(function).parameters.values():
                is_key = parameter.name == "key_added" or parameter.name.endswith("_key")
                if is_key and isinstance(parameter.default, str):
                    places = writers if parameter.name == "key_added" else readers
                    by = "" if parameter.name == "key_added" else f" (``{parameter.name}``)"
                    places.setdefault(parameter.default, []).append(link(name) + by)
    yield ["key", "written by", "read by"]
    for key in writers:
        yield [f"``{key}``", ", ".join(writers[key]), ", ".join(readers.get(key, []))]


def list_table(rows: Iterator[list[str]]) -> list[str]:
    """Rows as the lines of a table; the first is its head."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}".rstrip() for i, cell in enumerate(row)]
    return [*lines, ""]


class Errors(Directive):
    """The errors of one room."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Put the table in place of the directive."""
        self.state_machine.insert_input(list_table(error_rows(self.arguments[0])), __file__)
        return []


class Keys(Directive):
    """The keys of ``uns``."""

    def run(self) -> list[nodes.Node]:
        """Put the table in place of the directive."""
        self.state_machine.insert_input(list_table(key_rows()), __file__)
        return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the two directives."""
    app.add_directive("errors", Errors)
    app.add_directive("keys", Keys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
