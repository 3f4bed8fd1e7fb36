"""Generated patients as they are stored: sparse counts in ``obsm`` or points in ``uns``, and their table in ``uns``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from repatient._checks import listed
from repatient._files._scratch import stacked
from repatient._store._current import check_source
from repatient._store._embedding import read_embedding
from repatient._store._lazy import in_memory
from repatient._store._mixture import read_components
from repatient._store._outcomes import check_outcome, is_continuous
from repatient._store._patients import as_names
from repatient._store._validate import obs_column, uns_entry

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.mil import Bags
    from repatient.sampling import GaussianDraw

_REMEDY = "Generate them again with `rp.tl.generate`."


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated patients of an object, whose cells are real ones or points of Gaussians.

    Parameters
    ----------
    key
        Where they are stored.
    params
        Parameters of :func:`repatient.tl.generate`.
    table
        One row a patient, its cells, donors and repeated draws counted as they are in the object now.
    counts
        How many times each cell of the object, or each point, is in each patient, (cells, patients).
    points
        Coordinates of the points, patient after patient, (cells, d) float32; ``None`` where cells are real ones.
    components
        Component that each point was drawn from, (cells,); ``None`` likewise.
    origins
        Row of the object that each point is, moved; ``None`` where points are none of cells.
    """

    key: str
    params: dict[str, Any]
    table: pd.DataFrame
    counts: sp.csc_matrix
    points: NDArray[np.float32] | None = None
    components: NDArray[np.int32] | None = None
    origins: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> NDArray[Any]:
        """Class of each patient as text, or its value, (patients,)."""
        return self.table["label"].to_numpy(dtype=np.float64 if is_continuous(self.params) else str)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Cells of each patient, (patients,)."""
        return np.asarray(self.counts.sum(axis=0), dtype=np.int64).ravel()

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of the object that each cell of the patients is, patient after patient; none for points."""
        if self.points is not None:
            return np.zeros(0, dtype=np.int64)
        counts = self.counts.sorted_indices()
        return np.repeat(counts.indices, counts.data).astype(np.int64)

    def take(self, patients: NDArray[np.integer]) -> Generated:
        """Some of the patients."""
        table = self.table.iloc[patients]
        if self.points is None or self.components is None:
            return replace(self, table=table, counts=self.counts[:, patients])
        sizes, starts = self.sizes[patients], self.counts.indptr[:-1][patients]
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        kept = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], sizes)
        counts = _counts_of_points(indptr)
        origins = None if self.origins is None else self.origins[kept]
        parts = {"points": self.points[kept], "components": self.components[kept], "origins": origins}
        return replace(self, table=table, counts=counts, **parts)

    def selected(self, option: bool | None = None, *, required: bool = False) -> Generated:  # noqa: FBT001
        """The patients that :func:`repatient.tl.select` kept; ``None``: where a selection was made; ``False``: all.

        Where patients are ``required``, none is an error.
        """
        if option is True and "selected" not in self.table:
            msg = f"`selected`: no selection was made in `uns[{self.key!r}]`; make one with `rp.tl.select`."
            raise KeyError(msg)
        if option is False or "selected" not in self.table:
            return self
        kept = np.flatnonzero(self.table["selected"].to_numpy(dtype=bool))
        if required and not len(kept):
            msg = f"`generated_key`: no patient of `uns[{self.key!r}]` is selected; select again with `rp.tl.select`."
            raise ValueError(msg)
        return self.take(kept)

    def check_outcome(self, outcome: str) -> None:
        """Refuse patients whose labels are of another kind than those that are learnt."""
        check_outcome(self.params, outcome, self.key)

    def check_inside(self, codes: NDArray[np.integer]) -> None:
        """Refuse real cells of patients without a code, (n_obs,), as of those outside a mask."""
        drawn = self.origins if self.origins is not None else np.zeros(0, dtype=np.int64)
        rows = np.unique(self.counts.indices if self.points is None else drawn)
        if n_outside := int((codes[rows] < 0).sum()):
            msg = (
                f"`generated_key`: the generated patients hold {n_outside} cells from outside `mask_obs`; training on them would "
                "leak. Generate them from the cells inside alone (`rp.tl.generate(..., mask_obs=...)`)."
            )
            raise ValueError(msg)

    def cells(self, embedding: Any, use_rep: str) -> Any:
        """Coordinates of what ``counts`` count, given those of the real cells; refused where points have none."""
        if self.points is None:
            return embedding
        if use_rep != self.params["use_rep"]:
            msg = (
                f"`use_rep`: the patients of `uns[{self.key!r}]` are points in {self.params['use_rep']!r}, not cells, and "
                f"have no coordinates in {use_rep!r}. Use the former, or generate with `draw='cells'`."
            )
            raise ValueError(msg)
        return self.points

    def bags(self, embedding: Any, use_rep: str) -> Bags:
        """The patients as bags."""
        from repatient.mil import Bags

        return Bags.from_counts(self.cells(embedding, use_rep), self.counts)

    def in_embedding(self, embedding: Any, use_rep: str) -> tuple[Any, sp.csc_matrix]:
        """Real cells with all others below, and how many times each row is in each patient."""
        cells = self.cells(embedding, use_rep)
        if self.points is None:
            return embedding, self.counts
        nothing = sp.csc_matrix((embedding.shape[0], len(self)), dtype=np.int32)
        return stacked(embedding, cells), sp.vstack([nothing, self.counts], format="csc")

    def compositions(self, components: NDArray[np.integer], n_components: int) -> NDArray[np.int64]:
        """Cells of each patient in each component, (patients, K), given the component of each real cell."""
        of_cells = components if self.components is None else self.components
        one = np.ones(len(of_cells), dtype=np.int64)
        member = sp.csr_matrix((one, (of_cells, np.arange(len(of_cells)))), shape=(n_components, len(of_cells)))
        return np.asarray((member @ self.counts).toarray(), dtype=np.int64).T


