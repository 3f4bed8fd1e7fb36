"""Methods under names for readers."""

from __future__ import annotations

_WORDS = {
    "none": "no augmentation",
    "full": "all classes present",
    "recipe": "RECIPE",
    "recipe_fixed": "RECIPE, fixed patients",
    "random_selection": "fixed patients, as many at random",
    "same_class_mixing": "same-class mixing",
    "mean": "mean of cells",
    "kernel_mean": "kernel mean",
    "composition": "composition",
    "cells": "cell by cell",
    "centroid": "nearest centroid",
    "likelihood": "likelihood of recipes",
    "mixup": "Mixup",
    "size_only": "number of cells only",
    "null": "null: wrong recipes",
    "external": "external patients",
    "rankmix": "RankMix",
    "remix": "ReMix",
    "psemix": "PseMix",
    "insmix": "InsMix",
}


def method_label(method: str) -> str:
    """Name a method for figures and reports.

    Parameters
    ----------
    method
        Its name in results, such as ``"mean+recipe"``.

    Returns
    -------
    Words, such as "mean of cells + RECIPE"; names that users gave are left as they are.
    """
    return " + ".join(_WORDS.get(part, part) for part in str(method).split("+"))
