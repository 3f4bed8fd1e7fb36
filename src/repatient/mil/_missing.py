"""The outputs of classes that training had no real bag of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import stats

from repatient.mil._embedding import embedding_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._augment import Augmented
    from repatient.mil._batches import Batch
    from repatient.mil._network import GatedAttentionNetwork

BAGS_AT_A_TIME, N_TIMES = 16, 16


class Shift(NamedTuple):
    """By how much the logit of a class without a real bag was lowered, and the 95 % interval of that.

    The interval is of Welch's kind, over the real bags and those that were made. It says how well the place is known where
    the missing class gives way, if it is off by as much as the others.
    """

    code: int
    shift: float
    low: float
    high: float


@torch.no_grad()
def shift_missing(network: GatedAttentionNetwork, training: Augmented, generator: torch.Generator) -> list[Shift]:
    """Shift the logits of classes without a real bag by what real bags of the other classes are taken for.

    Bags that are made are not quite like real ones, so that real bags of a class lie nearer to a missing one, or farther
    from it, than those that stood for the class in training. How much, in the mean log-odds, is seen on the classes that
    have real bags; the missing class is taken to be off by as much. With two classes the ranks of bags stay as they are,
    and the place where one class gives way to the other moves. Returned is what was done to each missing class.
    """
    n_classes = len(training.class_weights)
    missing = np.bincount(training.real.y, minlength=n_classes) == 0
    if not missing.any():
        return []
    device = network.head.weight.device
    embed = embedding_of(network, torch.from_numpy(training.cells).to(device))
    n_bags = len(training.real.bags)
    parts = np.split(np.arange(n_bags), range(BAGS_AT_A_TIME, n_bags, BAGS_AT_A_TIME))
    logits = [_logits(network, training.real.batch(part, embed, device)) for part in parts]
    real = _of_classes(np.concatenate(logits), np.eye(n_classes)[training.real.y])
    batches = training.batches(network, embed, BAGS_AT_A_TIME, N_TIMES, generator)
    pairs = [(_logits(network, batch), batch.targets.cpu().numpy()) for batch in batches]
    made = _of_classes(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)))
    # Of the classes that have both; none where all bags that are made lie between classes.
    seen = [c for c in np.flatnonzero(~missing).tolist() if c in made]
    found = []
    for m in np.flatnonzero(missing).tolist() if seen else []:
        odds = [(side[c][:, m] - side[c][:, c]) for c in seen for side in (real, made)]
        shift = sum(part.mean() for part in odds[::2]) - sum(part.mean() for part in odds[1::2])
        found.append(_shift(m, float(shift) / len(seen), odds))
        network.classifier.bias[m] -= found[-1].shift
    return found


def _shift(code: int, shift: float, odds: list[NDArray[np.float64]]) -> Shift:
    """The shift with its interval, from the log-odds of the bags of each class and kind."""
    if min(map(len, odds)) < 2:
        return Shift(code, shift, -np.inf, np.inf)
    variances = np.array([part.var(ddof=1) / len(part) for part in odds])
    total = variances.sum()
    # After Welch and Satterthwaite; classes weigh the same.
    degrees = total**2 / sum(v**2 / (len(part) - 1) for v, part in zip(variances, odds, strict=True)) if total else 1.0
    half = float(stats.t.ppf(0.975, degrees) * np.sqrt(total) / (len(odds) / 2))
    return Shift(code, shift, shift - half, shift + half)


def _logits(network: GatedAttentionNetwork, batch: Batch) -> NDArray[np.float64]:
    return network.classify(batch.embeddings()).cpu().numpy().astype(np.float64)


def _of_classes(logits: NDArray[np.float64], targets: NDArray[np.floating]) -> dict[int, NDArray[np.float64]]:
    """Logits of the bags that are certainly of a class, for each class that has some."""
    certain = targets == 1
    return {int(c): logits[certain[:, c]] for c in np.flatnonzero(certain.any(axis=0))}
