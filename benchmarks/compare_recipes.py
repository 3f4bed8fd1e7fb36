"""How often `rp.tl.compare_recipes` finds a component where there is none, and where one is doubled, with few patients.

python benchmarks/compare_recipes.py [--cohorts 500] [--seed 0] [--quick] [--patients 2 3 5 10] [--components 4 10 30]

Each row is of so many simulated cohorts of two classes. "null": both classes have one distribution; the share of cohorts
with any component at a false discovery rate of .05 should be .05 or less. "doubled": the component of median share is
twice as large in the second class; the share of cohorts in which it is found. "posterior" counts the tail probability of
the posterior alone, "compare" what the function says: the larger of it and of four fifths of the p-value of a moderated t-test
over donors.

Patients are Dirichlet with the concentration given, or logistic-normal with a covariance of log-ratios drawn anew for each
cohort, whose variance is about that of the concentration given; 200 to 1,500 cells each. Mean compositions are drawn from
a Dirichlet distribution of twos.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import false_discovery_control

from repatient.recipe import mean_posteriors, moderated_p_values, p_values_of_both

FDR = 0.05
PATIENTS, COMPONENTS = (2, 3, 5, 10), (4, 10, 30)
SPREADS = (("dirichlet", 5), ("dirichlet", 50), ("dirichlet", 200), ("logistic-normal", 10), ("logistic-normal", 60))


def cohort(
    rng: np.random.Generator, n_patients: int, n_components: int, spread: tuple[str, float], *, doubled: bool
) -> tuple[list[np.ndarray], int]:
    """Cells of the patients of two classes in each component, and the component that differs."""
    kind, concentration = spread
    mean = rng.dirichlet(np.full(n_components, 2.0))
    component = int(np.argsort(mean)[n_components // 2])
    other = mean.copy()
    other[component] *= 2 if doubled else 1
    mixing = rng.standard_normal((n_components, n_components)) / np.sqrt(concentration)
    groups = []
    for centre in (mean, other / other.sum()):
        if kind == "dirichlet":
            compositions = rng.dirichlet(concentration * centre, size=n_patients)
        else:
            compositions = centre * np.exp(rng.standard_normal((n_patients, n_components)) @ mixing)
            compositions /= compositions.sum(axis=1, keepdims=True)
        groups.append(rng.multinomial(rng.integers(200, 1500, size=n_patients), compositions))
    return groups, component


def found(
    n_cohorts: int, seed: int, n_patients: int, n_components: int, spread: tuple[str, float], *, doubled: bool
) -> tuple[float, float]:
    """Share of cohorts with a discovery, by the posterior alone and by both tests."""
    rng = np.random.default_rng([seed, n_patients, n_components, int(spread[1]), doubled, spread[0] == "dirichlet"])
    hits = np.zeros(2)
    for _ in range(n_cohorts):
        groups, component = cohort(rng, n_patients, n_components, spread, doubled=doubled)
        these, those = mean_posteriors(groups)
        above = these.above(those)
        tail = 2 * np.minimum(above, 1 - above)
        for i, p_values in enumerate((tail, p_values_of_both(tail, moderated_p_values(*groups)))):
            significant = false_discovery_control(p_values.clip(max=1)) <= FDR
            hits[i] += significant[component] if doubled else significant.any()
    return hits[0] / n_cohorts, hits[1] / n_cohorts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS, help="patients a class")
    parser.add_argument("--components", type=int, nargs="+", default=COMPONENTS)
    parser.add_argument("--quick", action="store_true", help="30 cohorts a row")
    arguments = parser.parse_args()
    n_cohorts = 30 if arguments.quick else arguments.cohorts
    print("| what | patients a class | components | spread | posterior | compare |\n|---|---|---|---|---|---|")
    for doubled in (False, True):
        for n_patients in arguments.patients:
            for n_components in arguments.components:
                for spread in SPREADS:
                    shares = found(n_cohorts, arguments.seed, n_patients, n_components, spread, doubled=doubled)
                    row = ("doubled" if doubled else "null", n_patients, n_components, f"{spread[0]} {spread[1]}")
                    print(
                        "|",
                        " | ".join(map(str, row)),
                        "|",
                        " | ".join(f"{share:.3f}" for share in shares),
                        "|",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
