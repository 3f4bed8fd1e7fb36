"""What of recipes may leave: statistics of donors enough, and nothing that names, counts or places a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_integer, listed
from repatient._messages import warn
from repatient.io._format import COHORT, EMBEDDING, GMM, RECIPES
from repatient.mixture import GaussianMixture
from repatient.recipe import coarsened, fit_offsets, groups_of_enough, merged_gaussians, too_small

if TYPE_CHECKING:
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


def shareable(
    data: AnnData | MuData, recipes_key: str, *, offsets: bool, min_cells: int, min_donors: int
) -> dict[str, Any]:
    """Mixture, recipes and statistics of the cohort, as a recipes file holds them; parameters and errors are its own."""
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_recipes(data, entry)
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
    kept = [] if recipes.design is None else list(recipes.design.covariates)
    if params.get("covariates") is not None:
        params = {**params, "covariates": kept or None}
    content = {
        GMM: {**_parts(gmm, _GMM_PARTS), "params": _parts(gmm["params"], _GMM_PARAMS)},
        RECIPES: {
            **_store.recipes_entry(recipes, origin, places),
            "params": {**_parts(params, _RECIPES_PARAMS), "mixture": _store.fingerprint(gmm)},
        },
    }
    if cohort is not None:
        content[COHORT] = _cohort_part(cohort, gmm)
    if (source := _origin(data, gmm)) is not None:
        content[EMBEDDING] = _store.origin_entry(source)
    return content


def _parts(entry: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry[name] for name in names if name in entry}


def _cohort(data: AnnData | MuData, entry: dict[str, Any]) -> _store.LabelledCells | None:
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
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs), quiet=True)
    return _store.read_recorded_cohort(data, use_rep, params, mask)


def _coarsened(entry: dict[str, Any], recipes: Recipes, min_donors: int) -> Recipes:
    """Recipes whose covariates are not those of single donors."""
    if recipes.design is None:
        return recipes
    patients = entry["patients"]
    of_values = _store.is_continuous(entry["params"])
    known = patients[patients["label"].notna()]
    labels = np.full(len(known), recipes.classes[0]) if of_values else known["label"].astype(str).to_numpy()
    x = recipes.design.matrix({name: known[name].to_numpy() for name in recipes.design.covariates})
    coarse = coarsened(recipes, x, labels, known["donor"].astype(str).to_numpy(), min_donors)
    left = () if coarse.design is None else tuple(zip(coarse.design.names, coarse.design.levels, strict=True))
    gone = [pair for pair in zip(recipes.design.names, recipes.design.levels, strict=True) if pair not in left]
    if gone:
        msg = (
            f"Fewer than {min_donors} donors have {listed(f'{name}={level}' for name, level in gone)}: these levels were left "
            "out of what is shared. Join them with others, or lower `min_donors` if so few may be told of."
        )
        warn(msg)
    return coarse


def _groups(
    entry: dict[str, Any], gmm: dict[str, Any], min_cells: int, min_donors: int, cohort: _store.LabelledCells | None
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
    n_left, names = int(groups.max()) + 1, dict(enumerate(gmm.get("names", ())))
    what = (
        f"{len(small)} of {len(means)} components have fewer than {min_cells} cells or {min_donors} donors, "
        f"{listed(names.get(int(k), k) for k in small)}, and their means would tell of those few"
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


def _origin(data: AnnData | MuData, gmm: dict[str, Any]) -> _store.EmbeddingOrigin | None:
    """Where the embedding comes from; ``None`` where nobody knows, as where it was moved onto another cohort's."""
    use_rep = str(gmm["params"]["use_rep"])
    if _store.embedding_of_mixture(gmm) != use_rep:
        return None
    weights, means = np.asarray(gmm["weights"]), np.asarray(gmm["means"])
    origin = _store.EmbeddingOrigin.with_means(data, use_rep, means.shape[1], lambda: weights @ means)
    return origin if origin.is_known else None


def _merged_mixture(gmm: dict[str, Any], groups: np.ndarray, cohort: _store.LabelledCells | None) -> dict[str, Any]:
    weights, means, covariances = (np.asarray(gmm[name], dtype=np.float64) for name in _PARAMETERS)
    merged = dict(zip(_PARAMETERS, merged_gaussians(weights, means, covariances, groups), strict=True))
    entry = {**gmm, **merged, "params": {**gmm["params"], "n_components": len(merged["weights"])}}
    if cohort is not None:
        entry["log_density_quantiles"] = _store.density_quantiles(cohort.embedding, cohort.patients, _mixture(entry))
    return entry


def _mixture(gmm: dict[str, Any]) -> GaussianMixture:
    covariance_type = str(gmm["params"]["covariance_type"])
    return GaussianMixture.from_parameters(gmm["weights"], gmm["means"], gmm["covariances"], covariance_type)


def _cohort_part(cohort: _store.LabelledCells, gmm: dict[str, Any]) -> dict[str, Any]:
    """What another cohort is compared with and aligned to: statistics of the labelled cells, each class on its own."""
    part = _store.moments_entry(cohort.moments(cohort.classes))
    part["spread"] = _store.spread_entry(cohort.spread(cohort.classes))
    quantiles = _store.held_out_quantiles(cohort.embedding, cohort.patients, _mixture(gmm))
    if quantiles is not None:
        part["log_density_quantiles"] = quantiles
    return part
