from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from anndata.io import write_elem

from repatient import _store
from repatient._checks import check_integer, listed
from repatient._docs import shared_docs
from repatient._files._atomic import replace_when_whole
from repatient._files._target import check_target
from repatient._messages import warn
from repatient.io._content import as_stored, check_content
from repatient.io._format import COHORT, FORMAT, GMM, RECIPES, VERSION
from repatient.io._seal import BLOCK_SIZE, is_recipes_file, seal
from repatient.mixture import GaussianMixture
from repatient.recipe import coarsened, fit_offsets, groups_of_enough, merged_gaussians, too_small

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

    from repatient.recipe import Recipes

_PARAMETERS = ("weights", "means", "covariances")
_GMM_PARTS = (*_PARAMETERS, "log_density_quantiles")
# What leaves with the parameters: no mask, path, device or time.
_GMM_PARAMS = ("n_components", "use_rep", "covariance_type", "random_state", "version")
_RECIPES_PARAMS = (
    "kind",
    "n_subtypes",
    "covariates",
    "shrinkage",
    "transfer",
    "shared_class",
    "patient_key",
    "label_key",
    "outcome",
    "donor_key",
    "gmm_key",
    "mixture",
    "random_state",
    "version",
)


@shared_docs
def write_recipes(
    data: AnnData | MuData,
    path: str | PathLike[str],
    *,
    recipes_key: str = _store.keys.RECIPES,
    offsets: bool = True,
    min_cells: int = 5,
    min_donors: int = 5,
    overwrite: bool = True,
) -> None:
    """Write the recipes of a cohort, with the mixture that they speak of, to an HDF5 file.

    Statistics travel, cells do not: the file holds weights, means and covariances of the components, the fitted
    parameters of each class, and where its cells lie inside the components, but no cell and no table of patients. Recipes
    of kind ``"empirical"`` are the exception: they are the compositions of the patients, without names.

    Components of few cells or donors would be statistics of those few. They are merged with their nearest ones, with a
    warning that says how many; their places are the moments of what was merged. The mean of a class in a component
    (``offsets``) leaves only where the class has cells and donors enough in it. The ends of the range of a covariate are
    the means of the ``min_donors`` patients nearest to them, and a class of fewer patients stands at the mean covariates
    of all.

    The mean and covariance of the embedding's cells in each class go with them, so that another cohort can be aligned
    to this one (``rp.tl.assign(…, align="moments")``). So do the mean and covariance of the donors' mean cells in each
    class, against which a shift of another cohort is measured, and the quantiles of the log-density of cells whose
    patient the mixture was not fitted on, which tell how well another cohort is covered; a cohort of one patient, or of
    too few cells to fit the mixture without some of its patients, has no quantiles. Of a class of one patient, all of
    these are statistics of that patient, and of one of two they tell the mean cell of each.

    Parameters
    ----------
    %(data)s
    path
        File to write. An earlier recipes file is replaced once the new one is whole and on the disk: a process that is
        killed leaves the old one. Any other file is left alone.
    %(recipes_key)s
    offsets
        Whether the places of the classes inside the components go with the recipes. They are components × dimensions
        numbers a class, and what a class that is missing elsewhere is recognised by.
    min_cells, min_donors
        Cells, and donors with a cell, that a component has to have, and a class inside a component to leave its offset.
        1 lets everything leave.
    overwrite
        Whether an earlier recipes file may be replaced.

    Raises
    ------
    KeyError
        If there are no recipes.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If they belong to a mixture that was refitted since, or were edited into what is none; if less than two components
        of enough cells and donors are left, or the cells are no longer there to place merged ones among.
    FileNotFoundError, IsADirectoryError, PermissionError
        If the folder of ``path`` does not exist or must not be written to, or ``path`` is a folder.
    FileExistsError
        If there is something else at ``path``, or a recipes file that is not to be overwritten.

    Warns
    -----
    UserWarning
        If the embedding is no longer in the object: the file then lacks what is measured on it. If components are merged.

    See Also
    --------
    repatient.io.read_recipes, repatient.tl.assign
    """
    _store.check_data(data)
    check_target(path, "path", what="recipes file", ours=is_recipes_file, overwrite=overwrite)
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_recipes(data, entry)
    if not isinstance(offsets, bool):
        msg = f"`offsets` is True or False, not {offsets!r}."
        raise TypeError(msg)
    check_integer(min_cells, "min_cells")
    check_integer(min_donors, "min_donors")
    gmm = _store.uns_entry(data, params["gmm_key"], "gmm_key", "gmm")
    recipes, origin = _store.read_recipes_entry(entry, recipes_key)
    places = _store.read_offsets(entry, recipes.mean.shape[1])
    cohort = _cohort(data, entry)
    recipes = _coarsened(entry, recipes, min_donors)
    groups = _groups(entry, gmm, min_cells, min_donors, cohort)
    if groups is not None:
        recipes, gmm = recipes.merged(groups), _merged_mixture(gmm, groups, cohort)
        if places is not None and cohort is not None:
            components = groups[_store.read_components(data, params["gmm_key"])[0]]
            cells = (cohort.embedding, components, cohort.donors, cohort.labels, cohort.classes)
            places = fit_offsets(*cells, len(gmm["weights"]))
    places = places.only_of(min_donors, min_cells) if places is not None and offsets else None
    content = {
        GMM: {**_parts(gmm, _GMM_PARTS), "params": _parts(gmm["params"], _GMM_PARAMS)},
        RECIPES: {
            **_store.recipes_entry(recipes, origin, places),
            "params": {**_parts(params, _RECIPES_PARAMS), "mixture": _store.fingerprint(gmm)},
        },
    }
    if cohort is not None:
        content[COHORT] = _cohort_part(cohort, gmm)
    check_content(content)
    with replace_when_whole(path) as new:
        with h5py.File(new, "w", userblock_size=BLOCK_SIZE) as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            for name, part in content.items():
                write_elem(file, name, as_stored(part) if name == RECIPES else part)
        seal(new)


