"""CloudPred: a mixture whose posterior counts are classified, trained end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional as F

from repatient._checks import check_integer, check_number
from repatient.mil import _inputs
from repatient.mil._adamw import FlatAdamW
from repatient.mil._features import PatientFeatures
from repatient.mil._linear import FeaturePredictor
from repatient.mil._persistence import array_of
from repatient.mil._train import single_thread
from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from repatient.mil._cell_reader import CellReader
    from repatient.mil._training_set import TrainingSet

    Array = NDArray[Any]

# Cells of all patients together that the mixture is trained on, as many of each.
MOST_CELLS = 5_000
# Fewest cells for each component of the mixture that training starts from.
CELLS_A_COMPONENT = 5
LEAST_SPREAD = 1e-3
# Of what is multiplied with the square of a cell in single precision.
_OVERFLOWS = 1e30


class Posterior(PatientFeatures):
    """Mean posterior probability of each component of a diagonal mixture, and its square."""

    name = "posterior"

    def fit(self, cells: CellReader, rng: np.random.Generator, settings: Mapping[str, Any]) -> Self:
        sample, _ = cells.sample(rng, MOST_CELLS)
        n = max(2, min(settings["n_components"], len(sample) // CELLS_A_COMPONENT))
        seed = int(rng.integers(2**31))
        mixture = GaussianMixture(n, covariance_type="diag", tol=1e-3, random_state=seed, progress=False).fit(sample)
        self.arrays = {
            "log_weights": np.log(np.maximum(mixture.weights_, 1e-12)).astype(np.float32),
            "means": mixture.means_.astype(np.float32),
            "log_sds": (0.5 * np.log(mixture.covariances_)).astype(np.float32),
        }
        return self

    def check(self, n_features: int) -> None:
        n = len(self.arrays["means"])
        array_of(self.arrays, "log_weights", n)
        means, log_sds = (
            array_of(self.arrays, name, n, n_features).astype(np.float64) for name in ("means", "log_sds")
        )
        with np.errstate(over="ignore"):
            largest = np.exp(-2 * log_sds) * (1 + np.abs(means)) ** 2
        if not (largest < _OVERFLOWS).all() or not (np.abs(log_sds) < _OVERFLOWS).all():
            msg = "'means' and 'log_sds' lead to densities that single precision cannot hold."
            raise ValueError(msg)

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        p = cells.mean_of(self._of_cells, len(self.arrays["means"]))
        return np.concatenate([p, p * p], axis=1)

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        # The square of a mean is the mean times what each cell adds to it.
        n, bag, sizes = len(self.arrays["means"]), cells.bag_of_entries(), cells.bags.sizes
        p = cells.mean_of(self._of_cells, n)
        slopes = weights[:n] + p[:, :, None] * weights[n:]
        each = cells.each(self._of_cells, n)
        shares = np.stack([(each * slopes[bag, :, k]).sum(axis=1) for k in range(weights.shape[1])], axis=1)
        return (shares - centre @ weights) / sizes[bag][:, None]

    def _of_cells(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        tensors = [torch.from_numpy(self.arrays[name]) for name in ("log_weights", "means", "log_sds")]
        with torch.no_grad(), single_thread():
            return posterior(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), *tensors).numpy()


def posterior(x: torch.Tensor, log_weights: torch.Tensor, means: torch.Tensor, log_sds: torch.Tensor) -> torch.Tensor:
    """Probability of each component for each cell, (cells, components)."""
    precision = torch.exp(-2 * log_sds)
    constant = log_weights - log_sds.sum(dim=1) - 0.5 * (means**2 * precision).sum(dim=1)
    return torch.softmax(x @ (means * precision).T - 0.5 * (x**2) @ precision.T + constant, dim=1)


class CloudPred(FeaturePredictor):
    """Shares of the components of a mixture, and their squares, into a linear model; the mixture learns from the outcome.

    A mixture of diagonal Gaussians, fitted to the training cells, is trained on together with a linear model of each
    patient's mean posterior probabilities, at first order and squared; the linear model is then solved exactly. Grades and
    values are told by squared error while the mixture is trained.

    Parameters
    ----------
    n_components
        Components of the mixture; fewer where cells are few.
    C
        Inverse strength of the L2 penalty, as in scikit-learn.
    n_steps
        Gradient steps, each on all training patients; 0 leaves the mixture as it is.
    learning_rate
        Of Adam.
    class_weight
        ``"balanced"`` gives all classes or grades the same weight; values have none.
    standardize
        Whether cells are standardised by the training cells.
    n_passes
        Models drawn from the posterior of the linear model behind the uncertainty.
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed. The same seed gives the same bits.

    References
    ----------
    He, Thomson, Subramaniam, Perez, Ye and Zou (2021), CloudPred: Predicting Patient Phenotypes From Single-cell RNA-seq.
    """

    kind: ClassVar[str] = "cloudpred"
    feature_kinds: ClassVar[Mapping[str, type[PatientFeatures]]] = {"posterior": Posterior}
    bandwidth: ClassVar[float] = 0.0
    n_frequencies: ClassVar[int] = 0

    def __init__(
        self,
        *,
        n_components: int = 10,
        C: float = 1.0,
        n_steps: int = 200,
        learning_rate: float = 1e-2,
        class_weight: str | None = "balanced",
        standardize: bool = True,
        n_passes: int = 50,
        outcome: str = "class",
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.C = C
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.class_weight = class_weight
        self.standardize = standardize
        self.n_passes = n_passes
        self.outcome = outcome
        self.random_state = random_state

    def _feature_names(self) -> Sequence[str]:
        return ["posterior"]

    def _check(self) -> None:
        super()._check()
        check_integer(self.n_components, "n_components", minimum=2)
        check_integer(self.n_steps, "n_steps", minimum=0)
        for argument in ("C", "learning_rate"):
            check_number(getattr(self, argument), argument, above=0.0)
        _inputs.check_class_weight(self.class_weight)

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        self._fit_features(training, rng)
        self._train(training, rng)
        self._fit_head(training, self._transform_all(training), C=self.C, balanced=self.class_weight == "balanced")

    def _train(self, training: TrainingSet, rng: np.random.Generator) -> None:
        """Move the mixture along the gradient of the loss of a linear model."""
        cells, bags, first = [], [], 0
        for part in training.parts:
            some, of_bag = self._read(part).sample(rng, MOST_CELLS // len(training.parts))
            cells.append(some)
            bags.append(of_bag + first)
            first += len(part)
        x, bag = torch.from_numpy(np.concatenate(cells)), torch.from_numpy(np.concatenate(bags))
        sizes = torch.bincount(bag, minlength=first)[:, None]
        mass = training.mass(balanced=self.class_weight == "balanced")
        loss_of, n_outputs = _loss(training, mass, self.outcome)
        arrays = self._kinds[0].arrays
        n = len(arrays["means"])
        linear = {"weights": torch.zeros((2 * n, n_outputs)), "bias": torch.zeros(n_outputs)}
        mixture = {name: torch.from_numpy(array) for name, array in arrays.items()}
        learnt = torch.nn.ParameterDict({name: tensor.float() for name, tensor in (mixture | linear).items()})
        optimiser = FlatAdamW(learnt, learning_rate=self.learning_rate, weight_decay=0.0)
        weights, bias, mixture = learnt["weights"], learnt["bias"], {name: learnt[name] for name in arrays}
        with single_thread():
            for _ in range(self.n_steps):
                p = x.new_zeros((first, n)).index_add(0, bag, posterior(x, **mixture)) / sizes
                features = torch.cat([p, p**2], dim=1)
                real = features[: len(training.real)]
                spread = torch.sqrt(real.var(dim=0, unbiased=False) + LEAST_SPREAD**2)
                scores = (features - real.mean(dim=0)) / spread @ weights + bias
                loss = loss_of(scores) + 0.5 * (weights**2).sum() / (self.C * len(training.real))
                optimiser.step(loss)
        self._kinds[0].arrays = {name: tensor.detach().numpy().copy() for name, tensor in mixture.items()}


def _loss(training: TrainingSet, mass: Array, outcome: str) -> tuple[Any, int]:
    """Loss of scores of all bags, and how many scores there are."""
    total = mass.sum(axis=1)
    weight = torch.from_numpy((mass / mass.sum()).astype(np.float32))
    if outcome == "class":
        return (lambda scores: -(weight * F.log_softmax(scores, dim=1)).sum()), mass.shape[1]
    values = training.classes if outcome == "continuous" else np.arange(mass.shape[1])
    v = mass @ values / total
    centre = total @ v / total.sum()
    spread = np.sqrt(total @ (v - centre) ** 2 / total.sum()) or 1.0
    target = torch.from_numpy(((v - centre) / spread).astype(np.float32))
    return (lambda scores: (weight.sum(dim=1) * (scores[:, 0] - target) ** 2).sum()), 1
