from __future__ import annotations

import matplotlib as mpl
import mudata as md
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import repatient as rp

CLASSES = ["healthy", "mild", "moderate", "severe", "critical", "convalescent"]


@pytest.fixture(autouse=True)
def _left_as_found():
    """Settings of matplotlib are the user's; figures are closed between tests."""
    before = mpl.rcParams.copy()
    yield
    assert mpl.rcParams == before
    plt.close("all")


@pytest.fixture(scope="session")
def _selected(_trained):
    adata, model = _trained
    adata = adata.copy()
    rp.tl.select(adata, model)
    return adata


@pytest.fixture
def selected(_selected):
    """The cohort with mixture, recipes, generated patients, a classifier and a selection."""
    return _selected.copy()


@pytest.fixture(scope="session")
def _many(_plain):
    adata = _plain.copy()
    names = adata.obs["patient"].cat.categories
    of_patient = {name: CLASSES[i % len(CLASSES)] for i, name in enumerate(names)}
    adata.obs["label"] = pd.Categorical(adata.obs["patient"].astype(str).map(of_patient), categories=CLASSES)
    rp.tl.gmm(adata, 30)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    return adata


@pytest.fixture
def many(_many):
    """A cohort of six classes and thirty components."""
    return _many.copy()


@pytest.fixture
def paired(selected):
    """The cohort as a MuData: results on the MuData, the map in its modality."""
    mdata = md.MuData({"rna": selected[:, :5].copy()})
    for column in selected.obs:
        mdata.obs[column] = selected.obs[column]
    for key in ("X_pca", "X_umap", "generated"):
        mdata.obsm[key] = selected.obsm[key]
    mdata.uns.update(selected.uns)
    return mdata
