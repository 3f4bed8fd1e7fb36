"""Encoders in a folder, without pickle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from repatient.views._augmentations import CountAugmentation, ImageAugmentation, VectorAugmentation
from repatient.views._encoder_networks import encoder
from repatient.views._preparation import Preparation
from repatient.views._torch import build, find_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.views._encoder import Encoder

Model = TypeVar("Model", bound="Encoder")
FORMAT = "repatient-encoder"
FORMAT_VERSION = 1
DESCRIPTION, WEIGHTS = "encoder.json", "weights.npz"
FITTED = ("n_steps_", "best_step_", "early_stopped_", "kind_", "partner_kind_")
AUGMENTATIONS = {"augmentation", "partner_augmentation"}
CLASSES = {cls.__name__: cls for cls in (ImageAugmentation, VectorAugmentation, CountAugmentation)}


def save(model: Encoder, folder: str | os.PathLike[str]) -> None:
    """Write a fitted encoder, over an earlier one if that is what the folder holds."""
    target = Path(folder)
    if target.exists() and not _holds_encoder(target):
        msg = f"{target} exists and holds no encoder of this package; choose a new folder."
        raise ValueError(msg)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._network.state_dict().items()}
    arrays |= {f"primary.{name}": array for name, array in model._primary.arrays.items()}
    arrays |= {"mean": model._mean, "scale": model._scale, "held_out": model.held_out_}
    # JSON knows no NaN.
    history = {name: [None if np.isnan(v) else v for v in values] for name, values in model.history_.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": version("repatient"),
        "params": model.get_params(deep=False),
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": history},
        "primary": {"shape": list(model.shape_in_), "augmentation": model._primary.augmentation},
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
    """Read an encoder and check that all of it is there."""
    description = _read_description(Path(folder))
    arrays = _read_arrays(Path(folder), description)
    try:
        params = {name: _augmentation(v) if name in AUGMENTATIONS else v for name, v in description["params"].items()}
        model = cls(**{**params, "device": device})
        fitted, primary = description["fitted"], description["primary"]
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.history_ = {
            name: [np.nan if v is None else v for v in values] for name, values in fitted["history"].items()
        }
        model.held_out_, model._mean, model._scale = (arrays[name] for name in ("held_out", "mean", "scale"))
        model.shape_in_ = tuple(primary["shape"])
        read = {name.removeprefix("primary."): a for name, a in arrays.items() if name.startswith("primary.")}
        model._primary = Preparation(model.kind_, model.shape_in_, _augmentation(primary["augmentation"]), read)
        network = build(lambda: encoder(model._primary.input_shape, model.width, model.dim), torch.Generator())
        # Torch itself compares the shapes with those that the parameters ask for.
        network.load_state_dict({name: torch.from_numpy(arrays[f"network.{name}"]) for name in network.state_dict()})
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        msg = f"{Path(folder)} is no complete encoder: {type(error).__name__} {error}."
        raise ValueError(msg) from error
    model._network = network.to(find_device(device)).eval()
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
        msg = f"{path} is missing; a saved encoder is a folder of {DESCRIPTION} and {WEIGHTS}."
        raise FileNotFoundError(msg)
    return path.read_bytes()


def _holds_encoder(folder: Path) -> bool:
    """Whether a folder may be overwritten."""
    if not (folder / DESCRIPTION).is_file():
        return False
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
    except ValueError:
        return False
    return isinstance(description, dict) and description.get("format") == FORMAT


def _augmentation(entry: dict[str, Any] | None) -> Any:
    """The augmentation that :func:`_plain` described."""
    return None if entry is None else CLASSES[entry["type"]](**entry["settings"])


def _plain(value: Any) -> Any:
    """Augmentations, and numpy scalars, of which users make parameters, as JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, "settings": asdict(value)}
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{value!r} cannot be saved in an encoder."
    raise TypeError(msg)
