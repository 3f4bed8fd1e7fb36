"""Predictors by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from repatient._checks import check_key, check_option
from repatient.mil._attention import Attention
from repatient.mil._cells import Cells
from repatient.mil._centroid import Centroid
from repatient.mil._cloudpred import CloudPred
from repatient.mil._ensemble import Ensemble
from repatient.mil._likelihood import Likelihood
from repatient.mil._linear import Linear
from repatient.mil._training_set import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from repatient.mil._predictor import Predictor

PREDICTORS: dict[str, Callable[..., Predictor]] = {}


def register_predictor(name: str, factory: Callable[..., Predictor]) -> None:
    """Offer a predictor under a name, wherever a name of a predictor is taken.

    Parameters
    ----------
    name
        A new name, without ``"+"`` and ``"/"``.
    factory
        Makes an unfitted :class:`Predictor` when it is called without arguments, such as its class. Of the parameters
        ``outcome``, ``random_state``, ``device`` and ``progress`` those that it has are set afterwards. To be read by
        :func:`load_model` it derives from :class:`BasePredictor`.

    Raises
    ------
    TypeError, ValueError
        If the name is no name or is taken, or the factory cannot be called.
    """
    check_key(name, "name")
    if "+" in name or name in PREDICTORS:
        msg = f"`name` is a new name without '+', not {name!r}; taken are {list(PREDICTORS)}."
        raise ValueError(msg)
    if not callable(factory):
        msg = f"`factory` makes a predictor when it is called, found {factory!r}."
        raise TypeError(msg)
    PREDICTORS[name] = factory


def make_predictor(
    model: str | Predictor,
    *,
    outcome: str = "class",
    random_state: int | None = 0,
    device: str = "auto",
    progress: bool | None = None,
    **settings: Any,
) -> Any:
    """An unfitted predictor from its name, or from one that is configured.

    Parameters
    ----------
    model
        A name in :data:`PREDICTORS`, or an unfitted predictor, of which a copy is made.
    outcome
        What is to be predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed.
    device, progress
        Torch device of networks, and whether a progress bar is shown; predictors without a network have neither.
    settings
        Parameters of the predictor; of an :class:`Ensemble` also those of its members, for each member that has them.

    Returns
    -------
    The predictor. What a configured one says of seed, device and progress is replaced, its other parameters are kept.

    Raises
    ------
    TypeError
        If ``model`` is neither a name nor a predictor.
    ValueError
        If the name, the outcome or a setting is not known.
    """
    check_option(outcome, "outcome", OUTCOMES)
    if isinstance(model, str):
        check_option(model, "model", PREDICTORS)
        made: Any = PREDICTORS[model]()
    elif (
        not isinstance(model, type)
        and callable(getattr(model, "fit", None))
        and callable(getattr(model, "get_params", None))
    ):
        made = clone(model)
    else:
        msg = f"`model` is one of {list(PREDICTORS)} or a predictor (see repatient.mil.Predictor), not {model!r}."
        raise TypeError(msg)
    known = made.get_params(deep=False)
    unknown = sorted(set(settings) - set(known))
    if unknown and isinstance(made, Ensemble):
        of_members = {name: settings.pop(name) for name in unknown}
        settings["settings"] = dict(made.settings or {}) | of_members
    elif unknown:
        msg = f"`{unknown[0]}` is no parameter of {type(made).__name__}, which has {sorted(known)}."
        raise ValueError(msg)
    shared = {"outcome": outcome, "random_state": random_state, "device": device, "progress": progress}
    return made.set_params(**{name: value for name, value in shared.items() if name in known}, **settings)


_FACTORIES: dict[str, Callable[..., Any]] = {
    "mean": partial(Linear, "mean"),
    "kernel_mean": partial(Linear, "kernel_mean", C=0.1),
    "quantiles": partial(Linear, "quantiles", C=0.1),
    "moments": partial(Linear, "moments"),
    "extremes": partial(Linear, "extremes"),
    "composition": partial(Linear, "composition"),
    "prototypes": partial(Linear, "prototypes", C=0.1),
    "cloudpred": CloudPred,
    "cells": Cells,
    "centroid": Centroid,
    "likelihood": Likelihood,
    "attention": Attention,
    "auto": Ensemble,
}
for _name, _factory in _FACTORIES.items():
    register_predictor(_name, _factory)
