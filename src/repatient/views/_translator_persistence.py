"""Translators in a folder, without pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch

from repatient._device import find_device
from repatient._files._model_folder import TRANSLATOR as FOLDER
from repatient._files._model_folder import UNFITTING, with_nan, without_nan
from repatient.views._generators import Shapes, make_members
from repatient.views._spaces import ImageSpace, VectorSpace
from repatient.views._torch import build

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from repatient.views._translator import Translator

Model = TypeVar("Model", bound="Translator")
FITTED = ("generator_", "reason_", "n_source_", "n_target_", "n_pairs_", "source_names_", "target_names_")
SIDES = ("source", "target")


def save(model: Translator, folder: str | PathLike[str]) -> None:
    """Write a fitted translator, over an earlier one if that is what the folder holds."""
    FOLDER.check_target(folder)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._networks.state_dict().items()}
    for side, space in zip(SIDES, model._spaces, strict=True):
        arrays |= {f"{side}.{name}": array for name, array in space.arrays().items()}
    arrays["links"] = model.links_
    content = {
        "params": model.get_params(),
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": without_nan(model.history_)},
        "rows": {"source": model.source_shape_, "target": model.target_shape_},
        "network": {"source": model._shapes.source, "target": model._shapes.target},
    }
    FOLDER.write(folder, content, arrays)


def load(cls: type[Model], folder: str | PathLike[str], device: str) -> Model:
    """Read a translator and check that all of it is there."""
    place = find_device(device)
    description, arrays = FOLDER.read(folder)
    try:
        params = description["params"] | {"cycle_weights": tuple(description["params"]["cycle_weights"])}
        model = cls(**{**params, "device": device})
        fitted, rows, network = description["fitted"], description["rows"], description["network"]
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.history_ = with_nan(fitted["history"])
        model.links_ = arrays["links"]
        model.source_shape_, model.target_shape_ = tuple(rows["source"]), tuple(rows["target"])
        model._shapes = Shapes(tuple(network["source"]), tuple(network["target"]))
        space = ImageSpace if model._shapes.images else VectorSpace
        source, target = (space.from_arrays(_part(arrays, f"{side}.")) for side in SIDES)
        model._spaces = source, target
        networks = build(lambda: make_members(model.generator_, model._shapes, model.get_params()), torch.Generator())
        # Torch itself compares the shapes with those that the parameters ask for.
        weights = _part(arrays, "network.")
        networks.load_state_dict({name: torch.from_numpy(weights[name]) for name in networks.state_dict()})
    except UNFITTING as error:
        raise FOLDER.incomplete(folder, error) from error
    model._networks = networks.to(place).eval()
    return model


def _part(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Arrays whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