def _parts(entry: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry[name] for name in names if name in entry}


def _cohort(data: AnnData | MuData, entry: dict[str, Any]) -> _store.Cohort | None:
    """The labelled cells that the recipes were learnt from, where they are still there."""
    params = entry["params"]
    use_rep = _store.embedding_of_mixture(_store.uns_entry(data, params["gmm_key"], "gmm_key", "gmm"))
    mask_obs = params["mask_obs"]
    if mask_obs == "array" or not _store.has_embedding(data, use_rep):
        why = (
            "the recipes were learnt on a mask given as an array, which is not stored"
            if mask_obs == "array"
            else f"the embedding {use_rep!r} is not in the object"
        )
        msg = (
            f"The file holds no moments of the classes, because {why}: other cohorts cannot be aligned to it, "
            "and their coverage is measured against the cells that the mixture was fitted on."
        )
        warn(msg)
        return None
    keys = (params["patient_key"], params["label_key"])
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs), quiet=True)
    of_values = _store.is_continuous(params)
    return _store.read_cohort(data, use_rep, *keys, mask, donor_key=params["donor_key"], of_values=of_values)


def _coarsened(entry: dict[str, Any], recipes: Recipes, min_donors: int) -> Recipes:
    """Recipes whose covariates are not those of single patients."""
    if recipes.design is None:
        return recipes
    patients = entry["patients"]
    of_values = _store.is_continuous(entry["params"])
    known = patients[patients["label"].notna()]
    labels = np.full(len(known), recipes.classes[0]) if of_values else known["label"].astype(str).to_numpy()
    x = recipes.design.matrix({name: known[name].to_numpy() for name in recipes.design.covariates})
    return coarsened(recipes, x, labels, min_donors)


def _groups(
    entry: dict[str, Any], gmm: dict[str, Any], min_cells: int, min_donors: int, cohort: _store.Cohort | None
) -> np.ndarray | None:
    """Which components to merge, ``None`` for none; the components of another cohort's mixture are none of this one."""
    if "reference" in gmm:
        return None
    donors = entry["patients"]["donor"].astype(str).to_numpy()
    counts = entry["counts"].groupby(donors).sum().to_numpy()
    small = too_small(counts, min_cells, min_donors)
    if not len(small):
        return None
    means = np.asarray(gmm["means"], dtype=np.float64)
    scale = np.maximum(means.std(axis=0), np.finfo(float).tiny)
    groups = groups_of_enough(counts, means / scale, min_cells, min_donors)
    n_left = int(groups.max()) + 1
    what = (
        f"{len(small)} of {len(means)} components have fewer than {min_cells} cells or {min_donors} donors, "
        f"{listed(small)}, and their means would tell of those few"
    )
    if n_left < 2 or cohort is None:
        why = f"{n_left} component would be left" if n_left < 2 else "the cells to merge them on are not there"
        msg = (
            f"`min_cells`, `min_donors`: {what}; they cannot be merged, as {why}. Fit fewer components, or lower "
            "`min_cells` and `min_donors` if so few may be told of."
        )
        raise ValueError(msg)
    msg = (
        f"{what}: they were merged with their nearest ones, and the file has {n_left}. Fit fewer components, or lower "
        "`min_cells` and `min_donors` if so few may be told of."
    )
    warn(msg)
    return groups


def _merged_mixture(gmm: dict[str, Any], groups: np.ndarray, cohort: _store.Cohort | None) -> dict[str, Any]:
    weights, means, covariances = (np.asarray(gmm[name], dtype=np.float64) for name in _PARAMETERS)
    merged = dict(zip(_PARAMETERS, merged_gaussians(weights, means, covariances, groups), strict=True))
    entry = {**gmm, **merged, "params": {**gmm["params"], "n_components": len(merged["weights"])}}
    if cohort is not None:
        entry["log_density_quantiles"] = _store.density_quantiles(cohort.embedding, cohort.patients, _mixture(entry))
    return entry


def _mixture(gmm: dict[str, Any]) -> GaussianMixture:
    covariance_type = str(gmm["params"]["covariance_type"])
    return GaussianMixture.from_parameters(gmm["weights"], gmm["means"], gmm["covariances"], covariance_type)


def _cohort_part(cohort: _store.Cohort, gmm: dict[str, Any]) -> dict[str, Any]:
    """What another cohort is compared with and aligned to: statistics of the labelled cells, each class on its own."""
    part = _store.moments_entry(cohort.moments(cohort.classes))
    part["spread"] = _store.spread_entry(cohort.spread(cohort.classes))
    quantiles = _store.held_out_quantiles(cohort.embedding, cohort.patients, _mixture(gmm))
    if quantiles is not None:
        part["log_density_quantiles"] = quantiles
    return part
