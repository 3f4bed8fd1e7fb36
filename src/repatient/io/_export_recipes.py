from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer
from repatient._docs import shared_docs
from repatient._files._atomic import replace_when_whole
from repatient._files._tables import write_table
from repatient._files._target import check_target
from repatient.io._format import GMM, RECIPES
from repatient.io._shared import shareable
from repatient.recipe import proportions

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

_MARK, _FILES = ("format", "repatient recipes as CSV"), "files"
# What a kind of recipe has for each class, with the names of the axes after that of the classes.
_BY_CLASS = {
    "location": ("row",),
    "covariance": ("row", "column"),
    "effects": ("column", "component"),
    "covariate_mean": ("column",),
    "covariate_low": ("column",),
    "covariate_high": ("column",),
}


@shared_docs
def export_recipes(
    data: AnnData | MuData,
    folder: str | PathLike[str],
    *,
    with_patients: bool = True,
    min_cells: int = 5,
    min_donors: int = 5,
    recipes_key: str = _store.keys.RECIPES,
    comparison_key: str | None = None,
    overwrite: bool = True,
) -> None:
    """Write the recipes of a cohort as CSV files, for R and whatever else reads tables.

    Parameters
    ----------
    %(data)s
    folder
        Folder to write; an earlier export there is replaced once the new one is whole and on the disk. A folder that
        holds anything else, even one more file, is left alone.
    with_patients
        Write the tables of the patients, too: ``counts``, ``proportions`` and ``patients``. Without them the folder holds
        no more than :func:`repatient.io.write_recipes` shares: components and covariates of few donors are merged, made
        coarser or left out.
    min_cells, min_donors
        Without the patients: cells, and donors with a cell, that a component has to have, and donors that what is said of
        covariates has to be of.
    %(recipes_key)s
    comparison_key
        Where :func:`repatient.tl.compare_recipes` stored a comparison to write, too. ``None``: none.
    overwrite
        Whether an earlier export may be replaced.

    Raises
    ------
    KeyError
        If there are no recipes, or no comparison that is asked for.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the recipes belong to a mixture that was refitted since, or were edited into what is none; without patients, if
        less than two components of enough donors are left, or the comparison is of components that were merged.
    FileExistsError
        If the folder holds anything but an earlier export, or one that is not to be overwritten, or is a link.
    FileNotFoundError, PermissionError
        If the folder that it is to stand in does not exist, or must not be written to.

    See Also
    --------
    repatient.io.write_recipes : One HDF5 file, which can be read back.

    Notes
    -----
    The files are UTF-8 with a header, numbers in full precision, components called ``0`` to ``K-1``. Text that a
    spreadsheet would run as a formula, because it begins with ``=``, ``+``, ``-`` or ``@`` and is no number, has an
    apostrophe in front:

    ``counts.csv``, ``proportions.csv``
        Cells of each patient in each component, and their shares: ``patient``, a column a component.
    ``patients.csv``
        ``patient``, ``label``, ``donor``, ``n_cells`` and the covariates of the recipes.
    ``classes.csv``
        ``class``, ``origin``, ``n_patients`` and, for the kinds that have one, ``concentration``.
    ``means.csv``
        Mean composition: ``class``, a column a component.
    ``components.csv``
        ``component``, its ``weight`` in the mixture, and its ``name`` where it has one.
    ``subtypes.csv``, ``compositions.csv``, ``covariates.csv``, ``location.csv``, ``covariance.csv``, ``effects.csv``
        What else the recipes have, see :func:`repatient.tl.recipes`; arrays have one row a number, and where it stands,
        counted from 0. Likewise ``covariate_mean.csv``, ``covariate_low.csv`` and ``covariate_high.csv``.
    ``comparison.csv``
        The table of :func:`repatient.tl.compare_recipes`.
    ``params.csv``
        ``name`` and ``value`` of each parameter, text as it is, all else as JSON; and the ``files`` of the export.

    Examples
    --------
    %(example_recipes)s
    >>> rp.io.export_recipes(adata, "recipes")

    In R:

    .. code-block:: r

        counts <- read.csv("recipes/counts.csv", row.names = 1, check.names = FALSE)
        patients <- read.csv("recipes/patients.csv", row.names = 1)
        params <- read.csv("recipes/params.csv", row.names = 1)
        params["kind", "value"]
        prcomp(log(counts + 0.5) - rowMeans(log(counts + 0.5)))

    The file of :func:`repatient.io.write_recipes` is plain HDF5, groups of numbers and text with a checksum in front,
    which R reads too; R turns the dimensions of arrays around:

    .. code-block:: r

        library(rhdf5)
        h5ls("healthy.recipes.h5")
        weights <- h5read("healthy.recipes.h5", "gmm/weights")
        means <- t(h5read("healthy.recipes.h5", "gmm/means"))
        mean_composition <- t(h5read("healthy.recipes.h5", "recipes/mean"))
        rownames(mean_composition) <- h5read("healthy.recipes.h5", "recipes/classes")

    With hdf5r, ``hdf5r::H5File$new("healthy.recipes.h5", "r")[["gmm/weights"]][]`` is the same.
    """
    _store.check_data(data)
    check_target(folder, "folder", what="export of recipes", ours=_is_export, folder=True, overwrite=overwrite)
    check_integer(min_cells, "min_cells")
    check_integer(min_donors, "min_donors")
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_recipes(data, entry)
    _store.read_recipes_entry(entry, recipes_key)
    gmm = _store.uns_entry(data, params["gmm_key"], "gmm_key", "gmm")
    if with_patients:
        tables = _tables(entry, gmm, entry["patients"]["label"]) | _of_patients(entry)
    else:
        content = shareable(data, recipes_key, offsets=False, min_cells=min_cells, min_donors=min_donors)
        tables = _tables(content[RECIPES], content[GMM], entry["patients"]["label"])
        params = content[RECIPES]["params"]
        if comparison_key is not None and len(content[GMM]["weights"]) < len(gmm["weights"]):
            msg = (
                "`comparison_key`: the comparison is of components that were merged, as few donors have cells in them; "
                "fit fewer, or lower `min_cells` and `min_donors`."
            )
            raise ValueError(msg)
    if comparison_key is not None:
        comparison = _store.uns_entry(data, comparison_key, "comparison_key", "compare_recipes")
        tables["comparison"] = comparison["results"]
    tables["params"] = _params(params, list(tables))
    with replace_when_whole(folder) as new:
        new.mkdir()
        for name, table in tables.items():
            write_table(new / f"{name}.csv", table)


