"""The outputs of classes that training had no real bag of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from repatient.mil._embedding import embedding_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._augment import Augmented
    from repatient.mil._batches import Batch
    from repatient.mil._network import GatedAttentionNetwork

BAGS_AT_A_TIME, N_TIMES = 16, 16


@torch.no_grad()
def shift_missing(network: GatedAttentionNetwork, training: Augmented, generator: torch.Generator) -> None:
    """Shift the logits of classes without a real bag by what real bags of the other classes are taken for.

    Bags that are made are not quite like real ones, so that real bags of a class lie nearer to a missing one, or farther
    from it, than those that stood for the class in training. How much, in the mean log-odds, is seen on the classes that
    have real bags; the missing class is taken to be off by as much. With two classes the ranks of bags stay as they are,
    and the place where one class gives way to the other moves.
    """
    n_classes = len(training.class_weights)
    missing = np.bincount(training.real.y, minlength=n_classes) == 0
    if not missing.any():
        return
    device = network.head.weight.device
    embed = embedding_of(network, torch.from_numpy(training.cells).to(device))
    n_bags = len(training.real.bags)
    parts = np.split(np.arange(n_bags), range(BAGS_AT_A_TIME, n_bags, BAGS_AT_A_TIME))
    logits = [_logits(network, training.real.batch(part, embed, device)) for part in parts]
    real = _means(np.concatenate(logits), np.eye(n_classes)[training.real.y])
    batches = training.batches(network, embed, BAGS_AT_A_TIME, N_TIMES, generator)
    pairs = [(_logits(network, batch), batch.targets.cpu().numpy()) for batch in batches]
    made = _means(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)))
    # Of the classes that have both; none where all bags that are made lie between classes.
    seen = [c for c in np.flatnonzero(~missing).tolist() if c in made]
    for m in np.flatnonzero(missing).tolist():
        if seen:
            off = np.mean([(real[c][m] - real[c][c]) - (made[c][m] - made[c][c]) for c in seen])
            network.classifier.bias[m] -= float(off)


def _logits(network: GatedAttentionNetwork, batch: Batch) -> NDArray[np.float64]:
    return network.classify(batch.embeddings()).cpu().numpy().astype(np.float64)


def _means(logits: NDArray[np.float64], targets: NDArray[np.floating]) -> dict[int, NDArray[np.float64]]:
    """Mean logits of the bags that are certainly of a class, for each class that has some."""
    certain = targets == 1
    return {int(c): logits[certain[:, c]].mean(axis=0) for c in np.flatnonzero(certain.any(axis=0))}
