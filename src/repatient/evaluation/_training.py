"""How each method trains in a fold."""

from __future__ import annotations

from dataclasses import fields
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from repatient.evaluation._recipe_mix import Null, draw_fixed, recipe_mix, select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from repatient.evaluation._fitted_fold import FittedFold
    from repatient.mil import Augmenter

RIVALS = {
    "oversampling": "Oversampling",
    "same_class_mixing": "SameClassMixing",
    "mixup": "Mixup",
    "rankmix": "RankMix",
    "remix": "ReMix",
    "psemix": "PseMix",
    "insmix": "InsMix",
}
# RECIPE in turn with rivals.
IN_TURN = {"recipe+psemix": ("psemix",), "recipe+psemix+insmix": ("psemix", "insmix")}
GENERATING = ("recipe", *IN_TURN, "null", "alternating")
FIXED = ("recipe_fixed", "random_selection")
CONTROLS = ("size_only", "external", "full")
METHODS = ("none", *GENERATING, *FIXED, *RIVALS, *CONTROLS)
FOR_ALL_CLASSES = tuple(name for name in METHODS if name not in ("external", "full"))
# What can make up for a class without a training patient.
FOR_MISSING_CLASS = ("none", "recipe", "null", *FIXED, *CONTROLS)

# Few patients bear few components; a coarse and a finer mixture err in different ways.
_COARSE_AND_FINE = (3, 8)
_LABEL_MIXING = 0.5
_SELECTION = ("n_generated", "select", "fraction")


def settings_of(method: str) -> list[str]:
    """What can be set of a method."""
    from repatient import mixing

    if method in RIVALS:
        return [field.name for field in fields(getattr(mixing, RIVALS[method]))]
    if method == "alternating":
        return ["of"]
    if method not in ("recipe", *IN_TURN, "null", *FIXED):
        return ["align"] if method == "external" else []
    of_fold = ["components", "n_components", "recipes", "random_state", "standardize", "cache"]
    # A patient that is kept has one label.
    of_fold += ["label_mixing"] if method in FIXED else []
    own = [field.name for field in fields(mixing.RecipeMix) if field.name not in of_fold]
    selection = {"recipe_fixed": _SELECTION, "random_selection": ("n_generated", "fraction")}
    return ["n_components", "align", "mixture", "transfer", "shared_class", *own, *selection.get(method, ())]


def predict(fitted: FittedFold, method: str, settings: Mapping[str, Any]) -> NDArray[np.float64]:
    """Train by a method and predict the test patients of the fold, (patients, classes)."""
    if method == "size_only":
        return _size_only(fitted)
    if method in FIXED:
        return fitted.predict(fitted.train(fitted.fold.train, generated=_generated(fitted, method, settings)))
    if method in ("none", "external", "full"):
        patients = _real_patients(fitted, method)
        known = np.unique(fitted.cohort.y[patients])
        if len(known) == 1:
            return np.tile((np.arange(fitted.n_classes) == known[0]) * 1.0, (len(fitted.fold.test), 1))
        return fitted.predict(fitted.train(patients, align=settings.get("align", "raw")))
    return fitted.predict(fitted.train(fitted.fold.train, augment=augmenter(fitted, method, settings)))


def augmenter(fitted: FittedFold, method: str, settings: Mapping[str, Any]) -> Augmenter:
    """What makes the bags of every step."""
    from repatient import mixing

    if method == "alternating":
        return mixing.Alternating(*(augmenter(fitted, one.method, one.settings) for one in settings["of"]))
    if method in IN_TURN:
        return _in_turn(fitted, IN_TURN[method], settings)
    if method == "null":
        return Null(recipe_mix(fitted, settings), fitted.scenario.missing_class)
    return recipe_mix(fitted, settings) if method == "recipe" else getattr(mixing, RIVALS[method])(**settings)


def _in_turn(fitted: FittedFold, rivals: tuple[str, ...], settings: Mapping[str, Any]) -> Augmenter:
    """Recipes over each of some numbers of components, each after a rival: every other step is one of a recipe."""
    from repatient import mixing

    settings = {"label_mixing": _LABEL_MIXING, **settings}
    numbers = settings.pop("n_components", _COARSE_AND_FINE)
    turns: list[Augmenter] = []
    for number, rival in zip([numbers] if isinstance(numbers, int) else numbers, cycle(rivals), strict=False):
        turns += [
            getattr(mixing, RIVALS[rival])(),
            recipe_mix(fitted, {**settings, "n_components": int(number)}),
        ]
    return mixing.Alternating(*turns)


def _real_patients(fitted: FittedFold, method: str) -> NDArray[np.int64]:
    """Training patients, with the real ones of the missing class from elsewhere or from the cohort itself."""
    added = {"none": fitted.fold.train[:0], "external": fitted.external_patients, "full": fitted.fold.withheld}
    return np.concatenate([fitted.fold.train, added[method]])


def _generated(fitted: FittedFold, method: str, settings: Mapping[str, Any]) -> Any:
    """A fixed set of generated patients with their classes."""
    of_mix = {name: value for name, value in settings.items() if name not in _SELECTION}
    bags, y = draw_fixed(fitted, recipe_mix(fitted, of_mix), settings.get("n_generated"))
    keep = "random" if method == "random_selection" else settings.get("select", "all")
    return select(fitted, bags, y, keep=keep, fraction=settings.get("fraction", 0.5))


def _size_only(fitted: FittedFold) -> NDArray[np.float64]:
    """Logistic regression on the logarithm of the number of cells."""
    patients = np.concatenate([fitted.fold.train, fitted.external_patients])
    sizes = np.log(fitted.bags.sizes)[:, None]
    sizes -= sizes[patients].mean()
    model = LogisticRegression(class_weight="balanced").fit(sizes[patients], fitted.cohort.y[patients])
    probabilities = np.zeros((len(fitted.fold.test), fitted.n_classes))
    probabilities[:, model.classes_] = model.predict_proba(sizes[fitted.fold.test])
    return probabilities
