from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient import _store
from repatient._checks import check_integer, check_key
from repatient._docs import shared_docs
from repatient.sampling import Draw, GaussianDraw
from repatient.tl._generate_inputs import (
    check_options,
    check_strength,
    number_of_patients,
    patients_table,
    read_source,
    warn_of_few_cells,
    warn_of_shortage,
)
from repatient.tl._generate_methods import counterfactual, gaussians, rivals, strengths
from repatient.tl._generate_values import check_of_values, values_of_patients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

    from repatient.mixing import DrawnPatients
    from repatient.tl._generate_inputs import SourceCells


@shared_docs
def generate(
    data: AnnData | MuData,
    n_patients: int | Mapping[str, int] | str = 50,
    *,
    method: str = "recipe",
    draw: str = "cells",
    pool: str | tuple[str, str] = "all",
    n_donors: int | None = None,
    donor_effects: bool | float | None = None,
    covariates: Mapping[str, Any] | None = None,
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
    from the real cells of the components, without replacement as long as they last; or, with ``draw="gaussian"``, from
    the Gaussians of the components, so that no cell is copied from a donor.

    Parameters
    ----------
    %(data)s
    n_patients
        Patients of each class: one number for all classes, a number for each of some classes, or ``"balance"`` to
        bring every class up to the number of patients of the largest.
    method
        ``"recipe"``, or a simpler way that real patients can be mixed without blurring their class, to compare with:

        ``"oversampling"``
            Whole real patients of the class, each as often as the others.
        ``"same_class"``
            A random share of the cells of one patient of the class, each as often as the others, and the rest of a random
            one's (:class:`repatient.mixing.SameClassMixing`).

        ``"counterfactual"``
            Real patients, of whatever class, moved into the class: composition times the ratio of the two recipes, its own
            cells, moved inside components by the offsets (:class:`repatient.mixing.Counterfactual`). Recipes and offsets
            are those of one cohort that has all classes: this one, or the reference of :func:`repatient.tl.recipes`. What
            is stored are the cells and how they move; read, they are points in the embedding of the mixture.

        Methods that mix patients of different classes have no class to put in the table, and are in
        :mod:`repatient.mixing`.
    draw
        What the cells of a generated patient are:

        ``"cells"``
            Real cells.
        ``"gaussian"``
            Points of the components' Gaussians: an embedding, and none of it a real cell's. Sizes and compositions are
            those that the same seed gives with ``"cells"``. Such patients have no expression unless a model decodes
            them (:func:`repatient.get.augmented`), and their cells have within a component neither what those of one
            donor have in common nor another shape than a Gaussian's; :func:`repatient.tl.audit` measures what that
            costs. What is learnt of real cells are the means and covariances of the components: one of few
            cells gives these away, and a warning names it. There is no pool and no donor to choose.
    pool
        Whose cells are mixed: ``"all"`` for those of all classes, ``"same"`` for those of the patient's own class,
        or the name of one class; of one that is called as these words, ``("class", "all")``.
    n_donors
        Mix each patient from the cells of this many random donors, so that its cells have in common what those of a
        real patient have. Of some random sets of donors the one that has most of the components asked for is taken.
        ``None``: from all donors.
    donor_effects
        Give each patient, within components, the offsets of a real one: a real patient of similar composition is
        picked, and cells are drawn by weights from all donors such that they lie where, and as closely together as,
        its cells lie in each component, as far as its number of cells tells. A number up to 1 gives that part of the
        offsets. Without them patients are more alike than real ones. With them each resembles the real patient that it
        borrows from, and with few donors can be traced to it: turn them off where that must not be
        (:func:`repatient.tl.audit` measures both). ``None``: where the object has the embedding of the
        mixture and the pool two patients or more with several cells in a component, and ``n_donors`` is not given; not
        for a class without a real patient, whose offsets are not known. A patient draws from at most
        4,096 cells of a component, or 64 to 128 for each cell that it takes, picked at random.
    covariates
        Values that the patients are to have, ``{"age": 60, "sex": "female"}``, of covariates that the recipes were
        learnt with. Those not named here are drawn, together, from the real patients of the class. Where the recipes
        go with a value (``outcome="continuous"``), it is named by its column, and one number or one for each patient;
        ``None`` draws between the values of real patients, as often as they have them.
    n_cells
        Cells of a patient. ``None`` draws from the sizes of the real patients, whatever their class, so that size
        does not tell the class.
    max_donor_share
        Largest share of a patient's cells that may come from one donor.
    mask_obs
        Boolean column of ``obs``, or array (n_obs,): the cells that may be drawn. ``None``: those that the recipes
        were learnt on. Patients without a label are never drawn from. With ``draw="gaussian"``, the cells by whose
        patients sizes are drawn.
    %(recipes_key)s
    key_added
        Key under which the results are stored.
    %(random_state)s
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are

    ``obsm[key_added]``
        How many times each cell is in each generated patient, sparse CSC (n_obs, generated patients), int32. Not with
        ``draw="gaussian"``.
    ``uns[key_added]``
        ``params``, and ``patients``, a table with ``label``, ``n_cells``, ``n_donors`` (donors of the cells),
        ``recipe`` (kind or method, and whether it is the cohort's or a reference's), ``n_moved`` (cells of components that
        the donors did not have, drawn from others) and ``n_repeated`` (draws of a cell that the patient already
        had). With ``donor_effects``, ``reference`` is the real patient whose offsets are borrowed; with recipes that
        were learnt with covariates, there is a column for each. With ``draw="gaussian"``, ``cells`` holds the points,
        patient after patient: ``embedding`` (n_cells, d) float32, in the units of the mixture's embedding;
        ``component`` (n_cells,) int32, that each was drawn from; and ``indptr`` (generated patients + 1,) int64, where
        each patient begins and ends. With ``method="counterfactual"``, ``shift`` has ``classes`` and ``values`` (classes,
        classes, components, d) float32: what is added to a cell of one class in a patient of another. Points
        belong to no row of the object: a part of it (``data[:100]``) has all of them, while cells drawn from the pool go
        with their rows.

    Raises
    ------
    KeyError
        If there are no recipes.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If a class has no recipe, a number is not positive, the recipes belong to a mixture that was refitted since,
        or the pool cannot give what is asked; if a covariate is unknown or has a level that no patient had; if
        ``draw="gaussian"`` is given with another method, a pool or anything about donors.

    Warns
    -----
    UserWarning
        With the number of cells, if components were too small to give what the recipes ask, or have too few cells for
        their Gaussians to hide them; if a covariate lies outside the range that the recipes were learnt on.

    References
    ----------
    How offsets are measured and shrunk is described in :mod:`repatient.sampling`.

    Examples
    --------
    %(example_recipes)s
    >>> rp.tl.generate(adata, 3)
    >>> adata.obsm["generated"].shape
    (782, 6)
    """
    _store.check_data(data, copy=copy)
    rng = np.random.default_rng(check_integer(random_state, "random_state", minimum=0))
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_recipes(data, entry)
    mixture_rep = _store.embedding_of_mixture(data.uns[params["gmm_key"]])
    check_key(key_added, "key_added", [recipes_key, params["gmm_key"], mixture_rep])
    recipes, origin = _store.read_recipes_entry(entry, recipes_key)
    check_options(
        method,
        draw,
        pool=pool,
        n_donors=n_donors,
        donor_effects=donor_effects,
        max_donor_share=max_donor_share,
        covariates=covariates,
        n_cells=n_cells,
    )
    strength = check_strength(donor_effects, n_donors)
    check_of_values(params, n_patients, method)
    numbers = number_of_patients(n_patients, recipes.classes, entry["patients"])
    if n_cells is not None:
        check_integer(n_cells, "n_cells", minimum=1)
    source = read_source(data, params, entry["patients"], mask_obs)
    pools = source.pools(pool, recipes.classes, numbers)
    mixture, n_components = data.uns[params["gmm_key"]], recipes.mean.shape[1]
    parts = [0.0] * len(recipes.classes)
    made: list[DrawnPatients]
    shift = None
    if method == "counterfactual":
        made, shift = counterfactual(entry, recipes_key, source, numbers, n_cells, rng)
    elif method == "recipe":
        # What generates in training, too, loads torch.
        from repatient.mixing import PatientGenerator

        embedding = None
        if draw == "cells":
            embedding = _embedding_of_mixture(data, params["gmm_key"], required=strength is not None and strength > 0)
        generator = PatientGenerator(
            recipes=[recipes.take([name]) for name in recipes.classes],
            sizes=source.sizes,
            components=source.components,
            donors=source.donors,
            n_donors=n_donors,
            max_donor_share=max_donor_share,
            n_cells=n_cells,
            labels=source.labels,
            pools=pools,
            embedding=embedding,
            patients=source.patients,
            values=values_of_patients(recipes, entry, covariates, numbers),
            gaussians=gaussians(mixture) if draw == "gaussian" else None,
        )
        codes = {name: recipes.classes.index(name) for name in numbers}
        if strength is None and embedding is not None:
            parts = strengths(source, generator, codes, n_components)
        elif draw == "cells":
            parts = [strength or 0.0] * len(recipes.classes)
        generator = replace(generator, strengths=parts)
        generator.check(codes.values())
        made = [generator.generate(np.full(number, codes[name]), rng) for name, number in numbers.items()]
    else:
        made = [rivals(data.n_obs, source, method, name, numbers[name], n_components, rng) for name in numbers]
    drawn, measured = _measured(made, source, data.n_obs)
    if isinstance(drawn, GaussianDraw):
        warn_of_few_cells(mixture, source.components, drawn.components)
    else:
        names = _store.component_names(data, params["gmm_key"])
        warn_of_shortage([part.draw for part in made if isinstance(part.draw, Draw)], source.components, names)

    kind = recipes.kind if method == "recipe" else method
    kinds = {name: f"{kind} ({where})" for name, where in zip(recipes.classes, origin, strict=True)}
    taken = _store.as_categories(
        _store.obs_column(data, params["patient_key"], "patient_key"), "patient_key"
    ).categories
    table = patients_table(numbers, kinds, [_columns(part, source) for part in made], taken, **measured)
    record = _store.record(
        n_patients=numbers,
        method=method,
        draw=draw,
        pool=pool,
        n_donors=n_donors,
        donor_effects=max(parts),
        covariates=None if covariates is None else dict(covariates),
        n_cells=n_cells,
        max_donor_share=max_donor_share,
        mask_obs=_store.storable_mask(mask_obs) or params["mask_obs"],
        recipes_key=recipes_key,
        gmm_key=params["gmm_key"],
        mixture=params["mixture"],
        use_rep=_store.embedding_of_mixture(mixture),
        patient_key=params["patient_key"],
        label_key=params["label_key"],
        outcome=params.get("outcome", "class"),
        donor_key=params["donor_key"],
        missing_values=_store.storable_missing_values(params.get("missing_values")),
        random_state=random_state,
    )
    data = data.copy() if copy else data
    _store.write_generated(data, key_added, table, record, drawn, shift)
    return data if copy else None


def _measured(
    made: list[DrawnPatients], source: SourceCells, n_obs: int
) -> tuple[sp.csc_matrix | GaussianDraw, dict[str, np.ndarray]]:
    """All patients in one, their sizes and donors, and cells that could not be drawn as asked."""
    points = [part.draw for part in made if isinstance(part.draw, GaussianDraw)]
    draws = [part.draw for part in made if isinstance(part.draw, Draw)]
    if points:
        sizes = np.concatenate([np.diff(part.indptr) for part in points])
        joined = GaussianDraw(
            np.concatenate([part.embedding for part in points]),
            np.concatenate([[0], np.cumsum(sizes)]),
            np.concatenate([part.components for part in points]),
        )
        # No cell is of a donor, of another component than asked for, or the same as another.
        return joined, {"n_cells": sizes, **dict.fromkeys(("n_donors", "n_moved", "n_repeated"), np.zeros_like(sizes))}
    counts = sp.hstack([draw.counts(n_obs) for draw in draws], format="csc", dtype=np.int32)
    entries = counts.tocoo()
    n_donors = int(source.donors.max()) + 1
    of_patients = np.unique(entries.col.astype(np.int64) * n_donors + source.donors[entries.row]) // n_donors
    return counts, {
        "n_cells": np.asarray(counts.sum(axis=0)).ravel(),
        "n_donors": np.bincount(of_patients, minlength=counts.shape[1]),
        "n_moved": np.concatenate([draw.moved.sum(axis=1) for draw in draws]),
        "n_repeated": np.concatenate([draw.repeated.sum(axis=1) for draw in draws]),
    }


def _columns(part: DrawnPatients, source: SourceCells) -> dict[str, Any]:
    """What else the table says of the patients of a class."""
    columns = {key: table[key].array for table in part.values for key in table}
    if part.references is not None:
        columns["reference"] = source.patient_names[part.references]
    return columns


def _embedding_of_mixture(data: AnnData | MuData, gmm_key: str, *, required: bool) -> np.ndarray | None:
    """Embedding in which the cells were assigned; ``None`` where it is gone and not required."""
    try:
        return _store.read_embedding(data, _store.embedding_of_mixture(data.uns[gmm_key]))[0]
    except KeyError:
        if required:
            raise
        return None
