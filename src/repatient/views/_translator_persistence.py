"""Translators in a folder, without pickle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from repatient.views._generators import Shapes, make_networks
from repatient.views._spaces import ImageSpace, VectorSpace
from repatient.views._torch import build, find_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.views._translator import Translator

Model = TypeVar("Model", bound="Translator")
FORMAT = "repatient-translator"
FORMAT_VERSION = 1
DESCRIPTION, WEIGHTS = "translator.json", "weights.npz"
FITTED = ("generator_", "reason_", "n_source_", "n_target_", "n_pairs_", "source_names_", "target_names_")
SIDES = ("source", "target")


def save(model: Translator, folder: str | os.PathLike[str]) -> None:
    """Write a fitted translator, over an earlier one if that is what the folder holds."""
    target = Path(folder)
    if target.exists() and not _holds_translator(target):
        msg = f"{target} exists and holds no translator of this package; choose a new folder."
        raise ValueError(msg)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._networks.state_dict().items()}
    for side, space in zip(SIDES, model._spaces, strict=True):
        arrays |= {f"{side}.{name}": array for name, array in space.arrays().items()}
    arrays["links"] = model.links_
    # JSON knows no NaN.
    history = {name: [None if np.isnan(v) else v for v in values] for name, values in model.history_.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": version("repatient"),
        "params": model.get_params(),
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": history},
        "rows": {"source": model.source_shape_, "target": model.target_shape_},
        "network": {"source": model._shapes.source, "target": model._shapes.target},
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
        "weights_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    written = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        (written / WEIGHTS).write_bytes(buffer.getvalue())
        (written / DESCRIPTION).write_text(json.dumps(description, indent=1, default=_plain), encoding="utf-8")
        target.mkdir(exist_ok=True)
        # Weights first: a description is never there before what it describes, and its digest tells the two apart.
        for name in (WEIGHTS, DESCRIPTION):
            os.replace(written / name, target / name)
    finally:
        shutil.rmtree(written)


def load(cls: type[Model], folder: str | os.PathLike[str], device: str) -> Model:
    """Read a translator and check that all of it is there."""
    description = _read_description(Path(folder))
    arrays = _read_arrays(Path(folder), description)
    try:
        params = description["params"] | {"cycle_weights": tuple(description["params"]["cycle_weights"])}
        model = cls(**{**params, "device": device})
        fitted, rows, network = description["fitted"], description["rows"], description["network"]
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.history_ = {
            name: [np.nan if v is None else v for v in values] for name, values in fitted["history"].items()
        }
        model.links_ = arrays["links"]
        model.source_shape_, model.target_shape_ = tuple(rows["source"]), tuple(rows["target"])
        model._shapes = Shapes(tuple(network["source"]), tuple(network["target"]))
        space = ImageSpace if model._shapes.images else VectorSpace
        source, target = (space.from_arrays(_part(arrays, f"{side}.")) for side in SIDES)
        model._spaces = source, target
        networks = build(lambda: make_networks(model.generator_, model._shapes, model.get_params()), torch.Generator())
        # Torch itself compares the shapes with those that the parameters ask for.
        weights = _part(arrays, "network.")
        networks.load_state_dict({name: torch.from_numpy(weights[name]) for name in networks.state_dict()})
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        msg = f"{Path(folder)} is no complete translator: {type(error).__name__} {error}."
        raise ValueError(msg) from error
    model._networks = networks.to(find_device(device)).eval()
    return model


def _part(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Arrays whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _read_description(folder: Path) -> dict[str, Any]:
    """The JSON part, if it is of a format that this version can read."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(_read_bytes(path))
    except ValueError as error:
        msg = f"{path} is not valid JSON: {error}."
        raise ValueError(msg) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        msg = f"{path} does not describe a {FORMAT} model."
        raise ValueError(msg)
    found = description.get("format_version")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        msg = f"{path} has format version {found!r}; this version reads up to {FORMAT_VERSION}. Update repatient."
        raise ValueError(msg)
    return description


def _read_arrays(folder: Path, description: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays, if they are those that the description was written with."""
    path = folder / WEIGHTS
    content = _read_bytes(path)
    if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
        msg = f"{path} is damaged or belongs to another {DESCRIPTION}: its digest does not fit."
        raise ValueError(msg)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError) as error:
        msg = f"{path} is no numpy archive without pickled objects: {error}."
        raise ValueError(msg) from error
    if {name: list(array.shape) for name, array in arrays.items()} != description.get("shapes"):
        msg = f"The arrays of {path} do not have the shapes that {DESCRIPTION} gives."
        raise ValueError(msg)
    return arrays


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        msg = f"{path} is missing; a saved translator is a folder of {DESCRIPTION} and {WEIGHTS}."
        raise FileNotFoundError(msg)
    return path.read_bytes()


def _holds_translator(folder: Path) -> bool:
    """Whether a folder may be overwritten."""
    if not (folder / DESCRIPTION).is_file():
        return False
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
    except ValueError:
        return False
    return isinstance(description, dict) and description.get("format") == FORMAT


def _plain(value: Any) -> Any:
    """Numpy scalars, of which users make parameters, as JSON."""
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{value!r} cannot be saved in a translator."
    raise TypeError(msg)
