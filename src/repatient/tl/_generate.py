from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from repatient import _store
from repatient._docs import shared_docs
from repatient.sampling import Draw, draw_patients
from repatient.tl._generate_plan import check_donors, feasible_sizes, number_of_patients, renormalise
from repatient.tl._generate_pool import Pool, read_pool
from repatient.tl._generate_warnings import warn_of_shortage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData


@shared_docs
def generate(
    data: AnnData | MuData,
    n_patients: int | Mapping[str, int] | str = 50,
    *,
    pool: str = "all",
    n_donors: int | None = None,
    n_cells: int | None = None,
    max_donor_share: float | None = None,
    mask_obs: Any = None,
    recipes_key: str = _store.keys.RECIPES,
    key_added: str = _store.keys.GENERATED,
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Generate patients: cells of the pool, mixed by the recipe of a class.

    For each new patient a size is drawn from those of all real patients, a composition from the recipe of its
    class, the numbers of cells of each component from that composition, and the cells themselves at random
    from the real cells of the components, without replacement as long as they last.

    Parameters
    ----------
    %(data)s
    n_patients
        Patients of each class: one number for all classes, a number for each of some classes, or ``"balance"`` to
        bring every class up to the number of patients of the largest.
    pool
        Whose cells are mixed: ``"all"`` for those of all classes, ``"same"`` for those of the patient's own class,
        or the name of one class.
    n_donors
        Mix each patient from the cells of this many random donors, so that its cells have in common what those of a
        real patient have. Of some random sets of donors the one that has most of the components asked for is taken.
        ``None``: from all donors.
    n_cells
        Cells of a patient. ``None`` draws from the sizes of the real patients, whatever their class, so that size
        does not tell the class.
    max_donor_share
        Largest share of a patient's cells that may come from one donor.
    mask_obs
        Boolean column of ``obs``, or array (n_obs,): the cells that may be drawn. ``None``: those that the recipes
        were learnt on. Patients without a label are never drawn from.
    %(recipes_key)s
    key_added
        Key under which the results are stored.
    %(random_state)s
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are

    ``obsm[key_added]``
        How many times each cell is in each generated patient, sparse CSC (n_obs, generated patients), int32.
    ``uns[key_added]``
        ``params``, and ``patients``, a table with ``label``, ``n_cells``, ``n_donors`` (donors of the cells),
        ``recipe`` (kind, and whether it is the cohort's or a reference's), ``n_moved`` (cells of components that
        the donors did not have, drawn from others) and ``n_repeated`` (draws of a cell that the patient already
        had).

    Raises
    ------
    KeyError
        If there are no recipes.
    ValueError
        If a class has no recipe, a number is not positive, the recipes belong to a mixture that was refitted since,
        or the pool cannot give what is asked.

    Warns
    -----
    UserWarning
        With the number of cells, if components were too small to give what the recipes ask.
    """
    _store.check_data(data)
    _store.check_key(key_added, "key_added")
    rng = np.random.default_rng(_store.check_integer(random_state, "random_state", minimum=0))
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_mixture(
        data, params["mixture"], params["gmm_key"], "The recipes", "Learn them again with `rp.tl.recipes`."
    )
    recipes, origin = _store.read_recipes_entry(entry, recipes_key)
    numbers = number_of_patients(n_patients, recipes.classes, entry["patients"])
    if n_cells is not None:
        _store.check_integer(n_cells, "n_cells", minimum=1)
    source = read_pool(data, params, entry["patients"], mask_obs)
    source.check_option(pool)

    draws, labels = [], []
    for name, number in numbers.items():
        components = source.components_of(pool, name)
        donors = check_donors(n_donors, max_donor_share, source.donors, components)
        sizes = rng.choice(source.sizes, size=number) if n_cells is None else np.full(number, n_cells)
        sizes = feasible_sizes(sizes, donors, max_donor_share, exact=n_cells is not None)
        compositions = renormalise(recipes.sample(name, number, rng), components, recipes.take([name]))
        draws.append(
            draw_patients(
                rng.multinomial(sizes, compositions),
                components,
                source.donors,
                n_donors=n_donors,
                max_donor_share=max_donor_share,
                seed=int(rng.integers(2**63)),
            )
        )
        labels += [name] * number
    warn_of_shortage(draws, source.components)

    counts = sp.hstack([draw.counts(data.n_obs) for draw in draws], format="csc", dtype=np.int32)
    table = _patients_table(
        labels, draws, counts, source, dict(zip(recipes.classes, origin, strict=True)), recipes.kind
    )
    data = data.copy() if copy else data
    data.obsm[key_added] = counts
    data.uns[key_added] = {
        "patients": table,
        "params": _store.record(
            n_patients=numbers,
            pool=pool,
            n_donors=n_donors,
            n_cells=n_cells,
            max_donor_share=max_donor_share,
            mask_obs=_store.storable_mask(mask_obs) or params["mask_obs"],
            recipes_key=recipes_key,
            gmm_key=params["gmm_key"],
            mixture=params["mixture"],
            patient_key=params["patient_key"],
            label_key=params["label_key"],
            donor_key=params["donor_key"],
            random_state=random_state,
        ),
    }
    return data if copy else None


def _patients_table(
    labels: list[str], draws: list[Draw], counts: sp.csc_matrix, source: Pool, origin: dict[str, str], kind: str
) -> pd.DataFrame:
    names = _new_names(labels, set(source.patient_names))
    entries = counts.tocoo()
    donors = np.unique(np.stack([entries.col, source.donors[entries.row]]), axis=1)[0]
    return pd.DataFrame(
        {
            "label": pd.Categorical(labels, categories=list(dict.fromkeys(labels))),
            "n_cells": np.asarray(counts.sum(axis=0)).ravel().astype(np.int64),
            "n_donors": np.bincount(donors, minlength=len(labels)),
            "recipe": pd.Categorical([f"{kind} ({origin[label]})" for label in labels]),
            "n_moved": np.concatenate([draw.moved.sum(axis=1) for draw in draws]),
            "n_repeated": np.concatenate([draw.repeated.sum(axis=1) for draw in draws]),
        },
        index=pd.Index(names, name="patient"),
    )


def _new_names(labels: list[str], taken: set[str]) -> list[str]:
    """Names of generated patients, numbered within their class, none of which a real patient has."""
    names = [f"{label}_generated_{i}" for label in dict.fromkeys(labels) for i in range(labels.count(label))]
    while not taken.isdisjoint(names):
        names = [f"{name}_" for name in names]
    return names
