"""What can be compared, and what a user may set of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from repatient.evaluation._training import FOR_ALL_CLASSES, FOR_MISSING_CLASS, METHODS, predict, settings_of

if TYPE_CHECKING:
    from repatient.evaluation._fitted_fold import FittedFold

_MIXING = ("recipe+psemix+insmix", "recipe", "recipe_fixed", "psemix", "insmix", "same_class_mixing")
DEFAULTS = {
    "full": ("none", *_MIXING, "null", "size_only"),
    "low_data": ("none", *_MIXING, "null", "size_only"),
    "missing_class": ("full", "recipe", "recipe_fixed", "external", "null", "size_only"),
}
BASELINES = {"full": "none", "low_data": "none", "missing_class": "full"}


@dataclass(frozen=True)
class Method:
    """A way of training, with settings.

    Parameters
    ----------
    method
        What is done, one of :data:`repatient.evaluation.METHODS`.
    name
        What it is called in the results; by default as ``method``.
    settings
        What differs from the defaults.
    """

    method: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            msg = f"`methods`: no method {self.method!r}; there are {list(METHODS)}."
            raise ValueError(msg)
        known = settings_of(self.method)
        unknown = [name for name in self.settings if name not in known]
        if unknown:
            msg = f"`methods`: {self.method!r} has no settings {unknown}; it has {known}."
            raise ValueError(msg)
        object.__setattr__(self, "name", self.name or self.method)
        if self.method == "alternating":
            turns = [type(self).of(given) for given in self.settings.get("of", ())]
            object.__setattr__(self, "settings", {"of": turns})

    @classmethod
    def of(cls, given: Any) -> Self:
        """A method from its name, from a mapping of ``method``, ``name`` and settings, or as it is."""
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            return cls(given)
        if not isinstance(given, Mapping) or "method" not in given:
            msg = f"`methods`: a method is a name or a mapping with 'method', not {given!r}; there are {list(METHODS)}."
            raise TypeError(msg)
        settings = {name: value for name, value in given.items() if name not in ("method", "name")}
        return cls(given["method"], given.get("name", ""), settings)

    @property
    def record(self) -> dict[str, Any]:
        """What it is, without the name that it goes by."""
        settings = dict(self.settings)
        if "of" in settings:
            settings["of"] = [one.record for one in settings["of"]]
        return {"method": self.method, **settings}

    def predict(self, fitted: FittedFold) -> Any:
        """Train in a fold as often as is planned, and predict its test patients, (patients, classes)."""
        members = [fitted.member(number) for number in range(fitted.plan.n_models)]
        return np.mean([predict(member, self.method, self.settings) for member in members], axis=0)


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
        msg = f"`methods` is a sequence of methods, not {given!r}; there are {list(METHODS)}."
        raise TypeError(msg)
    methods = [Method.of(one) for one in given]
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"`methods`: {twice} occur more than once; give each a 'name' of its own."
        raise ValueError(msg)
    possible = FOR_MISSING_CLASS if scenario == "missing_class" else FOR_ALL_CLASSES
    wrong = [method.name for method in methods if method.method not in possible]
    if wrong:
        msg = f"`methods`: {wrong} are of no use for `scenario={scenario!r}`; there are {list(possible)}."
        raise ValueError(msg)
    return methods
