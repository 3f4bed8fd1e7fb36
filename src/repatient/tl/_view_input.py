"""The view that an encoder or a translator was trained on, found again in new objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from repatient import _store
from repatient._checks import listed
from repatient._files._read import check_values, text
from repatient.tl._view_pair import feature_names, read_rows, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from repatient.views import Translator

    # Settings for JSON, and arrays: what :meth:`Projection.to_arrays` gives.
    Steps = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class ViewInput:
    """Where a view is, and what it consists of.

    Parameters
    ----------
    use_rep
        A key of ``obsm``; ``None`` for ``X``.
    features
        Names of its columns, where they have names.
    projection
        Steps to it from measured features, where :func:`repatient.pp.embed` made it.
    """

    use_rep: str | None
    features: Sequence[str] | None = None
    projection: _store.Projection | None = None

    @classmethod
    def of(cls, adata: AnnData, use_rep: str | None) -> Self:
        """Describe a view of a modality."""
        projection = None if use_rep in (None, "X") else _store.read_projection(adata, str(use_rep))
        return cls(use_rep, feature_names(adata, use_rep), projection)

    def read(self, adata: AnnData, use_rep: str | None, argument: str, *, finite: bool = False) -> np.ndarray:
        """Rows of the view of any object: computed by the steps to it, or with its columns in the order of training."""
        name = self.use_rep if use_rep is None else use_rep
        if self.projection is not None and self.use_rep is not None:
            origin = _store.EmbeddingOrigin(self.use_rep, self.projection.n_components, self.projection)
            return origin.read(adata, use_rep)
        names = feature_names(adata, name)
        rows = read_rows(adata, name, argument, finite=finite)
        if self.features is None or names is None or list(names) == list(self.features):
            return rows
        return rows[:, _places(names, self.features)]


def rows_of_translator(
    adata: AnnData, translator: Translator, use_rep: str | None, argument: str, *, finite: bool = False
) -> np.ndarray:
    """Rows of the source of a translator, as it was trained on them."""
    steps = translator.source_steps_
    if steps is None:
        return ViewInput(use_rep, translator.source_names_).read(adata, None, argument, finite=finite)
    settings, arrays = steps
    check_values(settings, {"use_rep": text}, "the translator")
    projection = _store.stored_projection(settings, arrays, "the translator")
    view = ViewInput(settings["use_rep"], translator.source_names_, projection)
    # Under the name that it had in training it is computed where it is not of the same steps.
    return view.read(adata, None if use_rep == view.use_rep else use_rep, argument, finite=finite)


def steps_of(adata: AnnData, use_rep: str | None) -> Steps | None:
    """Steps to a view as a translator keeps them; ``None`` where nobody knows."""
    projection = ViewInput.of(adata, use_rep).projection
    if projection is None:
        return None
    settings, arrays = projection.to_arrays()
    return {**settings, "use_rep": use_rep}, arrays


def _places(names: Sequence[str], features: Sequence[str]) -> NDArray[Any]:
    """Column of each feature of training."""
    twice = repeated(list(names)) or repeated(list(features))
    if twice:
        msg = (
            f"`data`: its features are not those of training in their order, and names that occur more than once, "
            f"{listed(twice, 5)}, do not say which is which."
        )
        raise ValueError(msg)
    order = pd.Index(names).get_indexer(list(features))
    if (order < 0).any():
        missing = [name for name, place in zip(features, order, strict=True) if place < 0]
        msg = f"`data`: {len(missing)} of the {len(order)} features of training are not in it: {listed(missing, 40)}."
        raise KeyError(msg)
    return order
