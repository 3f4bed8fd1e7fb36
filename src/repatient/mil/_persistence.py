"""Models in a folder, without pickle."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch

from repatient._checks import check_integer, check_number
from repatient._device import find_device
from repatient._files._model_folder import CLASSIFIER as FOLDER
from repatient._files._model_folder import UNFITTING, with_nan, without_nan
from repatient._files._networks import network_of
from repatient._files._read import boolean, check_values, history
from repatient.mil._inputs import check_parameters
from repatient.mil._train import TEMPERATURE_BOUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike


class Storable(Protocol):
    """A fitted model of bags, whatever it predicts."""

    outcome: Any
    history_: Any
    validation_bags_: Any
    _mean: Any
    _scale: Any
    _network: Any

    def get_params(self) -> dict[str, Any]:
        """Its parameters."""

    def _targets(self) -> dict[str, Any]: ...
    def _read_targets(self, content: dict[str, Any]) -> None: ...
    def _outcome_to_load(self) -> Any: ...
    def _build_network(self, outcome: Any, generator: torch.Generator) -> Any: ...


Model = TypeVar("Model", bound=Storable)
_LOW, _HIGH = TEMPERATURE_BOUNDS
FITTED = {
    "n_epochs_": partial(check_integer, minimum=0),
    "best_epoch_": partial(check_integer, minimum=0),
    "early_stopped_": boolean,
    # A logarithm and its inverse may leave the last digit beyond the bound.
    "temperature_": partial(check_number, minimum=_LOW * (1 - 1e-9), maximum=_HIGH * (1 + 1e-9)),
    "n_features_in_": partial(check_integer, minimum=1),
}


def save(model: Storable, folder: str | PathLike[str]) -> None:
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
    stored = FOLDER.read(folder)
    description, arrays = stored.description, stored.arrays
    cls = _kind(kinds, description.get("outcome", "class"), folder)
    try:
        model = cls(**{**description["params"], "device": device})
        check_parameters(model.get_params())
        _check_targets(description)
        model._read_targets(description)
        fitted = description["fitted"]
        check_values(fitted, FITTED | {"history": history}, "fitted")
        model.history_ = with_nan(fitted["history"])
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.validation_bags_, model._mean, model._scale = (arrays[k] for k in ("validation_bags", "mean", "scale"))
        model._network = network_of(
            lambda: model._build_network(model._outcome_to_load(), torch.Generator()), stored.part("network.")
        )
        if not model._mean.shape == model._scale.shape == (fitted["n_features_in_"],) or not (model._scale > 0).all():
            msg = "it has no mean and no scale above 0 for each feature"
            raise ValueError(msg)
    except UNFITTING as error:
        raise FOLDER.incomplete(folder, error) from error
    return model


def _check_targets(description: dict[str, Any]) -> None:
    """Refuse classes that are few or alike, or a type that has room for more than they are, and scales that are none."""
    if "classes" in description:
        values, dtype = description["classes"]["values"], np.dtype(description["classes"]["dtype"])
        if dtype.kind not in "biufU" or dtype.itemsize > max(np.array(values).dtype.itemsize, 16):
            msg = f"its classes are {dtype.str!r}, not numbers or text of their length"
            raise ValueError(msg)
        if not isinstance(values, list) or len(set(values)) < max(len(values), 2):
            msg = "its classes are no list of two different names or more"
            raise ValueError(msg)
    if "target" in description:
        check_number(description["target"]["mean"], "mean")
        check_number(description["target"]["scale"], "scale", above=0)


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
