from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h5py
import pandas as pd
from anndata.io import write_elem

from repatient import _store
from repatient._docs import shared_docs
from repatient._files._atomic import replace_when_whole
from repatient._messages import warn
from repatient.io._content import check_content
from repatient.io._format import COHORT, FORMAT, GMM_PARTS, RECIPES_PARTS, VERSION
from repatient.io._seal import BLOCK_SIZE, seal
from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData


@shared_docs
def write_recipes(
    data: AnnData | MuData,
    path: str | PathLike[str],
    *,
    recipes_key: str = _store.keys.RECIPES,
) -> None:
    """Write the recipes of a cohort, with the mixture that they speak of, to an HDF5 file.

    Statistics travel, cells do not: the file holds weights, means and covariances of the components and the fitted
    parameters of each class, but no cell and no table of patients. Recipes of kind ``"empirical"`` are the exception:
    they are the compositions of the patients, without names.

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
        File to write. An existing one is replaced once the new one is whole and on the disk: a process that is killed
        leaves the old one.
    %(recipes_key)s

    Raises
    ------
    KeyError
        If there are no recipes.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If they belong to a mixture that was refitted since, or were edited into what is none.
    FileNotFoundError, IsADirectoryError
        If the folder of ``path`` does not exist, or ``path`` is a folder.

    Warns
    -----
    UserWarning
        If the embedding is no longer in the object: the file then lacks what is measured on it.

    See Also
    --------
    repatient.io.read_recipes, repatient.tl.assign
    """
    _store.check_data(data)
    if os.path.isdir(path):
        msg = f"`path`: {str(path)!r} is a folder; name a file to write."
        raise IsADirectoryError(msg)
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_mixture(
        data, params["mixture"], params["gmm_key"], "The recipes", "Learn them again with `rp.tl.recipes`."
    )
    content = {
        "gmm": _parts(_store.uns_entry(data, params["gmm_key"], "gmm_key", "gmm"), GMM_PARTS),
        "recipes": _parts(entry, RECIPES_PARTS),
    }
    if (cohort := _cohort_part(data, entry)) is not None:
        content[COHORT] = cohort
    check_content(content)
    with replace_when_whole(path) as new:
        with h5py.File(new, "w", userblock_size=BLOCK_SIZE) as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            for name, part in content.items():
                write_elem(file, name, _plain(part))
        seal(new)


def _plain(value: Any) -> Any:
    """Text as objects, which is written as a plain dataset; pandas 3 has a type for it that is written as a group."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if not isinstance(value, pd.DataFrame):
        return value
    text = {name: object for name, dtype in value.dtypes.items() if isinstance(dtype, pd.StringDtype)}
    frame = value.astype(text)
    if isinstance(frame.index.dtype, pd.StringDtype):
        frame.index = frame.index.astype(object)
    return frame


def _parts(entry: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry[name] for name in names if name in entry}


def _cohort_part(data: AnnData | MuData, entry: dict[str, Any]) -> dict[str, Any] | None:
    """What another cohort is compared with and aligned to: statistics of the labelled cells, each class on its own."""
    params = entry["params"]
    gmm = _store.uns_entry(data, params["gmm_key"], "gmm_key", "gmm")
    use_rep = _store.embedding_of_mixture(gmm)
    mask_obs = params["mask_obs"]
    if mask_obs == "array" or not _has_embedding(data, use_rep):
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
    mask = _store.read_mask(data, mask_obs)
    of_values = _store.is_continuous(params)
    keys = (params["patient_key"], params["label_key"])
    cohort = _store.read_cohort(data, use_rep, *keys, mask, donor_key=params["donor_key"], of_values=of_values)
    part = _store.moments_entry(cohort.moments(cohort.classes))
    part["spread"] = _store.spread_entry(cohort.spread(cohort.classes))
    mixture = GaussianMixture.from_parameters(
        gmm["weights"], gmm["means"], gmm["covariances"], covariance_type=str(gmm["params"]["covariance_type"])
    )
    quantiles = _store.held_out_quantiles(cohort.embedding, cohort.patients, mixture)
    if quantiles is not None:
        part["log_density_quantiles"] = quantiles
    return part


def _has_embedding(data: AnnData | MuData, use_rep: str) -> bool:
    try:
        _store.read_embedding(data, use_rep, lazy=True)
    except KeyError:
        return False
    return True
