from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import repatient as rp

if TYPE_CHECKING:
    import anndata as ad

VALUES = {"patient_key": "patient", "label_key": "score"}


@pytest.fixture(scope="session")
def _valued(_generated) -> ad.AnnData:
    adata = _generated[:, :20].copy()
    share = pd.crosstab(adata.obs["patient"], adata.obs["gmm"], normalize="index")["0"]
    adata.obs["score"] = adata.obs["patient"].map(200 + 500 * share).astype(float)
    ranks = (share.rank(method="first") - 1).astype(int) * 3 // len(share)
    grades = adata.obs["patient"].map(ranks).astype(int)
    adata.obs["grade"] = pd.Categorical.from_codes(grades, ["none", "mild", "severe"], ordered=True)
    rp.tl.recipes(adata, **VALUES, outcome="continuous", key_added="value_recipes")
    rp.tl.generate(adata, 25, recipes_key="value_recipes", key_added="valued")
    return adata


@pytest.fixture
def valued(_valued) -> ad.AnnData:
    """The cohort with a value and a grade that follow the first component, and 25 patients generated at values."""
    return _valued.copy()


@pytest.fixture(scope="session")
def _judged(_valued):
    adata = _valued.copy()
    model = rp.tl.mil(
        adata,
        **VALUES,
        outcome="continuous",
        generated_key="valued",
        model=rp.mil.Attention(n_steps=30, validation_fraction=0.2),
    )
    return adata, model


@pytest.fixture
def judged(_judged):
    """The cohort with a model of its values, and the model."""
    adata, model = _judged
    return adata.copy(), model


@pytest.fixture
def first_share():
    """Share of the first component in the cells of each generated patient."""

    def of(adata: ad.AnnData, key: str = "valued") -> np.ndarray:
        counts = adata.obsm[key]
        inside = (adata.obs["gmm"] == "0").to_numpy().astype(float)
        return np.asarray(counts.T @ inside).ravel() / np.asarray(counts.sum(axis=0)).ravel()

    return of


@pytest.fixture(scope="session")
def _two_cohorts(_plain):
    """Target and external cohort, each with both classes, and the target's mixture."""
    donors = _plain.obs["patient"].cat.categories
    first = _plain.obs["patient"].isin(donors[::2]).to_numpy()
    target, external = _plain[first].copy(), _plain[~first].copy()
    rp.tl.gmm(target, 6, patient_key="patient")
    return target, external


@pytest.fixture
def target(_two_cohorts) -> ad.AnnData:
    """A cohort with a mixture of its own."""
    return _two_cohorts[0].copy()


@pytest.fixture
def external(_two_cohorts) -> ad.AnnData:
    """A cohort of other donors, to be assigned to it."""
    return _two_cohorts[1].copy()
