from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from anndata.io import read_elem

from repatient.io._content import as_read, check_content
from repatient.io._format import COHORT, EMBEDDING, FIRST_SEALED_VERSION, FORMAT, GMM, RECIPES, VERSION, Refused
from repatient.io._layout import Odd, check_layout
from repatient.io._seal import BLOCK_SIZE, open_sealed
from repatient.io._structure import check_structure

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
    ``{"gmm": …, "recipes": …, "cohort": …, "embedding": …}``, the first two as in ``uns`` of the cohort that they come
    from; the third has ``classes``, the ``means`` and ``covariances`` of their cells, and the ``spread`` of their donors,
    the fourth the steps to the embedding or the names of its features; both may be missing. It is what
    :func:`repatient.tl.assign`, :func:`repatient.tl.recipes`, :func:`repatient.tl.mil` and :func:`repatient.pp.project`
    take as ``reference``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no recipes file, is damaged, holds what cannot be (a negative variance, shares that do not sum to 1) or
        recipes of a kind that is not registered here, or was written by a later version of the package.

    Notes
    -----
    The file begins with the checksum of the rest, which is compared before anything else is read; files of formats 1 and
    2 have none. Then its structures are walked through, since HDF5 itself may hang or crash on some that no program wrote.
    Nothing in a file is ever run, nothing outside it is read, and what it declares is compared with its size before memory
    is taken for it.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> rp.tl.gmm(adata, 5, covariance_type="diag")
    >>> rp.tl.recipes(adata, patient_key="patient", label_key="label")
    >>> rp.io.write_recipes(adata, "cohort.recipes.h5")
    >>> content = rp.io.read_recipes("cohort.recipes.h5")
    >>> content["recipes"]["mean"].shape
    (2, 5)
    """
    path = Path(path)
    if not path.is_file():
        msg = f"There is no recipes file {str(path)!r}."
        raise FileNotFoundError(msg)
    found, version = open_sealed(path)
    try:
        check_layout(memoryview(found), 0 if version is None else BLOCK_SIZE)
        with h5py.File(io.BytesIO(found), "r") as file:
            check_structure(file, path, memoryview(found))
            _check_format(file, path, version)
            optional = [name for name in (COHORT, EMBEDDING) if name in file]
            content = {name: read_elem(file[name]) for name in (GMM, RECIPES, *optional)}
        content[RECIPES] = as_read(content[RECIPES])
        check_content(content)
    except Refused:
        raise
    except Odd as error:
        msg = f"{str(path)!r} is no recipes file of this package, or damaged: it holds {error}."
        raise Refused(msg) from error
    # What HDF5 and anndata raise at a file that is not as it should be has no common type.
    except Exception as error:
        msg = (
            f"{str(path)!r} is no recipes file, or is damaged: {type(error).__name__}: {error} "
            "Copy it again from where it came from, or write it anew with `rp.io.write_recipes`."
        )
        raise ValueError(msg) from error
    return content


def _check_format(file: h5py.File, path: Path, sealed: int | None) -> None:
    found = file.attrs.get("format")
    if not isinstance(found, str) or found != FORMAT:
        msg = f"{str(path)!r} is an HDF5 file, but not one of recipes; those are written by `rp.io.write_recipes`."
        raise Refused(msg)
    version = file.attrs.get("version")
    if not isinstance(version, int | np.integer) or not 1 <= version <= VERSION:
        msg = (
            f"{str(path)!r} has format version {version}; this version of the package reads up to {VERSION}. "
            "Update repatient, or have the file written with the version that you use."
        )
        raise Refused(msg)
    if sealed is None and version < FIRST_SEALED_VERSION:
        return
    if sealed != version:
        msg = f"{str(path)!r} is damaged: a file of version {version} begins with its checksum. Copy it again."
        raise Refused(msg)
