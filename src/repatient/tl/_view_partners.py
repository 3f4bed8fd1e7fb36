"""Synthetic and measured partners in one unit, so that an encoder may be trained on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient import _store
from repatient._checks import listed
from repatient.tl._view_input import rows_of_translator
from repatient.tl._view_pair import ViewPair, read_rows

if TYPE_CHECKING:
    from repatient.views import Translator


def read_synthetic(
    views: ViewPair,
    primary_rep: str | None,
    translator: Translator | None,
    synthetic_key: str | None,
    privileged_rep: str | None,
) -> np.ndarray:
    """Synthetic partner of every row of the primary modality."""
    if translator is not None:
        return translator.predict_features(rows_of_translator(views.primary, translator, primary_rep, "primary_rep"))
    key = _store.keys.synthetic(views.names[1]) if synthetic_key is None else synthetic_key
    if key not in views.primary.obsm:
        msg = (
            f"`synthetic_key`: no {key!r} in `obsm` of {views.names[0]!r}; there are {listed(views.primary.obsm)}. "
            "`rp.tl.synthesize` writes it (images with `store=True`), and what it returns may be passed as `translator`."
        )
        raise KeyError(msg)
    return to_comparable(views, privileged_rep, None, read_rows(views.primary, key, "synthetic_key", finite=True))


def to_comparable(
    views: ViewPair, privileged_rep: str | None, translator: Translator | None, values: np.ndarray
) -> np.ndarray:
    """Views as a translator's features, or, of a target that was counted, as logarithms."""
    if translator is not None:
        return translator.target_features(values)
    if values.ndim != 2 or views.privileged is None:
        return values
    return np.log1p(np.maximum(values, 0)) if is_counted(views, privileged_rep) else values


def is_counted(views: ViewPair, privileged_rep: str | None) -> bool:
    """Whether the measured view is there and holds counts in vectors, which are compared as logarithms."""
    if views.privileged is None or (privileged_rep is None and views.privileged.X is None):
        # The default is the matrix, which images do not have.
        return False
    values = read_rows(views.privileged, privileged_rep, "privileged_rep")
    return values.ndim == 2 and _are_counts(values)


def _are_counts(values: np.ndarray) -> bool:
    """Whether all values are whole numbers from 0, some above 1."""
    numeric = values.dtype.kind in "fiu" and values.ndim == 2 and values.size > 0
    return bool(numeric and values.min() >= 0 and values.max() > 1 and (values == np.rint(values)).all())
