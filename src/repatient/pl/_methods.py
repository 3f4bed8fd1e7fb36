"""Methods of an evaluation under names for figures."""

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


def readable(method: str) -> str:
    """``"mean+recipe"`` as "mean of cells + RECIPE"; names of the user's as they are."""
    return " + ".join(_WORDS.get(part, part) for part in str(method).split("+"))


def shortened(name: str, most: int) -> str:
    """A name of at most so many characters, its middle left out: ends are where names differ."""
    name = str(name)
    head = (most - 1) // 2
    return name if len(name) <= most else f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"
