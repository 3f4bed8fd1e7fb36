"""Whether the probabilities of predictors mean what they say where patients are few.

python benchmarks/calibration.py [--patients 24] [--models auto attention] [--cohorts 12] [--seed 0]

Each simulated cohort has two classes, which differ in composition (Dirichlet patients, concentration 20) and inside
components; how much is .6, 1 or 1.6 in turn. Patients have 60 cells in 8 dimensions, 5 components and a shift of their own.
A predictor learns from so many patients and predicts 60 new ones of the same cohort. "slope" is that of a logistic regression
of the class on the logit of the predicted probability, over the test patients of all cohorts together: 1 is right, below it
predictions are too bold, above it too timid. Beside it the range of the slopes when cohorts are drawn with replacement
(2.5 and 97.5 %), the mean AUROC, and the mean temperature.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from repatient.mil import Bags, make_predictor

N_TEST, N_CELLS, N_DIMENSIONS, N_COMPONENTS, CONCENTRATION = 60, 60, 8, 5, 20
EFFECTS = (0.6, 1.0, 1.6)


class Cohort:
    """Where the components lie, and how the second class differs."""

    def __init__(self, rng: np.random.Generator, effect: float) -> None:
        self.rng = rng
        self.centres = rng.normal(0, 3, (N_COMPONENTS, N_DIMENSIONS))
        self.mean = rng.dirichlet(np.full(N_COMPONENTS, 3.0))
        self.shift = rng.normal(0, 0.35 * effect, N_DIMENSIONS)
        self.ratio = np.exp(rng.normal(0, 0.5 * effect, N_COMPONENTS))

    def patients(self, n: int) -> tuple[Bags, np.ndarray]:
        """New patients, half of either class."""
        rng, y = self.rng, self.rng.permutation(np.arange(n) % 2)
        rows = []
        for label in y:
            mean = self.mean * (self.ratio if label else 1)
            component = rng.choice(N_COMPONENTS, N_CELLS, p=rng.dirichlet(CONCENTRATION * mean / mean.sum()))
            own = rng.normal(0, 0.5, N_DIMENSIONS) + label * self.shift
            rows.append(self.centres[component] + own + rng.standard_normal((N_CELLS, N_DIMENSIONS)))
        X = np.concatenate(rows).astype(np.float32)
        return Bags.from_codes(X, np.repeat(np.arange(n), N_CELLS), n), y


def slope(p: np.ndarray, y: np.ndarray) -> float:
    """Of the logistic regression of the class on the logit."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(LogisticRegression(C=1e6).fit(np.log(p / (1 - p))[:, None], y).coef_[0, 0])


def measured(name: str, n_patients: int, n_cohorts: int, seed: int) -> str:
    """A row of the table."""
    told, truth, areas, temperatures = [], [], [], []
    for number in range(n_cohorts):
        rng = np.random.default_rng([seed, number])
        cohort = Cohort(rng, EFFECTS[number % len(EFFECTS)])
        bags, y = cohort.patients(n_patients)
        test, test_y = cohort.patients(N_TEST)
        model = make_predictor(name, progress=False, device="cpu", random_state=number).fit(bags, y)
        p = model.predict_proba(test)[:, 1]
        told.append(p)
        truth.append(test_y)
        areas.append(roc_auc_score(test_y, p))
        temperatures.append(getattr(model, "temperature_", 1.0))
    draws = np.random.default_rng(seed).integers(n_cohorts, size=(200, n_cohorts))
    slopes = [slope(np.concatenate([told[i] for i in row]), np.concatenate([truth[i] for i in row])) for row in draws]
    low, high = np.quantile(slopes, [0.025, 0.975])
    found = slope(np.concatenate(told), np.concatenate(truth))
    return f"| {name} | {n_patients} | {n_cohorts} | {found:.2f} | {low:.2f} to {high:.2f} | {np.mean(areas):.3f} | {np.mean(temperatures):.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[24])
    parser.add_argument("--models", nargs="+", default=["auto", "attention"])
    parser.add_argument("--cohorts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| predictor | patients | cohorts | slope | 95 % | AUROC | temperature |\n|---|---|---|---|---|---|---|")
    for n_patients in arguments.patients:
        for name in arguments.models:
            print(measured(name, n_patients, arguments.cohorts, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
