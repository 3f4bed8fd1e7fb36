"""The table of the generated patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def patients_table(
    numbers: Mapping[str, int],
    kinds: Mapping[str, str],
    columns: Sequence[Mapping[str, Any]],
    taken: Iterable[str],
    **measured: np.ndarray,
) -> pd.DataFrame:
    """Table of the generated patients.

    Parameters
    ----------
    numbers
        Patients of each class.
    kinds
        What the patients of each class were made by.
    columns
        More columns, of each class.
    taken
        Names that a generated patient must not have.
    measured
        ``n_cells``, ``n_donors``, ``n_moved`` and ``n_repeated`` of all patients.
    """
    labels = [name for name, number in numbers.items() for _ in range(number)]
    parts = zip(columns, numbers.values(), strict=True)
    more = pd.concat([pd.DataFrame(dict(part), index=range(number)) for part, number in parts])
    if "reference" in more:
        # Classes without offsets have none.
        more["reference"] = pd.Categorical(more["reference"])
    return pd.DataFrame(
        {
            "label": pd.Categorical(labels, categories=list(dict.fromkeys(labels))),
            "n_cells": measured["n_cells"].astype(np.int64),
            "n_donors": measured["n_donors"],
            "recipe": pd.Categorical([kinds[label] for label in labels]),
            "n_moved": measured["n_moved"],
            "n_repeated": measured["n_repeated"],
            **{name: more[name].array for name in more},
        },
        index=pd.Index(_new_names(labels, set(taken)), name="patient"),
    )


def _new_names(labels: list[str], taken: set[str]) -> list[str]:
    """Names of generated patients, numbered within their class, none of which a real patient has."""
    names = [f"{label}_generated_{i}" for label in dict.fromkeys(labels) for i in range(labels.count(label))]
    while not taken.isdisjoint(names):
        names = [f"{name}_" for name in names]
    return names
