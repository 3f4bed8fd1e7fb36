"""How far partners follow their rows, which partners of other rows do not, and how much of them an embedding keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold

from repatient.views._encoder_networks import pooled
from repatient.views._preparation import ROWS_AT_A_TIME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.views._preparation import Preparation

_FOLDS = 5
_FEWEST_ROWS = 10
_MOST_ROWS = 2000
_PENALTIES = np.logspace(-1, 5, 13)


def partner_trust(
    rows: NDArray[np.float32], partners: NDArray[np.float32], primary: Preparation, privileged: Preparation
) -> float:
    """Correlation of partners with their prediction by ridge regression from rows that were left out, mean over features.

    Parameters
    ----------
    rows, partners
        Training rows of both views; where there are more than 2,000, these many, evenly spread.
    primary, privileged
        How the views are read.

    Returns
    -------
    From 0, nothing can be predicted, to 1; 1, too, of fewer than ten rows, of which nothing can be said.
    """
    if len(rows) < _FEWEST_ROWS:
        return 1.0
    of = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64))
    x, y = _features(rows[of], primary), _features(partners[of], privileged)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    predicted = np.zeros_like(y)
    for seen, left_out in folds.split(x):
        # What all rows share, or a fold by chance has more of, is not to count.
        ridge = RidgeCV(alphas=_PENALTIES).fit(x[seen], y[seen])
        # Of a single feature it predicts a vector.
        predicted[left_out] = ridge.predict(x[left_out]).reshape(-1, y.shape[1]) - y[seen].mean(axis=0)
    centred = y - y.mean(axis=0)
    products = np.sqrt((predicted**2).sum(axis=0) * (centred**2).sum(axis=0))
    varying = products > 0
    if not varying.any():
        return 0.0
    correlations = (predicted * centred).sum(axis=0)[varying] / products[varying]
    return float(np.clip(correlations.mean(), 0.0, 1.0))


def kept_share(embedding: NDArray[np.floating], features: NDArray[np.floating], held_out: NDArray[np.int64]) -> float:
    """Share of the variance of features that an embedding predicts linearly on rows that were held out.

    Parameters
    ----------
    embedding, features
        Of the same rows, (n, dim) and (n, f).
    held_out
        Rows that neither the embedding nor the prediction is learnt from.

    Returns
    -------
    At most 1, which says that the features hold nothing that the embedding lacks; NaN where there is too little to learn
    or to judge by.
    """
    others = np.setdiff1d(np.arange(len(embedding)), held_out)
    if len(held_out) < 2 or len(others) < _FEWEST_ROWS:
        return float("nan")
    of, judged = (
        rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64)] for rows in (others, held_out)
    )
    x, y = embedding.astype(np.float64), features.astype(np.float64)
    predicted = RidgeCV(alphas=_PENALTIES).fit(x[of], y[of]).predict(x[judged]).reshape(-1, y.shape[1])
    spread = float(((y[judged] - y[judged].mean(axis=0)) ** 2).sum())
    return 1.0 - float(((y[judged] - predicted) ** 2).sum()) / spread if spread > 0 else float("nan")


def _features(rows: NDArray[np.float32], preparation: Preparation) -> NDArray[np.float64]:
    """What an encoder reads, images at 8 × 8 places or fewer."""
    if preparation.kind != "images":
        return preparation.flat(rows).astype(np.float64)
    blocks = torch.from_numpy(rows).split(ROWS_AT_A_TIME)
    return np.concatenate([pooled(preparation.plain(block)).numpy() for block in blocks]).astype(np.float64)
