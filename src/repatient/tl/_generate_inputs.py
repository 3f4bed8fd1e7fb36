"""What generated patients are made of, as the object and the user say, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_name, check_number, check_option, listed, name_of
from repatient._messages import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from mudata import MuData

    from repatient.sampling import Draw

METHODS = ("recipe", "counterfactual", "oversampling", "same_class")
DRAWS = ("cells", "gaussian")


@dataclass(frozen=True, eq=False)
class SourceCells:
    """Cells that may be drawn.

    Parameters
    ----------
    components, labels, donors, patients
        Component, class (as in ``classes``), donor and patient of each cell, -1 for cells that may not be drawn, (n_obs,).
    classes
        Names of the classes that have patients.
    sizes
        Sizes of the real patients.
    patient_names
        Names of the patients, as they are numbered.
    """

    components: np.ndarray
    labels: np.ndarray
    donors: np.ndarray
    patients: np.ndarray
    classes: list[str]
    sizes: np.ndarray
    patient_names: np.ndarray

    def pools(self, pool: Any, names: Sequence[str], requested: Iterable[str]) -> list[int] | None:
        """Class whose cells the patients of each class are drawn from, -2 where there is none; ``None``: all cells."""
        of = pool_class(pool)
        if of is not None:
            own = check_name(of, "pool", self.classes)
            return [self.classes.index(own)] * len(names)
        if pool == "all":
            return None
        missing = [name for name in requested if name not in self.classes]
        if missing:
            msg = (
                f"`pool`: the classes {listed(missing)} have no patient here to draw cells from; classes with patients are "
                f"{listed(self.classes)}. Use `pool='all'`."
            )
            raise ValueError(msg)
        return [self.classes.index(name) if name in self.classes else -2 for name in names]


def pool_class(pool: Any) -> Any:
    """The class that a pool is of, ``None`` for the words ``"all"`` and ``"same"``.

    ``("class", "all")`` names a class that is called as a word, also as it is stored.
    """
    if isinstance(pool, tuple | list | np.ndarray):
        if len(pool) != 2 or str(pool[0]) != "class":
            msg = f"`pool` is 'all', 'same', the name of a class or `('class', name)`, not {pool!r}."
            raise ValueError(msg)
        return pool[1]
    return None if isinstance(pool, str) and pool in ("all", "same") else pool


def read_source(
    data: AnnData | MuData, params: dict[str, Any], learnt_from: pd.DataFrame, mask_obs: Any
) -> SourceCells:
    """Cells of the labelled patients that recipes were learnt on, or of those inside ``mask_obs``."""
    if mask_obs is None and params["mask_obs"] == "array":
        msg = (
            "`mask_obs`: the recipes were learnt on the cells of a mask given as an array, which is not stored; pass the "
            "cells that may be drawn, usually the same array."
        )
        raise ValueError(msg)
    mask = _store.read_mask(data, params["mask_obs"] if mask_obs is None else mask_obs)
    patients = _store.read_classed_patients(data, params, _store.real_cells(data, mask, quiet=mask_obs is None))
    usable = patients.labelled
    if mask_obs is None:
        usable = usable & np.isin(patients.names.astype(str), np.asarray(learnt_from.index, dtype=str))
    if not usable.any():
        msg = "There is no cell to draw: the pool has no patient with a label."
        if patients.labelled.any():
            msg = (
                f"`recipes_key`: none of the patients in {params['patient_key']!r} is one that the recipes were learnt on, "
                f"{listed(learnt_from.index, 6)}; they were left out or renamed since. Learn the recipes again with "
                "`rp.tl.recipes`, or say whose cells to draw (`mask_obs`)."
            )
        raise ValueError(msg)
    inside = (patients.codes >= 0) & usable[patients.codes]
    components, _ = _store.read_components(data, params["gmm_key"])
    label_codes = np.array([patients.classes.index(label) if label is not None else -1 for label in patients.labels])
    _, donor_codes = np.unique(patients.donors.astype(str), return_inverse=True)
    return SourceCells(
        components=np.where(inside, components, -1),
        labels=np.where(inside, label_codes[patients.codes], -1),
        donors=np.where(inside, donor_codes[patients.codes], -1),
        patients=np.where(inside, patients.codes, -1),
        classes=patients.classes,
        sizes=patients.n_cells[usable],
        patient_names=patients.names.astype(str),
    )


def number_of_patients(n_patients: Any, classes: Sequence[str], patients: pd.DataFrame) -> dict[str, int]:
    """Patients to generate of each class."""
    if isinstance(n_patients, str):
        check_option(n_patients, "n_patients", ["balance"])
        real = patients["label"].value_counts()
        largest = int(real.max())
        numbers = {name: largest - int(real.get(name, 0)) for name in classes}
        numbers = {name: number for name, number in numbers.items() if number > 0}
        if not numbers:
            msg = f"`n_patients='balance'`: all classes have {largest} patients already; give a number."
            raise ValueError(msg)
        return numbers
    if not isinstance(n_patients, Mapping):
        number = check_integer(n_patients, "n_patients", minimum=1)
        return dict.fromkeys(classes, number)
    of_names = {name: name_of(name, classes) for name in n_patients}
    unknown = [name for name, found in of_names.items() if found is None]
    if unknown or not n_patients:
        msg = f"`n_patients`: no recipe of the classes {listed(unknown)}; there are {listed(classes)}."
        raise ValueError(msg)
    return {
        str(of_names[name]): check_integer(number, f"n_patients[{name!r}]", minimum=1)
        for name, number in n_patients.items()
    }


def check_options(method: Any, draw: Any, **options: Any) -> None:
    """Refuse an unknown method or draw, and options that mean nothing to them."""
    if method in ("psemix", "mixup", "rankmix", "remix", "insmix"):
        msg = (
            f"`method={method!r}` mixes patients of several classes, features, or labels: what it makes is no multiset of "
            f"cells of one class. It is in `repatient.mixing`, for training. Here `method` is one of {listed(METHODS)}."
        )
        raise ValueError(msg)
    check_option(method, "method", METHODS)
    check_option(draw, "draw", DRAWS)
    given = [name for name, value in options.items() if not (value is None or value is False or value == "all")]
    if method == "counterfactual" and not set(given) - {"n_cells"}:
        given = []
    if method != "recipe" and given:
        msg = f"`method={method!r}` starts from single patients as they are; {listed(given)} need `method='recipe'`."
        raise ValueError(msg)
    of_cells = [name for name in given if name not in ("covariates", "n_cells")] + ["method"] * (method != "recipe")
    if draw == "gaussian" and of_cells:
        msg = (
            f"`draw='gaussian'` takes no real cell, so that there is no pool and no donor to choose; {listed(of_cells)} "
            "need `draw='cells'`."
        )
        raise ValueError(msg)


def check_strength(donor_effects: Any, n_donors: int | None) -> float | None:
    """Part of a real patient's offsets that generated patients get, 0 for none; ``None`` is left to the pool."""
    if donor_effects is None:
        return None if n_donors is None else 0.0
    if isinstance(donor_effects, bool | np.bool_):
        strength = float(donor_effects)
    else:
        strength = check_number(donor_effects, "donor_effects", above=0, maximum=1)
    if strength and n_donors is not None:
        msg = (
            "`donor_effects` and `n_donors` are two ways to make the cells of a patient belong together; give one of them, "
            "and `max_donor_share` with `donor_effects` if a donor is not to give too much."
        )
        raise ValueError(msg)
    return strength


