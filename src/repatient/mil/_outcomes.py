"""What a network predicts of a patient, and what it is trained on: a class, a grade, or a value.

Each outcome is the last part of a network: it turns the outputs of the last layer into what probabilities follow from,
and knows the loss of training, the score that the history keeps, and the likelihood that the temperature maximises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from scipy.special import entr, expit, log_softmax
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

# Logarithm of the variance in units of the target's own: a sd of 1 % to 700 % of that of the training patients.
LOG_VARIANCE_BOUNDS = (-9.0, 4.0)


class Outcome(Protocol):
    """The last part of a network; the targets are codes (bags,), or the probabilities of all codes (bags, codes)."""

    @property
    def n_outputs(self) -> int:
        """Outputs of the last layer."""

    @property
    def score_name(self) -> str:
        """What the history calls the score."""

    def __call__(self, outputs: Tensor) -> Tensor:
        """Turn the outputs of the last layer into those of the network, both (..., outputs)."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each bag, (bags,), before weights."""

    def loss_of_guessing(self, mass: NDArray[np.float64]) -> float:
        """Least mean loss of the same prediction for all bags, given how much weight each code has."""

    def score(self, outputs: NDArray[np.float64], y: NDArray[np.int64]) -> float:
        """What the history says of validation bags beside the loss."""

    def log_likelihood(self, outputs: NDArray[np.float64], y: NDArray[np.int64], temperature: float) -> float:
        """Logarithm of the probability of all targets at a temperature."""


class ClassOutcome(nn.Module):
    """Classes without an order: cross-entropy of the logits (bags, classes)."""

    score_name = "validation_balanced_accuracy"

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_outputs = n_classes

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")

    def loss_of_guessing(self, mass: NDArray[np.float64]) -> float:
        return float(entr(mass / mass.sum()).sum())

    def score(self, outputs: NDArray[np.float64], y: NDArray[np.int64]) -> float:
        """Mean over the classes of the share of their bags that is predicted right."""
        correct = outputs.argmax(axis=1) == y
        return float(np.mean([correct[y == c].mean() for c in np.unique(y)]))

    def log_likelihood(self, outputs: NDArray[np.float64], y: NDArray[np.int64], temperature: float) -> float:
        return float(log_softmax(outputs / temperature, axis=1)[np.arange(len(y)), y].sum())


class OrdinalOutcome(nn.Module):
    """Ordered grades: the cumulative logit model with one score and ordered thresholds.

    The outputs (bags, grades - 1) are the thresholds less the score, the logits of the probabilities to be of a grade
    or of one below. They rise, so that no grade has a negative probability.

    Parameters
    ----------
    shares
        Share of each grade in the loss, (grades,), none of them 0: at the start, a score of 0 predicts these.

    References
    ----------
    McCullagh (1980), Regression Models for Ordinal Data, section 2.
    """

    n_outputs = 1
    score_name = "validation_mean_absolute_error"
    start: Tensor

    def __init__(self, shares: ArrayLike) -> None:
        super().__init__()
        below = np.cumsum(np.asarray(shares, dtype=np.float64))[:-1]
        thresholds = np.log(below) - np.log1p(-below)
        start = np.concatenate([thresholds[:1], np.diff(thresholds)])
        self.register_buffer("start", torch.from_numpy(start.astype(np.float32)))
        # How far the first threshold has moved, and the logarithms of what the others' distances have grown by: weight
        # decay leads back to the start.
        self.moved = nn.Parameter(torch.zeros(len(start), dtype=torch.float32))

    def thresholds(self) -> Tensor:
        """Rising thresholds of the score, (grades - 1,)."""
        first, others = self.start[:1] + self.moved[:1], self.start[1:] * self.moved[1:].exp()
        return torch.cat([first, others]).cumsum(0)

    def forward(self, outputs: Tensor) -> Tensor:
        return self.thresholds() - outputs

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logarithms = _log_of_grades(outputs)
        if targets.ndim == 1:
            return F.nll_loss(logarithms, targets, reduction="none")
        return -(targets * logarithms).sum(dim=1)

    def loss_of_guessing(self, mass: NDArray[np.float64]) -> float:
        return float(entr(mass / mass.sum()).sum())

    def score(self, outputs: NDArray[np.float64], y: NDArray[np.int64]) -> float:
        """Mean distance from the most probable grade to the right one, in grades."""
        return float(np.abs(probabilities_of_grades(outputs).argmax(axis=1) - y).mean())

    def log_likelihood(self, outputs: NDArray[np.float64], y: NDArray[np.int64], temperature: float) -> float:
        logarithms = _log_of_grades(torch.from_numpy(outputs / temperature)).numpy()
        return float(logarithms[np.arange(len(y)), y].sum())


