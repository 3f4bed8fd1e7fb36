from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
from anndata.io import write_elem

from repatient import _store
from repatient._docs import shared_docs
from repatient.io._format import FORMAT, GMM_PARTS, RECIPES_PARTS, VERSION

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

    Parameters
    ----------
    %(data)s
    path
        File to write; an existing one is replaced once the new one is whole.
    %(recipes_key)s

    Raises
    ------
    KeyError
        If there are no recipes.
    ValueError
        If they belong to a mixture that was refitted since.

    See Also
    --------
    repatient.io.read_recipes, repatient.tl.assign
    """
    _store.check_data(data)
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_mixture(
        data, params["mixture"], params["gmm_key"], "The recipes", "Learn them again with `rp.tl.recipes`."
    )
    _store.read_recipes_entry(entry, recipes_key)
    content = {
        "gmm": _parts(data.uns[params["gmm_key"]], GMM_PARTS),
        "recipes": _parts(entry, RECIPES_PARTS),
    }
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            for name, part in content.items():
                write_elem(file, name, part)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _parts(entry: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry[name] for name in names if name in entry}
