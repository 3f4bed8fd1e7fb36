"""What `rp.tl.mil` trains under a name is what `rp.tl.evaluate` measures under it."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import repatient as rp
from repatient.mil import PREDICTORS
from repatient.mixing import augmenters

KEYS = {"patient_key": "patient", "label_key": "label"}
AUGMENTED = [f"attention+{name}" for name in augmenters()]
METHODS = [*PREDICTORS, *AUGMENTED, "attention+recipe+psemix", "mean+recipe", "cells+psemix", "auto+recipe"]
# Features in units of their own are scaled, which each kind of predictor leaves to the same code.
SCALED = ["mean", "likelihood", "attention+recipe+psemix", "mean+recipe"]
METHODS_OF = {"X_pca": METHODS, "X": SCALED}
CASES = [(use_rep, name) for use_rep, names in METHODS_OF.items() for name in names]


@cache
def evaluated(use_rep):
    """A cohort with features as coordinates or in units of their own, and the evaluation of all methods on it."""
    adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=25)
    features = adata.obsm["X_pca"][:, :6].astype(np.float32)
    adata.obsm["X_pca"] = features.copy()
    if use_rep == "X":
        adata = adata[:, :6].copy()
        adata.X = features * np.array([1, 10, 0.1, 5, 1, 2], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = rp.tl.evaluate(
            adata,
            **KEYS,
            use_rep=use_rep,
            methods=METHODS_OF[use_rep],
            n_splits=2,
            n_steps=4,
            progress=False,
        )
    return adata, frame


@pytest.mark.parametrize(("use_rep", "name"), CASES)
def test_equal_predictions(use_rep, name):
    adata, frame = evaluated(use_rep)
    predictor, _, augment = name.partition("+")
    stored = adata.uns["evaluation"]["predictions"]
    own = stored[(stored["method"] == name) & (stored["split"] == 1)].set_index("patient")
    model = PREDICTORS[predictor]()
    if "n_steps" in model.get_params(deep=False):
        model.set_params(n_steps=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = rp.tl.mil(
            adata,
            **KEYS,
            use_rep=use_rep,
            model=model,
            augment=augment or None,
            mask_obs=~adata.obs["patient"].isin(own.index).to_numpy(),
            device="cpu",
            random_state=int(frame.loc[frame["split"] == 1, "seed"].iloc[0]),
        )
    columns = [f"probability_{label}" for label in trained.classes]
    found = adata.uns["mil"]["predictions"].loc[own.index.astype(str), columns]
    # Patients are predicted in another company, and sums in single precision run in another order.
    np.testing.assert_allclose(found.to_numpy(), own[columns].to_numpy(), atol=1e-6)
    assert len(trained.classes) == 2
