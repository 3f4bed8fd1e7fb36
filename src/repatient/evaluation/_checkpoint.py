"""Results kept on disk as they come in, so that an interrupted evaluation goes on where it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from repatient._files._atomic import replace_when_whole
from repatient._files._sealed_json import SEAL, checked, read_json, write_sealed
from repatient._files._target import check_target

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping

    Results: TypeAlias = "dict[int, dict[str, dict[str, Any]]]"


FORMAT = "repatient evaluation"
# 2 added the format, the version and the checksum.
VERSION = 2
# Stands beside the metrics: rows of class probabilities of the test patients.
PROBABILITIES = "probabilities"
# The highest value of metrics that have one; the lowest of all of these is 0.
_MOST = {"auroc": 1.0, "balanced_accuracy": 1.0, "macro_f1": 1.0, "brier": 2.0, "log_loss": math.inf}


class Checkpoint:
    """Values by split, method and metric, and predictions, in memory and, with a path, in a JSON file.

    Parameters
    ----------
    path
        The file; ``None`` keeps nothing on disk.
    params
        All that the values depend on besides the methods.
    methods
        Name and settings of each method.
    metrics
        What each method must have values of, ``"probabilities"`` among them where predictions are needed.

    Raises
    ------
    ValueError
        If the file is none of these, damaged, or of an evaluation with other parameters.
    FileNotFoundError, IsADirectoryError, PermissionError, FileExistsError
        If the file cannot be written: its folder does not exist, it is one itself, a link or a device.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        params: Mapping[str, Any],
        methods: Mapping[str, Any],
        metrics: Collection[str] = (),
    ) -> None:
        self.path = None if path is None else Path(path)
        # What JSON makes of the parameters, so that they compare equal to what was read.
        self.params, self.methods = json.loads(json.dumps([params, methods]))
        self.results: Results = {}
        self._known: dict[str, Any] = {}
        self._metrics = set(metrics)
        if self.path is not None:
            # What is there is read, and refused if it is none, before anything is written over it.
            check_target(self.path, "checkpoint", what="file of an evaluation", ours=lambda _: True)
            if self.path.exists():
                self._read(self.path)

    def missing(self, split: int) -> list[str]:
        """Methods that have no values in a split yet."""
        return [name for name in self.methods if name not in self.results.get(split, {})]

    def add(self, split: int, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in values of a split, by method and metric, and write all to disk."""
        of_split = self.results.setdefault(split, {})
        of_split.update({name: dict(metrics) for name, metrics in values.items()})
        if self.path is None:
            return
        content = {
            "format": FORMAT,
            "version": VERSION,
            "params": self.params,
            "methods": self._known | self.methods,
            "results": self.results,
        }
        with replace_when_whole(self.path) as new:
            write_sealed(new, content)

    def _read(self, path: Path) -> None:
        params, methods, results = _parts(path, self._metrics)
        others = _differences(params, self.params)
        shared = {name: spec for name, spec in methods.items() if name in self.methods}
        others += _differences(shared, {name: self.methods[name] for name in shared})
        if others:
            msg = (
                f"`checkpoint`: {path} is of an evaluation with other parameters: {'; '.join(others)}. Name another "
                "file, or pass what it was made with."
            )
            raise ValueError(msg)
        self._known, self.results = methods, results


def _parts(path: Path, metrics: set[str]) -> tuple[dict[str, Any], dict[str, Any], Results]:
    """Parameters, methods and results of a file that is one of an evaluation, and whole."""
    try:
        content = read_json(path)
        # The first version had none of these.
        if {"format", "version", SEAL} & set(content):
            content = checked(content, path, "version", VERSION)
        params, methods, results = (dict(content[name]) for name in ("params", "methods", "results"))
        if not all(split.isdecimal() for split in results):
            msg = "splits are numbered from 0"
            raise ValueError(msg)
        read = {int(split): {name: dict(values) for name, values in of.items()} for split, of in results.items()}
        for split, of in read.items():
            for name, values in of.items():
                _check_values(values, metrics, f"{name!r} in split {split}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = (
            f"`checkpoint`: {path} is no file of an evaluation, or is damaged; name another one, or delete it. {error}"
        )
        raise ValueError(msg) from error
    return params, methods, read


def _check_values(values: dict[str, Any], metrics: set[str], where: str) -> None:
    if absent := metrics - set(values):
        msg = f"{where} has no {', '.join(sorted(absent))}."
        raise ValueError(msg)
    for name, value in values.items():
        if name == PROBABILITIES:
            _check_probabilities(value, where)
            continue
        # NaN is the value of a metric that a split does not define.
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isinf(value):
            msg = f"{name} of {where} is {value!r}, no number."
            raise ValueError(msg)
        if not math.isnan(value) and not 0 <= value <= _MOST.get(name, math.inf) and name in _MOST:
            msg = f"{name} of {where} is {value!r}, which it cannot be."
            raise ValueError(msg)


def _check_probabilities(rows: Any, where: str) -> None:
    whole = isinstance(rows, list) and all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)
    if not whole or not all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 + 1e-6
        for row in rows
        for value in row
    ):
        msg = f"{PROBABILITIES} of {where} are no rows of probabilities of the classes."
        raise ValueError(msg)


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    names = list(dict.fromkeys([*found, *wanted]))
    return [
        f"{name} was {found.get(name)!r} and is {wanted.get(name)!r}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]
