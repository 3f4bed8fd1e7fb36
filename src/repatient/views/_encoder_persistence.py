"""Encoders in a folder, without pickle."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from repatient._device import find_device
from repatient._files._model_folder import ENCODER as FOLDER
from repatient._files._model_folder import UNFITTING, with_nan, without_nan
from repatient._files._sealed_json import plain
from repatient.views._augmentations import CountAugmentation, ImageAugmentation, VectorAugmentation
from repatient.views._encoder_networks import encoder
from repatient.views._preparation import Preparation
from repatient.views._torch import build

if TYPE_CHECKING:
    from os import PathLike

    from repatient.views._encoder import Encoder

Model = TypeVar("Model", bound="Encoder")
FITTED = ("trust_", "n_steps_", "best_step_", "early_stopped_", "kind_", "partner_kind_")
AUGMENTATIONS = {"augmentation", "partner_augmentation"}
CLASSES = {cls.__name__: cls for cls in (ImageAugmentation, VectorAugmentation, CountAugmentation)}


def save(model: Encoder, folder: str | PathLike[str]) -> None:
    """Write a fitted encoder, over an earlier one if that is what the folder holds."""
    FOLDER.check_target(folder)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._network.state_dict().items()}
    arrays |= {f"primary.{name}": array for name, array in model._primary.arrays.items()}
    arrays |= {"mean": model._mean, "scale": model._scale, "held_out": model.held_out_}
    content = {
        "params": model.get_params(deep=False),
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": without_nan(model.history_)},
        "primary": {"shape": list(model.shape_in_), "augmentation": model._primary.augmentation},
    }
    FOLDER.write(folder, content, arrays, default=_plain)


def load(cls: type[Model], folder: str | PathLike[str], device: str) -> Model:
    """Read an encoder and check that all of it is there."""
    place = find_device(device)
    description, arrays = FOLDER.read(folder)
    try:
        params = {name: _augmentation(v) if name in AUGMENTATIONS else v for name, v in description["params"].items()}
        model = cls(**{**params, "device": device})
        fitted, primary = description["fitted"], description["primary"]
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.history_ = with_nan(fitted["history"])
        model.held_out_, model._mean, model._scale = (arrays[name] for name in ("held_out", "mean", "scale"))
        model.shape_in_ = tuple(primary["shape"])
        read = {name.removeprefix("primary."): a for name, a in arrays.items() if name.startswith("primary.")}
        model._primary = Preparation(model.kind_, model.shape_in_, _augmentation(primary["augmentation"]), read)
        network = build(lambda: encoder(model._primary.input_shape, model.width, model.dim), torch.Generator())
        # Torch itself compares the shapes with those that the parameters ask for.
        network.load_state_dict({name: torch.from_numpy(arrays[f"network.{name}"]) for name in network.state_dict()})
    except UNFITTING as error:
        raise FOLDER.incomplete(folder, error) from error
    model._network = network.to(place).eval()
    return model


def _augmentation(entry: dict[str, Any] | None) -> Any:
    """The augmentation that :func:`_plain` described."""
    return None if entry is None else CLASSES[entry["type"]](**entry["settings"])


def _plain(value: Any) -> Any:
    """Augmentations, and numpy scalars, of which users make parameters, as JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, "settings": asdict(value)}
    return plain(value)
