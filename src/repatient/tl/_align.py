"""The map from one cohort's embedding to another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import listed
from repatient.sampling import CellsOfClasses, fit_alignment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from repatient import _store
    from repatient.sampling import Moments
    from repatient.tl._reference import Counterpart

_BLOCK_ROWS = 1 << 16


def shared_names(
    ours: _store.LabelledCells, theirs: Counterpart, shared_classes: Sequence[str] | None, align: str
) -> list[str]:
    """Classes that both cohorts have, or those of them that were asked for."""
    common = [name for name in ours.classes if name in theirs.classes]
    have = f"`data` has {listed(ours.classes)} and the reference {listed(theirs.classes)}"
    if shared_classes is not None:
        if isinstance(shared_classes, str):
            msg = f"`shared_classes` is a sequence of class names, not the string {shared_classes!r}."
            raise TypeError(msg)
        names = list(dict.fromkeys(str(name) for name in shared_classes))
        missing = [name for name in names if name not in common]
        if missing or not names:
            msg = f"`shared_classes`: {listed(missing)} are not in both cohorts: {have}."
            raise ValueError(msg)
        return names
    if not common and align != "raw":
        msg = f"`align={align!r}` needs a class that both cohorts have: {have}."
        raise ValueError(msg)
    return common


def check_alignment(align: str, ours: _store.LabelledCells | None, theirs: Counterpart) -> None:
    """Refuse an alignment for which something is missing, and say what."""
    if align == "raw":
        return
    if ours is None:
        msg = f"`align={align!r}` aligns the cohorts on the classes that both have: pass `patient_key` and `label_key`."
        raise ValueError(msg)
    if not theirs.classes:
        msg = (
            f"`align={align!r}` needs the reference's cells, or their moments in each class: pass the AnnData, or a "
            "recipes file that was written by this version of the package from an object with its embedding."
        )
        raise ValueError(msg)
    if align != "moments" and theirs.cohort is None:
        msg = (
            f"`align={align!r}` needs the reference's cells, and a recipes file holds statistics only: use "
            "`align='moments'`."
        )
        raise ValueError(msg)


def fit_map(
    align: str, ours: _store.LabelledCells, theirs: Counterpart, names: Sequence[str], random_state: int
) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Fit the map that brings our cells of the shared classes to where the reference's lie."""
    return fit_alignment(align, _Side(ours, ours.moments), _Side(theirs.cohort, theirs.moments_of), names, random_state)


@dataclass(frozen=True)
class _Side:
    """Statistics of a cohort and, where it is here, its cells."""

    cohort: _store.LabelledCells | None
    moments: Callable[[Sequence[str]], Moments]

    def cells(self, names: Sequence[str], most: int, rng: np.random.Generator) -> CellsOfClasses:
        """Cells of the classes, at most so many of each, as evenly from their patients as can be."""
        if self.cohort is None:
            msg = "the cells of a reference that is known by statistics alone were asked for"
            raise RuntimeError(msg)
        chosen = [self.cohort.sample(name, most, rng) for name in names]
        classes = np.repeat(np.arange(len(names)), [len(which) for which in chosen])
        which = np.concatenate(chosen)
        rows = np.concatenate([self.cohort.rows(part) for part in chosen])
        return CellsOfClasses(rows, classes, self.cohort.patients[which])


def move_all(move: Callable[[NDArray[Any]], NDArray[np.float64]], embedding: Any) -> NDArray[Any]:
    """Every cell moved, in the precision of the embedding."""
    moved = np.empty(embedding.shape, dtype=embedding.dtype)
    for start in range(0, len(moved), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        moved[block] = move(np.asarray(embedding[block]))
    return moved