def patients_table(
    numbers: Mapping[str, int],
    kinds: Mapping[str, str],
    columns: Sequence[Mapping[str, Any]],
    taken: Iterable[str],
    **measured: np.ndarray,
) -> pd.DataFrame:
    """Table of the generated patients."""
    labels = [name for name, number in numbers.items() for _ in range(number)]
    parts = zip(columns, numbers.values(), strict=True)
    more = pd.concat([pd.DataFrame(dict(part), index=range(number)) for part, number in parts])
    if "reference" in more:
        # Classes without offsets have none.
        more["reference"] = pd.Categorical(more["reference"])
    names = [f"{label}_generated_{i}" for label, number in numbers.items() for i in range(number)]
    taken = set(taken)
    while not taken.isdisjoint(names):
        names = [f"{name}_" for name in names]
    return pd.DataFrame(
        {
            "label": pd.Categorical(labels, categories=list(numbers)),
            "n_cells": measured["n_cells"].astype(np.int64),
            "n_donors": measured["n_donors"],
            "recipe": pd.Categorical([kinds[label] for label in labels]),
            "n_moved": measured["n_moved"],
            "n_repeated": measured["n_repeated"],
            **{name: more[name].array for name in more},
        },
        index=pd.Index(names, name="patient"),
    )


def warn_of_shortage(draws: Sequence[Draw], components: np.ndarray, names: Mapping[str, str]) -> None:
    """Warn of cells that were repeated in a patient or replaced by those of other components, which ``names`` are of."""
    n_drawn = sum(len(draw.rows) for draw in draws)
    moved = np.sum([draw.moved.sum(axis=0) for draw in draws], axis=0)
    repeated = np.sum([draw.repeated.sum(axis=0) for draw in draws], axis=0)
    if moved.any():
        msg = (
            f"{moved.sum()} of {n_drawn} drawn cells ({moved.sum() / n_drawn:.1%}) are of other components than their "
            f"recipe asked for, because the donors of the patient had none of {listed(names.get(str(k), k) for k in np.flatnonzero(moved))}. "
            "Allow more donors (`n_donors`, `max_donor_share`) or fit fewer components."
        )
        warn(msg)
    if repeated.any():
        sizes = np.bincount(components[components >= 0], minlength=len(repeated))
        small = [f"{names.get(str(k), k)} ({sizes[k]} cells)" for k in np.argsort(-repeated) if repeated[k]]
        msg = (
            f"{repeated.sum()} of {n_drawn} drawn cells ({repeated.sum() / n_drawn:.1%}) repeat a cell of the same "
            f"patient, because components have fewer cells than asked for: {listed(small, 6)}."
        )
        warn(msg)


def warn_of_few_cells(mixture: dict[str, Any], components: np.ndarray, drawn: np.ndarray) -> None:
    """Warn of Gaussians that are no wider than the few cells that they were fitted to."""
    if "reference" in mixture:
        return
    n_components, n_dims = np.asarray(mixture["means"]).shape
    sizes = np.bincount(components[components >= 0], minlength=n_components)
    few = [k for k in np.unique(drawn).tolist() if sizes[k] <= n_dims]
    if few:
        names = dict(enumerate(mixture.get("names", ())))
        found = [f"{names.get(k, k)} ({sizes[k]} cells)" for k in few]
        msg = (
            f"{len(few)} components have no more cells than the {n_dims} dimensions: {listed(found, 6)}. Their "
            "Gaussians lie close around these cells and give them away; fit fewer components."
        )
        warn(msg)
