"""Generated patients as they are stored: sparse counts in ``obsm`` or points in ``uns``, and their table in ``uns``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient._store._lazy import in_memory
from repatient._store._mixture import check_mixture
from repatient._store._validate import uns_entry

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

_REMEDY = "Generate them again with `rp.tl.generate`."


@dataclass(frozen=True, eq=False)
class GaussianPatients:
    """Generated patients whose cells are points of the components' Gaussians.

    Parameters
    ----------
    embedding
        Coordinates of the cells, patient after patient, (cells, d) float32.
    indptr
        Where each patient begins and ends, (patients + 1,).
    components
        Component that each cell was drawn from, (cells,).
    use_rep
        Name of the embedding of the real cells that the coordinates are of.
    """

    embedding: NDArray[np.float32]
    indptr: NDArray[np.int64]
    components: NDArray[np.int32]
    use_rep: str

    @property
    def counts(self) -> sp.csc_matrix:
        """Whether each point is each patient's, (cells, patients)."""
        n_cells = len(self.embedding)
        ones = np.ones(n_cells, dtype=np.int32)
        return sp.csc_matrix((ones, np.arange(n_cells), self.indptr), shape=(n_cells, len(self.indptr) - 1))

    def take(self, patients: NDArray[np.integer]) -> GaussianPatients:
        """Return some of the patients, in the order of their numbers."""
        sizes = np.diff(self.indptr)
        kept = np.repeat(np.isin(np.arange(len(sizes)), patients), sizes)
        indptr = np.concatenate([[0], np.cumsum(sizes[np.sort(patients)])])
        return GaussianPatients(self.embedding[kept], indptr, self.components[kept], self.use_rep)


def gaussian_entry(embedding: NDArray[Any], indptr: NDArray[Any], components: NDArray[Any]) -> dict[str, Any]:
    """Points as ``uns`` holds them."""
    return {
        "embedding": embedding.astype(np.float32, copy=False),
        "indptr": indptr.astype(np.int64, copy=False),
        "component": components.astype(np.int32, copy=False),
    }


def is_gaussian(data: AnnData | MuData, key: str) -> bool:
    """Whether generated patients are points of Gaussians, and not counts of real cells."""
    return "cells" in uns_entry(data, key, "generated_key", "generate")


def read_generated(data: AnnData | MuData, key: str) -> tuple[sp.csc_matrix, pd.DataFrame]:
    """Counts of each cell in each generated patient, and the patients' table, if both belong together.

    Counts that lost their table, were cut to another width (as ``anndata.concat`` does) or were drawn from
    a mixture that was refitted since are refused, and so are patients who were drawn as Gaussians.
    """
    entry = uns_entry(data, key, "generated_key", "generate")
    if "cells" in entry:
        msg = (
            f"`generated_key`: the patients of `uns[{key!r}]` were drawn as Gaussians and have no real cells to count. "
            "Generate them with `rp.tl.generate(..., draw='cells')`."
        )
        raise ValueError(msg)
    if key not in data.obsm:
        msg = f"`generated_key`: `uns[{key!r}]` has no counts in `obsm[{key!r}]`. {_REMEDY}"
        raise KeyError(msg)
    counts, patients = in_memory(data.obsm[key]), entry["patients"]
    if counts.shape[1] != len(patients):
        msg = (
            f"`generated_key`: `obsm[{key!r}]` has {counts.shape[1]} columns and `uns[{key!r}]` {len(patients)} "
            f"patients; they are of different draws. {_REMEDY}"
        )
        raise ValueError(msg)
    check_mixture(data, entry["params"]["mixture"], entry["params"]["gmm_key"], "The generated patients", _REMEDY)
    return sp.csc_matrix(counts), patients


def read_gaussian(data: AnnData | MuData, key: str) -> tuple[GaussianPatients, pd.DataFrame]:
    """Points of the generated patients, and the patients' table, if both belong together and to the mixture."""
    entry = uns_entry(data, key, "generated_key", "generate")
    cells, patients, params = entry["cells"], entry["patients"], entry["params"]
    check_mixture(data, params["mixture"], params["gmm_key"], "The generated patients", _REMEDY)
    embedding, indptr = np.asarray(cells["embedding"]), np.asarray(cells["indptr"])
    components = np.asarray(cells["component"])
    n_dims = uns_entry(data, params["gmm_key"], "gmm_key", "gmm")["means"].shape[1]
    fitting = embedding.shape == (len(components), n_dims) and len(indptr) == len(patients) + 1
    if not fitting or indptr[-1] != len(components):
        msg = (
            f"`generated_key`: `uns[{key!r}]['cells']` has an embedding of shape {embedding.shape}, {len(components)} "
            f"components and {len(indptr)} bounds for {len(patients)} patients in {n_dims} dimensions. {_REMEDY}"
        )
        raise ValueError(msg)
    return GaussianPatients(embedding, indptr, components, str(params["use_rep"])), patients
