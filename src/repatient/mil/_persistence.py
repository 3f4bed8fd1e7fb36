"""Models in a folder, without pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch

from repatient._device import find_device
from repatient._files._model_folder import CLASSIFIER as FOLDER
from repatient._files._model_folder import UNFITTING, with_nan, without_nan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from repatient.mil._model import BagModel

Model = TypeVar("Model", bound="BagModel")
FITTED = ("n_epochs_", "best_epoch_", "early_stopped_", "temperature_", "n_features_in_")


def save(model: BagModel, folder: str | PathLike[str]) -> None:
    """Write a fitted model, over an earlier one if that is what the folder holds."""
    FOLDER.check_target(folder)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._network.state_dict().items()}
    arrays |= {"mean": model._mean, "scale": model._scale, "validation_bags": model.validation_bags_}
    content = {
        "outcome": model.outcome,
        "params": model.get_params(),
        **model._targets(),
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": without_nan(model.history_)},
    }
    FOLDER.write(folder, content, arrays)


def load(kinds: Sequence[type[Model]], folder: str | PathLike[str], device: str) -> Model:
    """Read a model of one of some kinds and check that all of it is there."""
    find_device(device)
    description, arrays = FOLDER.read(folder)
    cls = _kind(kinds, description.get("outcome", "class"), folder)
    try:
        model = cls(**{**description["params"], "device": device})
        model._read_targets(description)
        fitted = description["fitted"]
        model.history_ = with_nan(fitted["history"])
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.validation_bags_, model._mean, model._scale = (arrays[k] for k in ("validation_bags", "mean", "scale"))
        model._network = model._build_network(model._outcome_to_load(), torch.Generator())
        weights = {name: torch.from_numpy(arrays[f"network.{name}"]) for name in model._network.state_dict()}
        # Torch itself compares the shapes with those that the parameters ask for.
        model._network.load_state_dict(weights)
    except UNFITTING as error:
        raise FOLDER.incomplete(folder, error) from error
    return model


def _kind(kinds: Sequence[type[Model]], outcome: object, folder: str | PathLike[str]) -> type[Model]:
    """The kind of model that predicts such an outcome."""
    for kind in kinds:
        if kind.outcome == outcome:
            return kind
    msg = (
        f"{folder} holds a model of outcome {outcome!r}, not {' or '.join(repr(kind.outcome) for kind in kinds)}; "
        "`repatient.mil.load_model` reads models of all outcomes that this version knows."
    )
    raise ValueError(msg)