def read_generated(data: AnnData | MuData, key: str) -> Generated:
    """Generated patients of an object, if what is stored belongs together and to the object.

    Refused are entries that something else wrote or that were joined from others, counts that lost their table or were
    cut to another width (as :func:`anndata.concat` does) or hold more cells than were drawn (as after joining two
    cohorts), patients of a mixture that was refitted since, and patients all of whose cells were filtered out. Where some
    of their cells were, the others are counted.
    """
    entry = uns_entry(data, key, "generated_key", "generate")
    params, table = entry["params"], entry["patients"]
    if not isinstance(table, pd.DataFrame) or "label" not in table:
        msg = f"`generated_key`: `uns[{key!r}]['patients']` is no table of patients with labels. {_REMEDY}"
        raise ValueError(msg)
    if "cells" in entry:
        check_source(data, params, table["label"], key, _REMEDY)
        return _of_points(data, key, params, table, entry["cells"])
    if key not in data.obsm:
        msg = f"`generated_key`: `uns[{key!r}]` has no counts in `obsm[{key!r}]`. {_REMEDY}"
        raise KeyError(msg)
    counts = sp.csc_matrix(in_memory(data.obsm[key]))
    if counts.shape[1] != len(table):
        msg = (
            f"`generated_key`: `obsm[{key!r}]` has {counts.shape[1]} columns and `uns[{key!r}]` {len(table)} patients; they "
            f"are of different draws. {_REMEDY}"
        )
        raise ValueError(msg)
    check_source(data, params, table["label"], key, _REMEDY)
    generated = Generated(key, params, _counted(data, counts, table, params, key), counts)
    return _moved(data, generated, entry["shift"]) if "shift" in entry else generated


def _moved(data: AnnData | MuData, generated: Generated, shift: dict[str, Any]) -> Generated:
    """Cells moved into the class of their patient: points, as nothing but their embedding is known then."""
    params, rows = generated.params, generated.rows
    classes = [str(name) for name in np.atleast_1d(shift["classes"])]
    components, n_components = read_components(data, params["gmm_key"])
    embedding, _ = read_embedding(data, str(params["use_rep"]))
    values = np.asarray(shift["values"], dtype=np.float32)
    if values.shape != (len(classes), len(classes), n_components, embedding.shape[1]):
        msg = f"`generated_key`: `uns[{generated.key!r}]['shift']` has shape {values.shape}, which does not fit. {_REMEDY}"
        raise ValueError(msg)
    position = {name: i for i, name in enumerate(classes)}
    column = as_names(obs_column(data, params["label_key"], "label_key"), "label_key")[rows]
    if unknown := sorted({str(name) for name in column if name not in position}):
        msg = f"`generated_key`: cells of {generated.key!r} are of the classes {listed(unknown)} now, not {listed(classes)}. {_REMEDY}"
        raise ValueError(msg)
    of = np.array([position[name] for name in column], dtype=np.int64)
    to = np.repeat([position[name] for name in generated.labels], generated.sizes)
    points = np.asarray(embedding[rows], dtype=np.float32) + values[of, to, components[rows]]
    counts = _counts_of_points(np.concatenate([[0], np.cumsum(generated.sizes)]))
    return replace(generated, counts=counts, points=points, components=components[rows].astype(np.int32), origins=rows)


