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

    from repatient.evaluation._workshop import Workshop
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
    of_fold = ["components", "n_components", "recipes"]
    # A patient that is kept has one label.
    of_fold += ["label_mixing"] if method in FIXED else []
    own = [field.name for field in fields(mixing.RecipeMix) if field.name not in of_fold]
    selection = {"recipe_fixed": _SELECTION, "random_selection": ("n_generated", "fraction")}
    return ["n_components", "align", "mixture", "transfer", "shared_class", *own, *selection.get(method, ())]


def predict(workshop: Workshop, method: str, settings: Mapping[str, Any]) -> NDArray[np.float64]:
    """Train by a method and predict the test patients of the fold, (patients, classes)."""
    if method == "size_only":
        return _size_only(workshop)
    if method in FIXED:
        return workshop.predict(workshop.train(workshop.fold.train, generated=_generated(workshop, method, settings)))
    if method in ("none", "external", "full"):
        patients = _real_patients(workshop, method)
        known = np.unique(workshop.cohort.y[patients])
        if len(known) == 1:
            return np.tile((np.arange(workshop.n_classes) == known[0]) * 1.0, (len(workshop.fold.test), 1))
        return workshop.predict(workshop.train(patients, align=settings.get("align", "raw")))
    return workshop.predict(workshop.train(workshop.fold.train, augment=augmenter(workshop, method, settings)))


def augmenter(workshop: Workshop, method: str, settings: Mapping[str, Any]) -> Augmenter:
    """What makes the bags of every step."""
    from repatient import mixing

    if method == "alternating":
        return mixing.Alternating(*(augmenter(workshop, one.method, one.settings) for one in settings["of"]))
    if method in IN_TURN:
        return _in_turn(workshop, IN_TURN[method], settings)
    if method == "null":
        return Null(recipe_mix(workshop, settings), workshop.scenario.missing_class)
    return recipe_mix(workshop, settings) if method == "recipe" else getattr(mixing, RIVALS[method])(**settings)


def _in_turn(workshop: Workshop, rivals: tuple[str, ...], settings: Mapping[str, Any]) -> Augmenter:
    """Recipes over each of some numbers of components, each after a rival: every other step is one of a recipe."""
    from repatient import mixing

    settings = {"label_mixing": _LABEL_MIXING, **settings}
    numbers = settings.pop("n_components", _COARSE_AND_FINE)
    turns: list[Augmenter] = []
    for number, rival in zip([numbers] if isinstance(numbers, int) else numbers, cycle(rivals), strict=False):
        turns += [
            getattr(mixing, RIVALS[rival])(),
            recipe_mix(workshop, {**settings, "n_components": int(number)}),
        ]
    return mixing.Alternating(*turns)


def _real_patients(workshop: Workshop, method: str) -> NDArray[np.int64]:
    """Training patients, with the real ones of the missing class from elsewhere or from the cohort itself."""
    added = {"none": workshop.fold.train[:0], "external": workshop.external_patients, "full": workshop.fold.withheld}
    return np.concatenate([workshop.fold.train, added[method]])


def _generated(workshop: Workshop, method: str, settings: Mapping[str, Any]) -> Any:
    """A fixed set of generated patients with their classes."""
    of_mix = {name: value for name, value in settings.items() if name not in _SELECTION}
    bags, y = draw_fixed(workshop, recipe_mix(workshop, of_mix), settings.get("n_generated"))
    keep = "random" if method == "random_selection" else settings.get("select", "all")
    return select(workshop, bags, y, keep=keep, fraction=settings.get("fraction", 0.5))


def _size_only(workshop: Workshop) -> NDArray[np.float64]:
    """Logistic regression on the logarithm of the number of cells."""
    patients = np.concatenate([workshop.fold.train, workshop.external_patients])
    sizes = np.log(workshop.bags.sizes)[:, None]
    sizes -= sizes[patients].mean()
    model = LogisticRegression(class_weight="balanced").fit(sizes[patients], workshop.cohort.y[patients])
    probabilities = np.zeros((len(workshop.fold.test), workshop.n_classes))
    probabilities[:, model.classes_] = model.predict_proba(sizes[workshop.fold.test])
    return probabilities
