"""Models in a folder, without pickle."""

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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._classifier import MILClassifier

Model = TypeVar("Model", bound="MILClassifier")
FORMAT = "repatient-mil"
FORMAT_VERSION = 1
DESCRIPTION, WEIGHTS = "model.json", "weights.npz"
FITTED = ("n_epochs_", "best_epoch_", "early_stopped_", "temperature_", "n_features_in_")


def save(model: MILClassifier, folder: str | os.PathLike[str]) -> None:
    """Write a fitted model, over an earlier one if that is what the folder holds."""
    target = Path(folder)
    if target.exists() and not _holds_model(target):
        msg = f"{target} exists and holds no model of this package; choose a new folder."
        raise ValueError(msg)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._network.state_dict().items()}
    arrays |= {"mean": model._mean, "scale": model._scale, "validation_bags": model.validation_bags_}
    # JSON knows no NaN.
    history = {name: [None if np.isnan(v) else v for v in values] for name, values in model.history_.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": version("repatient"),
        "params": model.get_params(),
        "classes": {"dtype": model.classes_.dtype.str, "values": model.classes_.tolist()},
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": history},
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
    """Read a model and check that all of it is there."""
    description = _read_description(Path(folder))
    arrays = _read_arrays(Path(folder), description)
    try:
        model = cls(**{**description["params"], "device": device})
        fitted, classes = description["fitted"], description["classes"]
        model.classes_ = np.array(classes["values"], dtype=np.dtype(classes["dtype"]))
        model.history_ = {
            name: [np.nan if v is None else v for v in values] for name, values in fitted["history"].items()
        }
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.validation_bags_, model._mean, model._scale = (arrays[k] for k in ("validation_bags", "mean", "scale"))
        model._network = model._build_network(torch.Generator())
        weights = {name: torch.from_numpy(arrays[f"network.{name}"]) for name in model._network.state_dict()}
        # Torch itself compares the shapes with those that the parameters ask for.
        model._network.load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        msg = f"{Path(folder)} is no complete model: {type(error).__name__} {error}."
        raise ValueError(msg) from error
    return model


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
        msg = f"{path} is missing; a saved model is a folder of {DESCRIPTION} and {WEIGHTS}."
        raise FileNotFoundError(msg)
    return path.read_bytes()


def _holds_model(folder: Path) -> bool:
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
    msg = f"{value!r} cannot be saved in a model."
    raise TypeError(msg)