def _tables(entry: dict[str, Any], mixture: dict[str, Any], labels: pd.Series) -> dict[str, pd.DataFrame]:
    """Tables of the classes and of the mixture, by name."""
    names = [str(name) for name in entry["classes"]]
    classes = pd.DataFrame({"class": names, "origin": [str(where) for where in entry["origin"]]})
    if _store.is_continuous(entry["params"]):
        classes["n_patients"] = int(labels.notna().sum())
    else:
        classes["n_patients"] = [int(_store.of_class(labels, name).sum()) for name in names]
    if "concentration" in entry:
        classes["concentration"] = np.asarray(entry["concentration"])
    weights = np.asarray(mixture["weights"])
    tables = {
        "classes": classes,
        "means": _with_first(entry["mean"], "class", names),
        "components": pd.DataFrame({"component": np.arange(len(weights)), "weight": weights, **_names(mixture)}),
    }
    if "covariates" in entry:
        tables["covariates"] = entry["covariates"]
    for name, of_class in (("compositions", "composition_class"), ("subtype_mean", "subtype_class")):
        if name in entry:
            whose = [names[i] for i in np.asarray(entry[of_class])]
            table = pd.DataFrame(np.asarray(entry[name]), columns=entry["mean"].columns)
            tables["subtypes" if name == "subtype_mean" else name] = _with_first(table, "class", whose)
    if "subtypes" in tables:
        for place, column in enumerate(("weight", "concentration"), start=1):
            tables["subtypes"].insert(place, column, np.asarray(entry[f"subtype_{column}"]))
    return tables | {name: _long(entry[name], names, axes) for name, axes in _BY_CLASS.items() if name in entry}


def _names(mixture: dict[str, Any]) -> dict[str, Any]:
    """What the components are called, where they have names."""
    return {"name": np.asarray(mixture["names"], dtype=object)} if "names" in mixture else {}


def _of_patients(entry: dict[str, Any]) -> dict[str, pd.DataFrame]:
    counts, patients = entry["counts"], entry["patients"]
    shares = pd.DataFrame(proportions(counts.to_numpy()), columns=counts.columns)
    return {
        "counts": _with_first(counts, "patient", counts.index),
        "proportions": _with_first(shares, "patient", counts.index),
        "patients": _with_first(patients, "patient", patients.index),
    }


def _with_first(table: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    table.insert(0, name, np.asarray(values, dtype=object))
    return table


def _long(values: Any, classes: list[str], axes: tuple[str, ...]) -> pd.DataFrame:
    """An array with classes first, as one row a number."""
    array = np.asarray(values)
    places = np.indices(array.shape).reshape(array.ndim, -1)
    columns = {"class": np.asarray(classes, dtype=object)[places[0]]}
    return pd.DataFrame({**columns, **dict(zip(axes, places[1:], strict=True)), "value": array.ravel()})


def _params(params: dict[str, Any], files: list[str]) -> pd.DataFrame:
    rows = [_MARK, (_FILES, _text(files)), *((name, _text(value)) for name, value in params.items())]
    return pd.DataFrame(rows, columns=["name", "value"])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=lambda array: array.tolist(), ensure_ascii=False)


def _is_export(folder: Path) -> bool:
    """Whether a folder holds an earlier export and nothing else."""
    try:
        with (folder / "params.csv").open(encoding="utf-8", newline="") as file:
            (_, mark, (name, files), *_) = csv.reader(file)
        ours = {"params.csv", *(f"{table}.csv" for table in json.loads(files))}
        return (
            tuple(mark) == _MARK
            and name == _FILES
            and all(path.name in ours and path.is_file() and not path.is_symlink() for path in folder.iterdir())
        )
    except (OSError, ValueError, TypeError, csv.Error):
        return False
