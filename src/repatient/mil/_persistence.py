"""Models in a folder, without pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from repatient._model_folder import ModelFolder, with_nan, without_nan

if TYPE_CHECKING:
    from os import PathLike

    from repatient.mil._classifier import MILClassifier

Model = TypeVar("Model", bound="MILClassifier")
FOLDER = ModelFolder("model", "repatient-mil", "model.json")
FITTED = ("n_epochs_", "best_epoch_", "early_stopped_", "temperature_", "n_features_in_")


def save(model: MILClassifier, folder: str | PathLike[str]) -> None:
    """Write a fitted model, over an earlier one if that is what the folder holds."""
    FOLDER.check_target(folder)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in model._network.state_dict().items()}
    arrays |= {"mean": model._mean, "scale": model._scale, "validation_bags": model.validation_bags_}
    content = {
        "params": model.get_params(),
        "classes": {"dtype": model.classes_.dtype.str, "values": model.classes_.tolist()},
        "fitted": {name: getattr(model, name) for name in FITTED} | {"history": without_nan(model.history_)},
    }
    FOLDER.write(folder, content, arrays)


def load(cls: type[Model], folder: str | PathLike[str], device: str) -> Model:
    """Read a model and check that all of it is there."""
    description, arrays = FOLDER.read(folder)
    try:
        model = cls(**{**description["params"], "device": device})
        fitted, classes = description["fitted"], description["classes"]
        model.classes_ = np.array(classes["values"], dtype=np.dtype(classes["dtype"]))
        model.history_ = with_nan(fitted["history"])
        for name in FITTED:
            setattr(model, name, fitted[name])
        model.validation_bags_, model._mean, model._scale = (arrays[k] for k in ("validation_bags", "mean", "scale"))
        model._network = model._build_network(torch.Generator())
        weights = {name: torch.from_numpy(arrays[f"network.{name}"]) for name in model._network.state_dict()}
        # Torch itself compares the shapes with those that the parameters ask for.
        model._network.load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise FOLDER.incomplete(folder, error) from error
    return model
