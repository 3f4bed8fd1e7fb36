"""What a translator is to learn from, read from the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mudata import MuData

from repatient import _store
from repatient._checks import check_key, check_option, listed
from repatient.tl._view_pair import feature_names, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

HELD_OUT = 0.2
KEPT = 0.8
FEWEST_PAIRS_TO_SPLIT = 50


@dataclass(frozen=True)
class Modality:
    """One modality: its rows, the names of their features, which of them are trained on, and their groups.

    Parameters
    ----------
    name
        Of the modality.
    adata
        The modality.
    rows
        Vectors or images of all observations.
    features
        Names of the columns; their numbers where they have none.
    named
        Whether the features have names.
    trained
        Which rows may be trained on.
    groups
        Group of each row, where the modality has such a column.
    rep
        Where the rows are: a key of ``obsm``; ``None`` for ``X``.
    """

    name: str
    adata: AnnData
    rows: np.ndarray
    features: Sequence[Any]
    named: bool
    trained: np.ndarray
    groups: np.ndarray | None
    rep: str | None = None


def read_sides(
    data: AnnData | MuData,
    target_data: AnnData | None,
    names: tuple[Any, Any],
    reps: tuple[str | None, str | None],
    masks: tuple[Any, Any],
    groupby: str | None,
) -> tuple[Modality, Modality]:
    """Source and target of a MuData, or of two AnnData."""
    modalities = find_modalities(data, target_data, names)
    of_object = None
    if isinstance(data, MuData) and masks[0] is not None:
        of_object = pd.Series(_store.read_mask(data, masks[0]), index=data.obs_names)
    sides = []
    for i, argument in enumerate(("source_rep", "target_rep")):
        adata = modalities[i]
        rows = read_rows(adata, reps[i], argument, finite=i == 0)
        named = feature_names(adata, reps[i])
        features = range(rows.shape[1] if rows.ndim > 1 else 0) if named is None else named
        trained = _trained(adata, of_object, masks, i)
        groups = None if groupby is None else _groups(data, adata, groupby)
        sides.append(Modality(str(names[i]), adata, rows, features, named is not None, trained, groups, reps[i]))
    if groupby is not None and all(side.groups is None for side in sides):
        msg = f"`groupby`: no column {groupby!r} in `obs` of {names[0]!r} or {names[1]!r}."
        raise KeyError(msg)
    return sides[0], sides[1]


def find_modalities(
    data: AnnData | MuData, target_data: AnnData | None, names: tuple[Any, Any]
) -> tuple[AnnData, AnnData]:
    """The two modalities, checked."""
    _store.check_data(data)
    for name, argument in zip(names, ("source", "target"), strict=True):
        check_key(name, argument)
    if names[0] == names[1]:
        msg = f"`target`: {names[1]!r} is the source itself; a second modality is needed."
        raise ValueError(msg)
    if isinstance(data, MuData):
        if target_data is not None:
            msg = "`target_data` is for a source that is an AnnData of its own; a MuData has both modalities."
            raise ValueError(msg)
        for name, argument in zip(names, ("source", "target"), strict=True):
            if name not in data.mod:
                msg = f"`{argument}`: no modality {name!r}; there are {listed(data.mod)}."
                raise KeyError(msg)
            _store.check_data(data.mod[name])
        return data.mod[names[0]], data.mod[names[1]]
    if target_data is None:
        msg = "`target_data`: the source is an AnnData; pass that of the target, or a MuData that has both."
        raise ValueError(msg)
    if isinstance(target_data, MuData):
        msg = "`target_data` is an AnnData, not a MuData."
        raise TypeError(msg)
    _store.check_data(target_data)
    return data, target_data


def read_pairs(pairs: Any, source: Modality, target: Modality, argument: str) -> np.ndarray:
    """Table (n_pairs, 2) of rows that belong together; empty for none."""
    if pairs is None:
        return np.empty((0, 2), dtype=np.int64)
    if isinstance(pairs, str):
        check_option(pairs, argument, ["obs_names"])
        partner = target.adata.obs_names.get_indexer(source.adata.obs_names)
        table = np.column_stack([np.flatnonzero(partner >= 0), partner[partner >= 0]])
        if not len(table):
            msg = f"`{argument}='obs_names'`: the modalities {source.name!r} and {target.name!r} share no name."
            raise ValueError(msg)
        return table
    table = np.asarray(pairs)
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "iu" or not len(table):
        msg = f"`{argument}` is 'obs_names' or a table (n_pairs, 2) of row numbers, found {table.dtype} of shape {table.shape}."
        raise ValueError(msg)
    outside = (table < 0).any(axis=1) | (table[:, 0] >= len(source.rows)) | (table[:, 1] >= len(target.rows))
    if outside.any():
        msg = f"`{argument}` has {int(outside.sum())} rows outside of the {len(source.rows)} and {len(target.rows)} observations."
        raise ValueError(msg)
    return table.astype(np.int64)


@dataclass(frozen=True)
class Split:
    """Rows of both modalities to train on, and pairs (as row numbers) to train on and to judge by."""

    source: np.ndarray
    target: np.ndarray
    taught: np.ndarray
    judged: np.ndarray

    @property
    def taught_in_training(self) -> np.ndarray | None:
        """Pairs to train on as positions among the training rows."""
        if not len(self.taught):
            return None
        columns = (np.searchsorted(rows, self.taught[:, i]) for i, rows in enumerate((self.source, self.target)))
        return np.column_stack(list(columns))


def split(
    source: Modality, target: Modality, pairs: np.ndarray, evaluation_pairs: np.ndarray, random_state: int
) -> Split:
    """Pairs outside the training rows judge; where every row may be trained on, a fifth of the pairs are kept back."""
    trained = [source.trained.copy(), target.trained.copy()]
    inside = source.trained[pairs[:, 0]], target.trained[pairs[:, 1]]
    taught, judged = pairs[inside[0] & inside[1]], pairs[~inside[0] & ~inside[1]]
    if len(evaluation_pairs):
        out = ~source.trained[evaluation_pairs[:, 0]] & ~target.trained[evaluation_pairs[:, 1]]
        # Where nothing is held out, rows are known to the translator, but not which belong together.
        judged = evaluation_pairs[out] if out.any() else evaluation_pairs
    elif not len(judged) and len(taught) >= FEWEST_PAIRS_TO_SPLIT:
        order = np.random.default_rng(random_state).permutation(len(taught))
        n_judged = int(HELD_OUT * len(taught))
        judged, taught = taught[np.sort(order[:n_judged])], taught[np.sort(order[n_judged:])]
        for i in range(2):
            trained[i][judged[:, i]] = False
    return Split(np.flatnonzero(trained[0]), np.flatnonzero(trained[1]), taught, judged)


def thinned(parts: Split, random_state: int) -> Split:
    """Four fifths of the training rows, and the pairs among them: what another translator is fitted on."""
    rng = np.random.default_rng(random_state)
    kept = [np.sort(rng.permutation(rows)[: max(int(KEPT * len(rows)), 2)]) for rows in (parts.source, parts.target)]
    inside = np.isin(parts.taught[:, 0], kept[0]) & np.isin(parts.taught[:, 1], kept[1])
    return Split(kept[0], kept[1], parts.taught[inside], parts.judged)


def _trained(adata: AnnData, of_object: pd.Series | None, masks: tuple[Any, Any], i: int) -> np.ndarray:
    """Training rows of one modality: by its own mask, by that of the whole object, or all."""
    if i == 1 and masks[1] is not None:
        mask = _store.read_mask(adata, masks[1], "target_mask_obs")
    elif of_object is not None:
        mask = of_object.reindex(adata.obs_names).to_numpy(dtype=bool)
    elif i == 0 or (isinstance(masks[0], str) and masks[0] in adata.obs):
        mask = _store.read_mask(adata, masks[0])
    else:
        mask = None
    return np.ones(adata.n_obs, dtype=bool) if mask is None else mask


def _groups(data: AnnData | MuData, adata: AnnData, groupby: str) -> np.ndarray | None:
    """Group of each observation, missing for some; None where the modality has no such column, or an empty one."""
    if groupby in adata.obs:
        column = adata.obs[groupby]
    elif isinstance(data, MuData) and groupby in data.obs:
        column = data.obs[groupby].reindex(adata.obs_names)
    else:
        return None
    return column.to_numpy(dtype=object) if column.notna().any() else None
