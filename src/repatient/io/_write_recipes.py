from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
from anndata.io import write_elem

from repatient import _store
from repatient._docs import shared_docs
from repatient._files._atomic import replace_when_whole
from repatient._files._target import check_target
from repatient.io._content import as_stored, check_content
from repatient.io._format import FORMAT, RECIPES, VERSION
from repatient.io._seal import BLOCK_SIZE, is_recipes_file, seal
from repatient.io._shared import shareable

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
    the means of the ``min_donors`` patients nearest to them, a class of fewer patients stands at the mean covariates of
    all, and levels of a covariate that fewer patients have are left out.

    The mean and covariance of the embedding's cells in each class go with them, so that another cohort can be aligned
    to this one (``rp.tl.assign(…, align="moments")``). So do the mean and covariance of the donors' mean cells in each
    class, against which a shift of another cohort is measured, and the quantiles of the log-density of cells whose
    patient the mixture was not fitted on, which tell how well another cohort is covered; a cohort of one patient, or of
    too few cells to fit the mixture without some of its patients, has no quantiles. Of a class of one patient, all of
    these are statistics of that patient, and of one of two they tell the mean cell of each.

    Where :func:`repatient.pp.embed` made the embedding, its steps go with the file (names of the features, their means
    and scales over all training cells, loadings), and where its dimensions are features themselves, their names. So another
    cohort's features are brought into the same embedding, and one of another origin is not taken for it.

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
        If the embedding is no longer in the object: the file then lacks what is measured on it. If components are merged, or levels
        of covariates left out.

    See Also
    --------
    repatient.io.read_recipes, repatient.tl.assign

    Examples
    --------
    %(example_recipes)s
    >>> rp.io.write_recipes(adata, "cohort.recipes.h5")
    >>> sorted(rp.io.read_recipes("cohort.recipes.h5"))
    ['cohort', 'gmm', 'recipes']
    """
    _store.check_data(data)
    check_target(path, "path", what="recipes file", ours=is_recipes_file, overwrite=overwrite)
    if not isinstance(offsets, bool):
        msg = f"`offsets` is True or False, not {offsets!r}."
        raise TypeError(msg)
    content = shareable(data, recipes_key, offsets=offsets, min_cells=min_cells, min_donors=min_donors)
    check_content(content)
    with replace_when_whole(path) as new:
        with h5py.File(new, "w", userblock_size=BLOCK_SIZE, libver="earliest") as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            for name, part in content.items():
                write_elem(file, name, as_stored(part) if name == RECIPES else part)
        seal(new)
