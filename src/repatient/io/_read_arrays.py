"""Features of one slide, image or patient from HDF5, torch and NumPy files."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    import scipy.sparse as sp
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Options:
    """What a user says of the inside of the files: names of the features and of the coordinates, compensation."""

    features: str | None
    coords: str
    compensate: bool


@dataclass(frozen=True)
class Outline:
    """What is known of a file before its values are read.

    ``names`` are those of the features where the file has any, ``kinds`` says of cytometry channels what they measure.
    """

    n_rows: int
    width: int
    names: tuple[str, ...] | None = None
    has_coords: bool = False
    sparse: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Content:
    """The values of a file: features (n, width), coordinates (n, 2), columns of the rows and their names."""

    X: NDArray[Any] | sp.csr_matrix
    coords: NDArray[Any] | None = None
    obs: pd.DataFrame | None = None
    row_names: pd.Index | None = None


def outline_hdf5(path: Path, options: Options) -> Outline:
    """Shapes and attributes of a file as CLAM and TRIDENT write them."""
    with h5py.File(path) as file:
        dataset = file[_chosen({name: item.shape for name, item in _numeric(file).items()}, options)]
        coords = file.get(options.coords)
        attributes = {**file.attrs, **(dict(coords.attrs) if coords is not None else {}), **dataset.attrs}
        n_rows, width = _rows_and_width(dataset.shape)
        plain = {str(name): _plain(value) for name, value in attributes.items()}
        return Outline(n_rows, width, has_coords=coords is not None, attributes=plain)


def read_hdf5(path: Path, options: Options) -> Content:
    """Features and coordinates."""
    with h5py.File(path) as file:
        name = _chosen({name: item.shape for name, item in _numeric(file).items()}, options)
        X = _as_rows(file[name][...])
        coords = file.get(options.coords)
        return Content(X, None if coords is None else _as_coords(coords[...], len(X)))


def _numeric(file: h5py.File) -> dict[str, h5py.Dataset]:
    return {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu"}


def outline_arrays(path: Path, options: Options) -> Outline:
    """Shapes of a torch or NumPy file."""
    arrays = _load(path)
    n_rows, width = _rows_and_width(
        tuple(arrays[_chosen({name: tuple(a.shape) for name, a in arrays.items()}, options)].shape)
    )
    return Outline(n_rows, width, has_coords=options.coords in arrays)


def read_arrays(path: Path, options: Options) -> Content:
    """Features and coordinates."""
    arrays = _load(path)
    name = _chosen({name: tuple(array.shape) for name, array in arrays.items()}, options)
    X = _as_rows(_as_numpy(arrays[name]))
    coords = arrays.get(options.coords)
    return Content(X, None if coords is None else _as_coords(_as_numpy(coords), len(X)))


def _load(path: Path) -> Mapping[str, Any]:
    """Arrays of a file by name; an array alone is named ``features``. Nothing in the file is executed."""
    if path.suffix.lower() in (".pt", ".pth"):
        import torch

        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        if isinstance(loaded, dict):
            return {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
        if not isinstance(loaded, torch.Tensor):
            msg = f"it holds a {type(loaded).__name__}, not a tensor or a dictionary of tensors"
            raise ValueError(msg)
        return {"features": loaded}
    loaded = np.load(path, allow_pickle=False, mmap_mode="r")
    if isinstance(loaded, np.ndarray):
        return {"features": loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _as_numpy(array: Any) -> NDArray[Any]:
    # NumPy has no bfloat16.
    return array if isinstance(array, np.ndarray) else array.detach().float().numpy()


def _chosen(shapes: Mapping[str, tuple[int, ...]], options: Options) -> str:
    """Name of the array with the features."""
    if options.features is not None:
        if options.features not in shapes:
            msg = f"it has no array {options.features!r} (`features`), but {listed(shapes)}"
            raise ValueError(msg)
        return options.features
    if "features" in shapes:
        return "features"
    others = [name for name in shapes if name != options.coords]
    if len(others) != 1:
        msg = f"`features` says which of its arrays {listed(others)} are the features"
        raise ValueError(msg)
    return others[0]


def _rows_and_width(shape: tuple[int, ...]) -> tuple[int, int]:
    """Of (n, d), (1, n, d), and (d,) where a file is an image."""
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) == 1:
        shape = (int(shape[0] > 0), *shape)
    if len(shape) != 2:
        msg = f"its features have shape {shape}; (n, d), (1, n, d) or (d,) is needed"
        raise ValueError(msg)
    return int(shape[0]), int(shape[1])


def _as_rows(X: NDArray[Any]) -> NDArray[np.float32]:
    if X.dtype.kind not in "fiub":
        msg = f"its features are of type {X.dtype}, not numbers"
        raise ValueError(msg)
    return np.asarray(X, dtype=np.float32).reshape(_rows_and_width(X.shape))


def _as_coords(coords: NDArray[Any], n_rows: int) -> NDArray[Any]:
    coords = coords[0] if coords.ndim == 3 and len(coords) == 1 else coords
    coords = coords[None] if coords.ndim == 1 else coords
    if coords.ndim != 2 or len(coords) != n_rows or coords.shape[1] < 2:
        msg = f"its coordinates have shape {coords.shape}; ({n_rows}, 2) is needed"
        raise ValueError(msg)
    return coords[:, :2]


def _plain(value: Any) -> Any:
    """An attribute as a number or a string."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str | int | float | bool) else json.dumps(value, default=str)
