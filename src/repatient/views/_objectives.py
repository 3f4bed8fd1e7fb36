"""What two views of the same rows are trained to agree on: three losses on a batch of projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

TEMPERATURE = 0.5
VARIANCE_FLOOR = 1e-5


def infonce(first: Tensor, second: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Cross-entropy of finding the other view of a row among those of the batch, in both directions.

    Parameters
    ----------
    first, second
        Projections of two views of the same rows, (n, d).
    temperature
        Divisor of the cosines.

    Returns
    -------
    Mean over rows and directions.

    References
    ----------
    van den Oord et al. (2018), Representation Learning with Contrastive Predictive Coding, equation 4, on cosines as in
    Chen et al. (2020), A Simple Framework for Contrastive Learning of Visual Representations.
    """
    cosines = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(cosines, own) + F.cross_entropy(cosines.T, own)) / 2


def vicreg(
    first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """Views agree, every dimension keeps a standard deviation of 1, and dimensions are uncorrelated.

    Parameters
    ----------
    first, second
        Projections of two views of the same rows, (n, d), n of 2 or more.
    invariance, variance, covariance
        Weights of the three terms.

    References
    ----------
    Bardes, Ponce and LeCun (2022), VICReg: Variance-Invariance-Covariance Regularization, equations 1 to 6. As in the
    authors' own settings, the variance term is the mean of both views and the covariance term their sum.
    """
    spread = (_too_narrow(first) + _too_narrow(second)) / 2
    correlated = _off_diagonal(torch.cov(first.T)) + _off_diagonal(torch.cov(second.T))
    return invariance * F.mse_loss(first, second) + variance * spread + covariance * correlated / first.shape[1]


def barlow(first: Tensor, second: Tensor, redundancy: float = 5e-3) -> Tensor:
    """The cross-correlation of both views is the identity.

    Parameters
    ----------
    first, second
        Projections of two views of the same rows, (n, d), n of 2 or more.
    redundancy
        Weight of the correlations between different dimensions.

    References
    ----------
    Zbontar et al. (2021), Barlow Twins, equations 1 and 2.
    """
    correlation = _standardised(first).T @ _standardised(second) / len(first)
    return (1.0 - correlation.diagonal()).square().sum() + redundancy * _off_diagonal(correlation)


def _too_narrow(projections: Tensor) -> Tensor:
    """How far standard deviations are below 1, mean over dimensions."""
    return F.relu(1.0 - (projections.var(dim=0) + VARIANCE_FLOOR).sqrt()).mean()


def _standardised(projections: Tensor) -> Tensor:
    centred = projections - projections.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + VARIANCE_FLOOR).sqrt()


def _off_diagonal(matrix: Tensor) -> Tensor:
    """Sum of squares of what is not on the diagonal."""
    return matrix.square().sum() - matrix.diagonal().square().sum()


OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"infonce": infonce, "vicreg": vicreg, "barlow": barlow}