def write_generated(
    data: AnnData | MuData,
    key: str,
    table: pd.DataFrame,
    params: dict[str, Any],
    drawn: sp.csc_matrix | GaussianDraw,
    shift: dict[str, Any] | None = None,
) -> None:
    """Store generated patients, and what moves their cells, in place of those of an earlier call."""
    entry: dict[str, Any] = {"patients": table, "params": params}
    if shift is not None:
        entry["shift"] = shift
    if sp.issparse(drawn):
        data.obsm[key] = drawn
    else:
        entry["cells"] = {
            "embedding": drawn.embedding.astype(np.float32, copy=False),
            "indptr": drawn.indptr.astype(np.int64, copy=False),
            "component": drawn.components.astype(np.int32, copy=False),
        }
        if key in data.obsm:
            del data.obsm[key]
    data.uns[key] = entry


def _counts_of_points(indptr: NDArray[Any]) -> sp.csc_matrix:
    n_cells = int(indptr[-1])
    ones = np.ones(n_cells, dtype=np.int32)
    return sp.csc_matrix((ones, np.arange(n_cells), indptr), shape=(n_cells, len(indptr) - 1))


def _of_points(
    data: AnnData | MuData, key: str, params: dict[str, Any], table: pd.DataFrame, cells: dict[str, Any]
) -> Generated:
    embedding, indptr, components = (np.asarray(cells[name]) for name in ("embedding", "indptr", "component"))
    n_dims = uns_entry(data, params["gmm_key"], "gmm_key", "gmm")["means"].shape[1]
    fitting = embedding.shape == (len(components), n_dims) and len(indptr) == len(table) + 1
    if not fitting or indptr[-1] != len(components):
        msg = (
            f"`generated_key`: `uns[{key!r}]['cells']` has an embedding of shape {embedding.shape}, {len(components)} "
            f"components and {len(indptr)} bounds for {len(table)} patients in {n_dims} dimensions. {_REMEDY}"
        )
        raise ValueError(msg)
    return Generated(key, params, table, _counts_of_points(indptr), embedding, components)


def _counted(
    data: AnnData | MuData, counts: sp.csc_matrix, table: pd.DataFrame, params: dict[str, Any], key: str
) -> pd.DataFrame:
    """The table with what can be counted, where cells of the patients were filtered out; an error where it is stale."""
    sizes = np.asarray(counts.sum(axis=0), dtype=np.int64).ravel()
    if (sizes == 0).any():
        msg = (
            f"`generated_key`: {int((sizes == 0).sum())} of {len(table)} generated patients of `uns[{key!r}]` have no cell "
            f"here: {listed(table.index[sizes == 0], 6)}. {_REMEDY}"
        )
        raise ValueError(msg)
    recorded = table["n_cells"].to_numpy() if "n_cells" in table else sizes
    if (sizes == recorded).all():
        return table.assign(n_cells=sizes)
    found = {"n_cells": sizes, "n_repeated": sizes - np.diff(counts.indptr)}
    donor_key = params.get("donor_key") or params["patient_key"]
    try:
        donors = pd.factorize(obs_column(data, donor_key, "donor_key"))[0]
    except KeyError:
        pass
    else:
        entries = counts.tocoo()
        n_donors = int(donors.max()) + 1
        pairs = np.unique(entries.col.astype(np.int64) * n_donors + donors[entries.row]) // max(n_donors, 1)
        found["n_donors"] = np.bincount(pairs, minlength=len(table))
    more = [name for name in ("n_cells", "n_donors") if name in table and name in found]
    if any((found[name] > table[name].to_numpy()).any() for name in more):
        msg = (
            f"`generated_key`: `obsm[{key!r}]` holds more cells than `uns[{key!r}]` says were drawn; the two are of "
            f"different draws, as after joining two objects. {_REMEDY}"
        )
        raise ValueError(msg)
    return table.assign(**{name: values for name, values in found.items() if name in table})
