"""Generated patients as bags: of real cells, or of points that are put below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient import _store
from repatient._files._scratch import stacked

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.mil import Bags


def read_drawn(data: AnnData | MuData, key: str) -> tuple[sp.csc_matrix | _store.GaussianPatients, Any]:
    """Counts of real cells, or points of Gaussians, and the table of the generated patients."""
    return _store.read_gaussian(data, key) if _store.is_gaussian(data, key) else _store.read_generated(data, key)


def take_drawn(
    drawn: sp.csc_matrix | _store.GaussianPatients, patients: NDArray[np.integer]
) -> sp.csc_matrix | _store.GaussianPatients:
    """Some of the generated patients."""
    return drawn.take(patients) if isinstance(drawn, _store.GaussianPatients) else drawn[:, patients]


def check_embedding(drawn: sp.csc_matrix | _store.GaussianPatients, use_rep: str) -> None:
    """Refuse another embedding than that which points are of; real cells have all."""
    if isinstance(drawn, _store.GaussianPatients) and use_rep != drawn.use_rep:
        msg = (
            f"`use_rep`: the generated patients are points of Gaussians in {drawn.use_rep!r} and have no coordinates in "
            f"{use_rep!r}. Use the former, or generate with `draw='cells'`."
        )
        raise ValueError(msg)


def embedding_with_drawn(
    embedding: Any, use_rep: str, drawn: sp.csc_matrix | _store.GaussianPatients
) -> tuple[Any, sp.csc_matrix]:
    """Embedding of the real cells with points of Gaussians below, and how many times each row is in each patient."""
    check_embedding(drawn, use_rep)
    if not isinstance(drawn, _store.GaussianPatients):
        return embedding, drawn
    nothing = sp.csc_matrix((embedding.shape[0], len(drawn.indptr) - 1), dtype=np.int32)
    return stacked(embedding, drawn.embedding), sp.vstack([nothing, drawn.counts], format="csc")


def drawn_bags(embedding: Any, use_rep: str, drawn: sp.csc_matrix | _store.GaussianPatients) -> Bags:
    """Bags of the generated patients."""
    from repatient.mil import Bags

    check_embedding(drawn, use_rep)
    if isinstance(drawn, _store.GaussianPatients):
        return Bags(drawn.embedding, np.arange(len(drawn.embedding)), drawn.indptr)
    return Bags.from_counts(embedding, drawn)
