"""Fitted models in a folder of JSON and NumPy files, without pickle."""

from __future__ import annotations

import hashlib
import io
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._files._atomic import replace_when_whole, restore
from repatient._files._read import parse_arrays, parse_json, read_together
from repatient._files._sealed_json import checked, plain, read_json, write_sealed
from repatient._files._target import check_target

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

# 2 added the checksum of the description.
FORMAT_VERSION = 2
# What parts of a wrong type, length or size raise where a model is rebuilt of them.
UNFITTING = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
WEIGHTS = "weights.npz"


def without_nan(history: Mapping[str, list[float]]) -> dict[str, list[float | None]]:
    """What JSON, which knows no NaN, can hold."""
    return {name: [None if np.isnan(v) else v for v in values] for name, values in history.items()}


def with_nan(history: Mapping[str, list[float | None]]) -> dict[str, list[float]]:
    """The inverse of :func:`without_nan`."""
    return {name: [np.nan if v is None else v for v in values] for name, values in history.items()}


@dataclass(frozen=True, eq=False)
class Stored:
    """A folder of a model as it was read at one moment; reading it again gives itself.

    Parameters
    ----------
    folder
        Where it lies.
    description
        What the description says, without its checksum.
    arrays
        The arrays, by name.
    others
        Content of further files that were asked for, by name.
    """

    folder: Path
    description: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    others: dict[str, bytes]

    def __fspath__(self) -> str:
        return str(self.folder)

    __str__ = __fspath__

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays whose names begin so, without the beginning."""
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}

    def __iter__(self) -> Iterator[Any]:
        """Description and arrays."""
        return iter((self.description, self.arrays))


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

    def check_target(self, folder: str | os.PathLike[str], argument: str = "folder", *, overwrite: bool = True) -> None:
        """Refuse a folder that holds something else, or what is not to be overwritten."""
        # Folders on the way there are made when the model is written.
        if Path(folder).parent.exists():
            check_target(folder, argument, what=self.what, ours=self._holds_one, folder=True, overwrite=overwrite)

    @contextmanager
    def replacing(self, folder: str | os.PathLike[str]) -> Iterator[Path]:
        """A place to write a folder that takes the place of ``folder`` when it is whole.

        Files of other names that an earlier folder holds are kept.

        Parameters
        ----------
        folder
            A new folder, or one of a model of this kind.
        """
        self.check_target(folder)
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        with replace_when_whole(folder) as new:
            yield new
            if Path(folder).is_dir():
                _keep_others(Path(folder), new)

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
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        description = {
            "format": self.format,
            "format_version": FORMAT_VERSION,
            "package_version": version("repatient"),
            **content,
            "shapes": {name: list(array.shape) for name, array in arrays.items()},
            "weights_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }
        with self.replacing(folder) as new:
            new.mkdir()
            (new / WEIGHTS).write_bytes(buffer.getvalue())
            write_sealed(new / self.description, description, default)

    def read(self, folder: str | os.PathLike[str], *others: str) -> Stored:
        """What the folder holds at one moment, if it is whole and of a format that this version reads.

        Parameters
        ----------
        folder
            The folder, or what was read of it already.
        others
            Names of files beside the description and the arrays that are needed, too.
        """
        if isinstance(folder, Stored):
            return folder
        place = Path(folder)
        if not place.exists():
            restore(place)
        names = (self.description, WEIGHTS, *others)
        files = read_together(place, names) if place.is_dir() else {}
        for name in names:
            if name not in files:
                msg = f"{place / name} is missing; a saved {self.what} is a folder of {' and '.join(names)}."
                raise FileNotFoundError(msg)
            if name == self.description:
                description = self._description(files[name], place / name)
        arrays = self._arrays(files[WEIGHTS], place / WEIGHTS, description)
        return Stored(place, description, arrays, {name: files[name] for name in others})

    def _description(self, content: bytes, path: Path) -> dict[str, Any]:
        description = parse_json(content, path)
        if description.get("format") != self.format:
            msg = f"{path} does not describe a {self.format} model."
            raise ValueError(msg)
        return checked(description, path, "format_version", FORMAT_VERSION)

    def _arrays(self, content: bytes, path: Path, description: dict[str, Any]) -> dict[str, NDArray[Any]]:
        if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
            msg = (
                f"{path} is damaged or belongs to another {self.description}: its digest does not fit. Copy the folder "
                "again from where it came from, or save the model anew."
            )
            raise ValueError(msg)
        arrays = parse_arrays(content, path)
        if {name: list(array.shape) for name, array in arrays.items()} != description.get("shapes"):
            msg = f"The arrays of {path} do not have the shapes that {self.description} gives."
            raise ValueError(msg)
        for name, array in arrays.items():
            # Numbers alone may say by NaN that they are not set.
            if array.ndim and array.dtype.kind == "f" and not np.isfinite(array).all():
                msg = f"{path}: the array {name!r} has NaN or infinity, with which nothing can be predicted."
                raise ValueError(msg)
        return arrays

    def incomplete(self, folder: str | os.PathLike[str], error: Exception) -> ValueError:
        """The error of a folder of which no model can be made."""
        return ValueError(f"{Path(folder)} is no complete {self.what}, or damaged: {type(error).__name__} {error}.")

    def _holds_one(self, folder: Path) -> bool:
        """Whether a folder may be overwritten."""
        path = folder / self.description
        if not path.is_file():
            return False
        try:
            return bool(read_json(path).get("format") == self.format)
        except ValueError:
            return False


CLASSIFIER = ModelFolder("model", "repatient-predictor", "model.json")
ENCODER = ModelFolder("encoder", "repatient-encoder", "encoder.json")
TRANSLATOR = ModelFolder("translator", "repatient-translator", "translator.json")


def _keep_others(earlier: Path, new: Path) -> None:
    """Copy what a folder holds and its successor does not."""
    for entry in earlier.iterdir():
        target = new / entry.name
        if target.exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, target, symlinks=True)
        else:
            shutil.copy2(entry, target, follow_symlinks=False)
