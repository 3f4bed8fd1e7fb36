"""Groups of similar cells within each bag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags


def phenotypes(bags: Bags, n_phenotypes: int, n_iterations: int) -> NDArray[np.int64]:
    """Phenotype of each entry, from 0 to ``n_phenotypes - 1``.

    Cells are cut by their cosine with the mean of the bag into intervals of equal width from -1 to 1; then, in each
    iteration, they go to the group whose mean has the largest cosine with them (Liu et al. 2024, ProtoDiv).
    """
    parts = [bags.X[bags.rows[start:stop]] for start, stop in zip(bags.indptr[:-1], bags.indptr[1:], strict=True)]
    return np.concatenate([_of_bag(part.astype(np.float64), n_phenotypes, n_iterations) for part in parts])


def _of_bag(cells: NDArray[np.float64], n_phenotypes: int, n_iterations: int) -> NDArray[np.int64]:
    directions = _normalised(cells)
    cosine = directions @ _normalised(cells.mean(axis=0)[None])[0]
    groups = np.clip((cosine + 1) / 2 * n_phenotypes, 0, n_phenotypes - 1).astype(np.int64)
    for _ in range(n_iterations):
        members = groups == np.arange(n_phenotypes)[:, None]
        present = np.flatnonzero(members.any(axis=1))
        means = members[present] @ cells
        groups = present[np.argmax(directions @ _normalised(means).T, axis=1)]
    return groups


def _normalised(vectors: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
