"""Methods that can be compared: the registry of them, their names, and what a user may set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from repatient._checks import listed
from repatient.evaluation._fold import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from repatient.evaluation._fitted_fold import FittedFold

_PLAIN = (
    "mean",
    "kernel_mean",
    "quantiles",
    "composition",
    "prototypes",
    "cloudpred",
    "cells",
    "centroid",
    "likelihood",
    "attention",
    "auto",
)
_CONTROLS = ("null", "size_only")
_DEFAULTS = (*_PLAIN, "mean+recipe", "attention+recipe+psemix+insmix", *_CONTROLS)
DEFAULTS = {
    "full": _DEFAULTS,
    "low_data": _DEFAULTS,
    "rare_class": _DEFAULTS,
    "missing_class": ("full", "recipe", "recipe_fixed", "external", *_CONTROLS),
}
BASELINES = {"full": "auto", "low_data": "auto", "rare_class": "auto", "missing_class": "full"}
# Names of before there were several predictors, all of them of the attention network.
ALIASES = {
    "none": "attention",
    **{
        name: f"attention+{name}"
        for name in (
            "recipe",
            "recipe+psemix",
            "recipe+psemix+insmix",
            "oversampling",
            "same_class_mixing",
            "mixup",
            "rankmix",
            "remix",
            "psemix",
            "insmix",
        )
    },
}


class Way(Protocol):
    """A way of predicting the test patients of a fold from its training patients.

    An instance holds its settings. :func:`register_method` makes a class of them available under a name.
    """

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Scenarios that it makes sense in."""

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what the class can be called with."""

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""


_REGISTRY: dict[str, Callable[..., Way]] = {}
# What a name stands for that joins a predictor to augmenters.
_JOINED: list[Callable[..., Way]] = []


def register_joined(way: Callable[..., Way]) -> None:
    """Set what trains predictors on augmenters, called with ``predictor``, ``augment`` and settings."""
    _JOINED[:] = [way]


def register_method(name: str, way: Callable[..., Way]) -> None:
    """Offer a method under a name in :func:`repatient.tl.evaluate`.

    Parameters
    ----------
    name
        What it is called. Names of predictors, alone or joined by ``"+"`` to those of augmenters, are methods already.
    way
        A class with ``scenarios``, ``settings()`` and ``predict(fold)``.

    Raises
    ------
    TypeError, ValueError
        If it is no such class, of an unknown scenario, or the name is taken.
    """
    from repatient.mil import PREDICTORS

    if not getattr(way, "__module__", "").startswith("repatient.evaluation."):
        # Names of ours are taken, whether or not they have been entered yet.
        _methods()
    if name in _REGISTRY or name in ALIASES or name.partition("+")[0] in PREDICTORS:
        msg = f"`name`: there is a method {name!r} already."
        raise ValueError(msg)
    missing = [attribute for attribute in ("scenarios", "settings", "predict") if not hasattr(way, attribute)]
    if missing:
        msg = f"`way`: a class with 'scenarios', 'settings' and 'predict' is needed, and it lacks {listed(missing)}."
        raise TypeError(msg)
    unknown = [scenario for scenario in way.scenarios if scenario not in SCENARIOS]  # type: ignore[attr-defined]
    if unknown:
        msg = f"`way`: there are no scenarios {listed(unknown)}; there are {listed(SCENARIOS)}."
        raise ValueError(msg)
    _REGISTRY[name] = way


def unregister_method(name: str) -> None:
    """Take a method out of the registry again.

    Parameters
    ----------
    name
        What it was registered as.
    """
    del _REGISTRY[name]


def _methods() -> dict[str, Callable[..., Way]]:
    """All that are registered; ours are entered when methods are first asked for, as they bring torch."""
    for name in ("_trained", "_travels"):
        import_module(f"repatient.evaluation.{name}")
    return _REGISTRY


def method_names(scenario: str | None = None) -> list[str]:
    """Names of all methods but those that are joined by ``"+"``, of one scenario or of all.

    Parameters
    ----------
    scenario
        One of :data:`repatient.evaluation.SCENARIOS`; ``None`` for all.

    Returns
    -------
    The names.
    """
    from repatient.mil import PREDICTORS

    names = [*PREDICTORS, *_methods()]
    return [name for name in names if scenario is None or scenario in Method(name).way.scenarios]


def _parse(name: str) -> tuple[Any, dict[str, Any]]:
    """What a name stands for: a class, and what it is called with besides its settings."""
    from repatient.mil import PREDICTORS
    from repatient.mixing import find_augmenter

    if name in _methods():
        return _REGISTRY[name], {}
    predictor, _, augment = ALIASES.get(name, name).partition("+")
    if predictor not in PREDICTORS:
        msg = (
            f"`methods`: no method {name!r}; a method is one of {listed([*PREDICTORS, *_REGISTRY], 40)}, or a predictor "
            "with augmenters joined to it by '+', such as 'mean+recipe'."
        )
        raise ValueError(msg)
    for part in augment.split("+") if augment else ():
        find_augmenter(part)
    return _JOINED[0], {"predictor": predictor, "augment": augment or None}


@dataclass(frozen=True)
class Method:
    """A way of training, with settings.

    Parameters
    ----------
    method
        What is done: a predictor, ``"mean"``; a predictor and what it is trained on besides the patients,
        ``"mean+recipe"``; or one of the others that :func:`repatient.evaluation.method_names` lists.
    name
        What it is called in the results; by default as ``method``.
    settings
        What differs from the defaults.
    """

    method: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        way, parts = _parse(self.method)
        known = way.settings(**parts)
        unknown = [name for name in self.settings if name not in known]
        if unknown:
            msg = f"`methods`: {self.method!r} has no settings {listed(unknown)}; it has {listed(known, 40)}."
            raise ValueError(msg)
        object.__setattr__(self, "name", self.name or self.method)
        _ = self.way

    @classmethod
    def of(cls, given: Any) -> Self:
        """A method from its name, from a mapping of ``method``, ``name`` and settings, or as it is."""
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            return cls(given)
        if not isinstance(given, Mapping) or "method" not in given:
            msg = f"`methods`: a method is a name or a mapping with 'method', not {given!r}."
            raise TypeError(msg)
        settings = {name: value for name, value in given.items() if name not in ("method", "name")}
        return cls(given["method"], given.get("name", ""), settings)

    @cached_property
    def way(self) -> Way:
        """What it does."""
        way, parts = _parse(self.method)
        return way(**parts, **self.settings)

    @property
    def record(self) -> dict[str, Any]:
        """What it is, without the name that it goes by."""
        return json.loads(json.dumps({"method": self.method, **self.settings}, default=repr))

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold as often as is planned, and predict its test patients, (patients, classes)."""
        members = [fold.member(number) for number in range(fold.plan.n_models)]
        return np.mean([self.way.predict(member) for member in members], axis=0)


def check_methods(given: Any, scenario: str) -> list[Method]:
    """Methods of different names that make sense in a scenario.

    Parameters
    ----------
    given
        Names, mappings or methods, as for :func:`repatient.tl.evaluate`; ``None`` for the defaults of the scenario.
    scenario
        One of :data:`repatient.evaluation.SCENARIOS`.

    Returns
    -------
    The methods.

    Raises
    ------
    TypeError
        If what is given is no sequence.
    ValueError
        If a method or a setting of it is unknown or of no use in the scenario, or two have one name.
    """
    if given is None:
        given = DEFAULTS[scenario]
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence) or not given:
        msg = f"`methods` is a sequence of methods, not {given!r}; for `scenario={scenario!r}` there are {listed(method_names(scenario), 40)}."
        raise TypeError(msg)
    methods = [Method.of(one) for one in given]
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"`methods`: {listed(twice)} occur more than once; give each a 'name' of its own."
        raise ValueError(msg)
    wrong = [method.name for method in methods if scenario not in method.way.scenarios]
    if wrong:
        msg = f"`methods`: {listed(wrong)} are of no use for `scenario={scenario!r}`; there are {listed(method_names(scenario), 40)}."
        raise ValueError(msg)
    return methods
