"""Predictors in a folder, without pickle; a predictor may hold others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from repatient._checks import listed
from repatient._device import find_device
from repatient._files._model_folder import CLASSIFIER as FOLDER
from repatient._files._model_folder import UNFITTING

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

# Kinds of predictors by the name that a saved model carries.
KINDS: dict[str, type[Any]] = {}
_NESTED = "predictor"
# Bytes of a name of a class that are believed without one of that length.
_WIDEST_NAME = 4096


def save(model: Any, folder: str | PathLike[str]) -> None:
    """Write a fitted predictor, over an earlier one if that is what the folder holds."""
    FOLDER.check_target(folder)
    FOLDER.write(folder, *packed(model))


def load(folder: str | PathLike[str], device: str, wanted: type[Any] | None = None) -> Any:
    """Read a predictor, of a kind if one is wanted, and check that all of it is there."""
    find_device(device)
    stored = FOLDER.read(folder)
    description, arrays = stored.description, stored.arrays
    kind = description.get("kind")
    found = KINDS.get(kind) if isinstance(kind, str) else None
    if found is None or wanted not in (None, found):
        of = listed(name for name, cls in KINDS.items() if wanted in (None, cls))
        msg = (
            f"{folder} holds a predictor of kind {kind!r}, not of {of}. `repatient.mil.load_model` reads all kinds; one "
            "that another package defines has to be imported before."
        )
        raise ValueError(msg)
    try:
        return unpacked(description, arrays, device)
    except UNFITTING as error:
        raise FOLDER.incomplete(folder, error) from error


def packed(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Description and arrays of a fitted predictor."""
    content, arrays = model.state()
    return _described(model) | content, arrays


def unpacked(content: Mapping[str, Any], arrays: Arrays, device: str) -> Any:
    """The inverse of :func:`packed`."""
    model = _built(content, device)
    model.check_params()
    model.restore(content, arrays)
    return model


def described_classes(classes: NDArray[Any]) -> dict[str, Any]:
    """Classes for a description."""
    return {"dtype": classes.dtype.str, "values": classes.tolist()}


def classes_of(content: Mapping[str, Any]) -> NDArray[Any]:
    """The inverse, for what may be anything: two or more different classes, of a type that fits them."""
    stored = content["classes"]
    found, dtype = np.array(stored["values"]), np.dtype(stored["dtype"])
    fits = found.ndim == 1 and found.dtype.kind in "biufU" and dtype.kind == found.dtype.kind
    if not fits or len(np.unique(found)) < max(len(found), 2) or dtype.itemsize > max(found.itemsize, _WIDEST_NAME):
        msg = f"`classes` are two or more different names or numbers, not {stored!r:.200}."
        raise ValueError(msg)
    return found.astype(dtype)


def array_of(
    arrays: Mapping[str, NDArray[Any]], name: str, *shape: int | None, above: float | None = None
) -> NDArray[Any]:
    """One of the arrays, if it holds finite numbers in the shape that is asked for (None: any size).

    Small integers, which wrap around, and half precision, which overflows, are widened: nothing here is saved as these.
    """
    array = arrays[name]
    sizes = len(array.shape) == len(shape) and all(
        size in (None, n) for size, n in zip(shape, array.shape, strict=True)
    )
    if not sizes or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        msg = f"{name!r} holds finite numbers of shape {shape}, not {array.dtype} of shape {array.shape}, or not all finite."
        raise ValueError(msg)
    if above is not None and not np.all(array > above):
        msg = f"{name!r} holds numbers above {above:g}."
        raise ValueError(msg)
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def above(arrays: Arrays, prefix: str) -> Arrays:
    """The same arrays with a prefix before their names."""
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def under(arrays: Arrays, prefix: str) -> Arrays:
    """Arrays whose name begins with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _described(model: Any) -> dict[str, Any]:
    """Kind and parameters of a predictor, fitted or not."""
    params = {name: _plain(value) for name, value in model.get_params(deep=False).items()}
    return {"kind": model.kind, "params": params}


def _plain(value: Any) -> Any:
    """A parameter, in which there may be predictors, for JSON."""
    if isinstance(value, BaseEstimator):
        return {_NESTED: _described(value)}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _built(content: Mapping[str, Any], device: str) -> Any:
    params = {name: _unplain(value, device) for name, value in content["params"].items()}
    return KINDS[content["kind"]](**params | ({"device": device} if "device" in params else {}))


def _unplain(value: Any, device: str) -> Any:
    if isinstance(value, dict):
        if set(value) == {_NESTED}:
            return _built(value[_NESTED], device)
        return {name: _unplain(part, device) for name, part in value.items()}
    return [_unplain(part, device) for part in value] if isinstance(value, list) else value
