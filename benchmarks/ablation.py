"""What each choice in RECIPE is worth with few patients: one thing changed at a time, on the shared cohorts.

python benchmarks/ablation.py [--data FOLDER] [--splits 20] [--numbers 5] [--cohorts melanoma igan musk1 elephant]

Patients are generated afresh at every step unless a row says otherwise, half of the bags of a step, from 5 components.
Splits, training and the differences reported are those of low_data.py.
"""

from __future__ import annotations

from low_data import compare

ON_THE_FLY = {
    "kind: dirichlet": {"kind": "dirichlet"},
    "kind: logistic_normal": {"kind": "logistic_normal"},
    "kind: empirical": {"kind": "empirical"},
    "kind: mean": {"kind": "mean"},
    "3 components": {"n_components": 3},
    "10 components": {"n_components": 10},
    "25 components": {"n_components": 25},
    "pool: same class": {"pool": "same"},
    "3 donors": {"n_donors": 3},
    "donor effects": {"donor_effects": True},
    "3 of 4 bags generated": {"share": 0.75},
    "all bags generated": {"share": 1.0},
    "labels mixed": {"label_mixing": 0.5},
    "not shrunk": {"shrinkage": 0.0},
}
FIXED = {
    "fixed patients": {},
    "fixed, low entropy": {"n_generated": 20, "select": "low"},
    "fixed, high entropy": {"n_generated": 20, "select": "high"},
}
METHODS = (
    "none",
    "recipe",
    *({"method": "recipe", "name": name, **settings} for name, settings in ON_THE_FLY.items()),
    *({"method": "recipe_fixed", "name": name, **settings} for name, settings in FIXED.items()),
    {"method": "random_selection", "name": "fixed, as many at random", "n_generated": 20},
    "psemix",
    {"method": "recipe+psemix", "name": "recipe and psemix in turn, 5 components", "n_components": 5},
    {"method": "recipe+psemix", "name": "in turn, 3 and 8 components"},
)


def main() -> None:
    compare(__doc__, METHODS, n_splits=20, cohorts=["melanoma", "igan", "musk1", "elephant"], numbers=(5,))


if __name__ == "__main__":
    main()
