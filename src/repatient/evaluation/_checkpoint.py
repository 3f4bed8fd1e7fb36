"""Results kept on disk as they come in, so that an interrupted evaluation goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    Results: TypeAlias = "dict[int, dict[str, dict[str, float]]]"


class Checkpoint:
    """Values by split, method and metric, in memory and, with a path, in a JSON file.

    Parameters
    ----------
    path
        The file; ``None`` keeps nothing on disk.
    params
        All that the values depend on besides the methods.
    methods
        Name and settings of each method.

    Raises
    ------
    ValueError
        If the file is none of these, or of an evaluation with other parameters.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, params: Mapping[str, Any], methods: Mapping[str, Any]
    ) -> None:
        self.path = None if path is None else Path(path)
        # What JSON makes of the parameters, so that they compare equal to what was read.
        self.params, self.methods = json.loads(json.dumps([params, methods]))
        self.results: Results = {}
        self._known: dict[str, Any] = {}
        if self.path is not None and self.path.exists():
            self._read(self.path)

    def missing(self, split: int) -> list[str]:
        """Methods that have no values in a split yet."""
        return [name for name in self.methods if name not in self.results.get(split, {})]

    def add(self, split: int, values: Mapping[str, Mapping[str, float]]) -> None:
        """Take in values of a split, by method and metric, and write all to disk."""
        of_split = self.results.setdefault(split, {})
        of_split.update({name: dict(metrics) for name, metrics in values.items()})
        if self.path is None:
            return
        content = {"params": self.params, "methods": self._known | self.methods, "results": self.results}
        # A file is replaced as a whole, so that an interruption leaves the old one or the new one.
        partial = self.path.with_name(f"{self.path.name}.partial")
        partial.write_text(json.dumps(content), encoding="utf-8")
        os.replace(partial, self.path)

    def _read(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            params, methods, results = content["params"], content["methods"], content["results"]
        except (ValueError, KeyError, TypeError) as error:
            msg = f"`checkpoint`: {path} is no file of an evaluation; name another one."
            raise ValueError(msg) from error
        others = _differences(params, self.params)
        shared = {name: spec for name, spec in methods.items() if name in self.methods}
        others += _differences(shared, {name: self.methods[name] for name in shared})
        if others:
            msg = (
                f"`checkpoint`: {path} is of an evaluation with other parameters: {'; '.join(others)}. Name another "
                "file, or pass what it was made with."
            )
            raise ValueError(msg)
        self._known = methods
        self.results = {int(split): values for split, values in results.items()}


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    names = list(dict.fromkeys([*found, *wanted]))
    return [
        f"{name} was {found.get(name)!r} and is {wanted.get(name)!r}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]
