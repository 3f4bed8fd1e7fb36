"""Fitted models in a folder of JSON and NumPy files, without pickle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

FORMAT_VERSION = 1
WEIGHTS = "weights.npz"


def plain(value: Any) -> Any:
    """Numpy scalars, of which users make parameters, as JSON."""
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{value!r} cannot be saved in a model."
    raise TypeError(msg)


def without_nan(history: Mapping[str, list[float]]) -> dict[str, list[float | None]]:
    """What JSON, which knows no NaN, can hold."""
    return {name: [None if np.isnan(v) else v for v in values] for name, values in history.items()}


def with_nan(history: Mapping[str, list[float | None]]) -> dict[str, list[float]]:
    """The inverse of :func:`without_nan`."""
    return {name: [np.nan if v is None else v for v in values] for name, values in history.items()}


@dataclass(frozen=True)
class ModelFolder:
    """Folders of one kind of model: a description and its arrays, tied together by a digest.

    Parameters
    ----------
    what
        What the kind is called in errors.
    format
        Name of the format, in the description.
    description
        Name of the JSON file.
    """

    what: str
    format: str
    description: str

    def check_target(self, folder: str | os.PathLike[str]) -> None:
        """Refuse a folder that holds something else."""
        target = Path(folder)
        if target.exists() and not self._holds_one(target):
            msg = f"{target} exists and holds no {self.what} of this package; choose a new folder."
            raise ValueError(msg)

    def write(
        self,
        folder: str | os.PathLike[str],
        content: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        default: Callable[[Any], Any] = plain,
    ) -> None:
        """Write a model, over an earlier one if that is what the folder holds.

        Parameters
        ----------
        folder
            A new folder, or one of a model of this kind.
        content
            What else the description holds.
        arrays
            The arrays, by name.
        default
            Turns values that JSON does not know into those that it does.
        """
        self.check_target(folder)
        target, buffer = Path(folder), io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        description = {
            "format": self.format,
            "format_version": FORMAT_VERSION,
            "package_version": version("repatient"),
            **content,
            "shapes": {name: list(array.shape) for name, array in arrays.items()},
            "weights_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        written = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            (written / WEIGHTS).write_bytes(buffer.getvalue())
            (written / self.description).write_text(
                json.dumps(description, indent=1, default=default), encoding="utf-8"
            )
            target.mkdir(exist_ok=True)
            # Weights first: a description is never there before what it describes, and its digest tells the two apart.
            for name in (WEIGHTS, self.description):
                os.replace(written / name, target / name)
        finally:
            shutil.rmtree(written)

    def read(self, folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The description and the arrays, if they are whole and of a format that this version reads."""
        description = self._read_description(Path(folder))
        return description, self._read_arrays(Path(folder), description)

    def incomplete(self, folder: str | os.PathLike[str], error: Exception) -> ValueError:
        """The error of a folder that lacks something."""
        return ValueError(f"{Path(folder)} is no complete {self.what}: {type(error).__name__} {error}.")

    def _read_description(self, folder: Path) -> dict[str, Any]:
        path = folder / self.description
        try:
            description = json.loads(self._read_bytes(path))
        except ValueError as error:
            msg = f"{path} is not valid JSON: {error}."
            raise ValueError(msg) from error
        if not isinstance(description, dict) or description.get("format") != self.format:
            msg = f"{path} does not describe a {self.format} model."
            raise ValueError(msg)
        found = description.get("format_version")
        if not isinstance(found, int) or found > FORMAT_VERSION:
            msg = f"{path} has format version {found!r}; this version reads up to {FORMAT_VERSION}. Update repatient."
            raise ValueError(msg)
        return description

    def _read_arrays(self, folder: Path, description: dict[str, Any]) -> dict[str, NDArray[Any]]:
        path = folder / WEIGHTS
        content = self._read_bytes(path)
        if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
            msg = f"{path} is damaged or belongs to another {self.description}: its digest does not fit."
            raise ValueError(msg)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (zipfile.BadZipFile, ValueError) as error:
            msg = f"{path} is no numpy archive without pickled objects: {error}."
            raise ValueError(msg) from error
        if {name: list(array.shape) for name, array in arrays.items()} != description.get("shapes"):
            msg = f"The arrays of {path} do not have the shapes that {self.description} gives."
            raise ValueError(msg)
        return arrays

    def _read_bytes(self, path: Path) -> bytes:
        if not path.is_file():
            msg = f"{path} is missing; a saved {self.what} is a folder of {self.description} and {WEIGHTS}."
            raise FileNotFoundError(msg)
        return path.read_bytes()

    def _holds_one(self, folder: Path) -> bool:
        """Whether a folder may be overwritten."""
        path = folder / self.description
        if not path.is_file():
            return False
        try:
            description = json.loads(path.read_bytes())
        except ValueError:
            return False
        return isinstance(description, dict) and description.get("format") == self.format