def probabilities_of_grades(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each grade (..., grades) from rising logits (..., grades - 1) of being of it or of one below."""
    return np.diff(expit(outputs), axis=-1, prepend=0.0, append=1.0)


def _log_of_grades(outputs: Tensor) -> Tensor:
    """Logarithm of the probability of each grade, (bags, grades), without cancellation.

    The logistic function's difference between a higher place a and a lower one b is
    sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
    """
    below, above = F.logsigmoid(outputs), F.logsigmoid(-outputs)
    gaps = torch.diff(outputs, dim=1).clamp_min(torch.finfo(outputs.dtype).tiny)
    between = below[:, 1:] + above[:, :-1] + torch.log(-torch.expm1(-gaps))
    return torch.cat([below[:, :1], between, above[:, -1:]], dim=1)


class ContinuousOutcome(nn.Module):
    """Values: a Gaussian whose mean and logarithm of the variance are the outputs (bags, 2).

    Parameters
    ----------
    values
        Value of each code in units of the standardised target, (codes,).
    unit
        How much one of these units is in the target's own.

    References
    ----------
    Nix and Weigend (1994), Estimating the Mean and Variance of the Target Probability Distribution.
    """

    n_outputs = 2
    score_name = "validation_mean_absolute_error"
    values: Tensor

    def __init__(self, values: ArrayLike, unit: float) -> None:
        super().__init__()
        # Only training asks for them: a saved model does not hold the values of its patients.
        self.register_buffer("values", torch.from_numpy(np.asarray(values, dtype=np.float32)), persistent=False)
        self.unit = unit

    def forward(self, outputs: Tensor) -> Tensor:
        mean, log_variance = outputs.unbind(dim=-1)
        return torch.stack([mean, log_variance.clamp(*LOG_VARIANCE_BOUNDS)], dim=-1)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative logarithm of the density; a mix of values is their mean."""
        values = self.values[targets] if targets.ndim == 1 else targets @ self.values
        mean, log_variance = outputs.unbind(dim=1)
        return 0.5 * (log_variance + (values - mean) ** 2 * torch.exp(-log_variance) + np.log(2 * np.pi))

    def loss_of_guessing(self, mass: NDArray[np.float64]) -> float:
        values, shares = self.values.cpu().numpy().astype(np.float64), mass / mass.sum()
        variance = shares @ (values - shares @ values) ** 2
        return float(0.5 * np.log(2 * np.pi * np.e * variance))

    def score(self, outputs: NDArray[np.float64], y: NDArray[np.int64]) -> float:
        """Mean distance from the predicted mean to the value, in units of the target."""
        return float(np.abs(outputs[:, 0] - self._of_codes(y)).mean() * self.unit)

    def log_likelihood(self, outputs: NDArray[np.float64], y: NDArray[np.int64], temperature: float) -> float:
        """That of the values, up to a constant, where the temperature multiplies the standard deviations."""
        squared = (outputs[:, 0] - self._of_codes(y)) ** 2 / np.exp(outputs[:, 1])
        return float(-len(y) * np.log(temperature) - 0.5 * squared.sum() / temperature**2)

    def _of_codes(self, y: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.values.cpu().numpy().astype(np.float64)[y]
