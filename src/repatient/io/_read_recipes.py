from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from anndata.io import read_elem

from repatient import _store
from repatient.io._format import COHORT, FORMAT, VERSION
from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from os import PathLike


def read_recipes(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the recipes and the mixture of another cohort.

    Parameters
    ----------
    path
        File that :func:`repatient.io.write_recipes` wrote.

    Returns
    -------
    ``{"gmm": …, "recipes": …, "cohort": …}``, the first two as in ``uns`` of the cohort that they come from; the third
    has ``classes``, and the ``means`` and ``covariances`` of their cells, and may be missing. It is what
    :func:`repatient.tl.assign` and :func:`repatient.tl.recipes` take as ``reference``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no recipes file, is damaged, or was written by a later version of the package.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"There is no recipes file {str(path)!r}."
        raise FileNotFoundError(msg)
    try:
        with h5py.File(path, "r") as file:
            _check_format(file, path)
            content = {name: read_elem(file[name]) for name in (_store.keys.GMM, _store.keys.RECIPES)}
            if COHORT in file:
                content[COHORT] = read_elem(file[COHORT])
    except (OSError, KeyError, RuntimeError) as error:
        msg = f"{str(path)!r} is no recipes file, or is damaged: {error}"
        raise ValueError(msg) from error
    _check_content(content, path)
    return content


def _check_format(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        msg = f"{str(path)!r} is an HDF5 file, but not one of recipes; those are written by `rp.io.write_recipes`."
        raise ValueError(msg)
    version = file.attrs.get("version")
    if not isinstance(version, int | np.integer) or not 1 <= version <= VERSION:
        msg = f"{str(path)!r} has format version {version}; this version of the package reads up to {VERSION}."
        raise ValueError(msg)


def _check_content(content: dict[str, Any], path: Path) -> None:
    """Rebuild everything once, so that what is wrong shows here and not in the middle of a later call."""
    gmm, recipes = content[_store.keys.GMM], content[_store.keys.RECIPES]
    try:
        GaussianMixture.from_parameters(
            gmm["weights"], gmm["means"], gmm["covariances"], covariance_type=str(gmm["params"]["covariance_type"])
        )
        fitted, _ = _store.read_recipes_entry(recipes, _store.keys.RECIPES)
        if COHORT in content:
            _check_cohort(content[COHORT], gmm["means"].shape[1])
        same = recipes["params"]["mixture"] == _store.fingerprint(gmm)
    except (KeyError, TypeError, IndexError) as error:
        msg = f"{str(path)!r} is damaged: a part is missing or of the wrong type ({error})."
        raise ValueError(msg) from error
    if not same or fitted.mean.shape[1] != len(gmm["weights"]):
        msg = f"{str(path)!r} is damaged: its recipes do not belong to its mixture."
        raise ValueError(msg)


def _check_cohort(cohort: dict[str, Any], n_dimensions: int) -> None:
    moments = _store.read_moments(cohort)
    if moments.means.shape[1] != n_dimensions:
        msg = (
            f"The moments of the classes have {moments.means.shape[1]} dimensions and the mixture {n_dimensions}; "
            "they are of different embeddings."
        )
        raise ValueError(msg)
    if "log_density_quantiles" in cohort:
        np.asarray(cohort["log_density_quantiles"]["value"], dtype=np.float64)[0]
