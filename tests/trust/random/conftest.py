"""Random cohorts and modalities, well-formed and not, and what may come of a function that is given one."""

from __future__ import annotations

import os
import re
import traceback
import warnings
from copy import deepcopy
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import repatient as rp

PACKAGE = str(Path(rp.__file__).parent)

# What all tests on random objects have in common; each says how many examples it has by default.
settings.register_profile(
    "trust",
    derandomize="REPATIENT_TRUST" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


NAMES = {
    "plain": lambda i: f"p{i}",
    "unicode": lambda i: "患者 é/ß\u200b😀 " + "x" * i,
    "integers": lambda i: i * 7 - 3,
    "floats": lambda i: i + 0.5,
    "booleans": lambda i: i % 2 == 0,
    "markup": lambda i: f"$^{i} {{$ <b>%s\n_",
}


def column(draw, codes, kind):
    """Names of groups, as whatever a column of `obs` may be."""
    values = pd.Series([NAMES[kind](i) if i >= 0 else None for i in codes])
    if kind in {"integers", "booleans"} and (np.asarray(codes) >= 0).all():
        values = values.astype(int if kind == "integers" else bool)
    if draw(st.booleans()):
        values = values.astype("category")
        if draw(st.booleans()) and kind in {"plain", "unicode"}:
            values = values.cat.add_categories(["nobody"])
    return values.to_numpy() if not isinstance(values.dtype, pd.CategoricalDtype) else pd.Categorical(values)


@st.composite
def draw_cohort(draw, rough=True):
    """A tiny cohort. ``rough`` ones may lack labels or cells, have repeated names or numbers that are none."""
    n_patients = draw(st.integers(1 if rough else 4, 7))
    sizes = draw(st.lists(st.integers(1, 9 if rough else 12), min_size=n_patients, max_size=n_patients))
    n_classes = draw(st.integers(1 if rough else 2, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    patients = np.repeat(np.arange(n_patients), sizes)
    labels = np.arange(n_patients) % n_classes
    if rough and draw(st.integers(0, 4)) == 0:
        labels[draw(st.integers(0, n_patients - 1))] = -1
    codes = labels[patients]
    if rough and draw(st.integers(0, 9)) == 0:
        codes[0] = draw(st.integers(-1, n_classes - 1))
    n_dims = draw(st.integers(1, 3))
    embedding = rng.standard_normal((len(patients), n_dims)) + 2.0 * codes[:, None]
    embedding *= draw(st.sampled_from([1.0, 1.0, 1.0, 0.0, 1e-6, 1e4]))
    if rough and draw(st.integers(0, 9)) == 0:
        embedding[draw(st.integers(0, len(embedding) - 1))] = draw(st.sampled_from([np.nan, np.inf]))
    embedding = embedding.astype(draw(st.sampled_from([np.float16, np.float32, np.float64])))
    order = rng.permutation(len(patients)) if draw(st.booleans()) else np.arange(len(patients))
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(patients))])
    kind = draw(st.sampled_from(list(NAMES)[: 4 if rough else 2]))
    obs["patient"] = column(draw, patients, kind)
    obs["label"] = column(draw, codes, draw(st.sampled_from(list(NAMES))))
    obs["donor"] = column(draw, patients // draw(st.sampled_from([1, 1, 2])), "plain")
    obs["age"], obs["sex"] = patients**1.5 + codes.max(), patients % 2 == 0
    obs["grade"] = pd.Categorical(np.array(["mild", "severe"])[patients % 2], ["mild", "severe", "none"], ordered=True)
    if rough and draw(st.integers(0, 9)) == 7:
        obs.loc[obs.index[0], "age"] = draw(st.sampled_from([np.nan, -1.0, np.inf]))
    return finished(draw, obs.iloc[order], embedding[order], rng, rough=rough)


def finished(draw, obs, embedding, rng, *, rough):
    """The object: dense, sparse or without a matrix; whole, a view, with a lazy embedding, or two modalities."""
    counts = rng.poisson(1.0, (len(obs), 4)).astype(np.float32)
    X = draw(st.sampled_from([counts, sp.csr_matrix(counts), sp.csc_matrix(counts), None]))
    adata = ad.AnnData(X, obs=obs, obsm={"X_pca": embedding})
    if rough and draw(st.integers(0, 14)) == 0:
        adata.obs_names = ["c"] * adata.n_obs
    form = draw(st.sampled_from(["whole", "whole", "view", "dask", "mudata"]))
    if form == "view":
        adata = adata[rng.permutation(adata.n_obs)]
    elif form == "dask":
        import dask.array as da

        adata.obsm["X_pca"] = da.from_array(embedding, chunks=(5, -1))
    elif form == "mudata" and X is not None and adata.obs_names.is_unique:
        other = ad.AnnData(rng.random((adata.n_obs, 2)), obs=pd.DataFrame(index=adata.obs_names))
        data = md.MuData({"rna": adata, "protein": other})
        for name in obs:
            data.obs[name] = adata.obs[name]
        data.obsm["X_pca"] = embedding
        return data
    return adata


VALUES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "counts": lambda rng, shape: rng.poisson(2.0, shape),
    "constant": lambda rng, shape: np.ones(shape),
    "same": lambda rng, shape: np.repeat(rng.standard_normal((1, shape[1])), shape[0], axis=0),
    "binary": lambda rng, shape: rng.integers(0, 2, shape).astype(bool),
    "huge": lambda rng, shape: rng.standard_normal(shape) * 1e30,
}


def draw_matrix(draw, rng, shape, rough):
    """A matrix of a modality in whatever it may be stored."""
    kind = draw(st.sampled_from(["normal", "normal", "counts", *(VALUES if rough else ())]))
    values = VALUES[kind](rng, shape)
    if kind == "normal":
        values = values.astype(draw(st.sampled_from([np.float16, np.float32, np.float64])))
    form = draw(st.sampled_from(["dense", "dense", "dense", "csr", "csc", "dask"]))
    if form in {"csr", "csc"} and values.dtype != np.float16:
        return sp.csr_matrix(values) if form == "csr" else sp.csc_matrix(values)
    if rough and kind == "normal" and draw(st.integers(0, 9)) == 0:
        values[draw(st.integers(0, shape[0] - 1))] = draw(st.sampled_from([np.nan, np.inf]))
    if form == "dask":
        import dask.array as da

        return da.from_array(values, chunks=(5, -1))
    return None if rough and draw(st.integers(0, 19)) == 0 else values


def draw_modality(draw, rng, names, rough):
    """One modality of some observations, with labels and patients, which some may lack."""
    n, n_vars = len(names), draw(st.sampled_from([1, 2, 3, 4, 4, 4, 4, 4, 4, 210]))
    obs = pd.DataFrame(index=list(names))
    missing = -1 if draw(st.integers(0, 3)) == 0 else 0
    obs["label"] = column(draw, rng.integers(missing, 3, n), draw(st.sampled_from(list(NAMES))))
    obs["patient"] = column(draw, rng.integers(missing if rough else 0, 4, n), "plain")
    obs["mask"] = rng.random(n) < draw(st.sampled_from([0.0, 0.5, 1.0] if rough else [0.8, 0.9]))
    adata = ad.AnnData(draw_matrix(draw, rng, (n, n_vars), rough), obs=obs)
    if adata.n_vars:
        twice = rough and draw(st.integers(0, 9)) == 0
        adata.var_names = ["é"] * adata.n_vars if twice else [f"f{i}" for i in range(adata.n_vars)]
    adata.obsm["X_pca"] = VALUES["normal"](rng, (n, 2)).astype(np.float32)
    if draw(st.booleans()):
        adata.obsm["X_umap"] = adata.obsm["X_pca"].copy()
    return adata


@st.composite
def draw_views(draw, rough=True):
    """Two modalities of observations that are the same, partly or not at all: a MuData, or two AnnData."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(1, 12) if rough else st.integers(8, 16))
    names = np.array([f"c{i}" for i in range(n)])
    others = names
    if draw(st.booleans()):
        kept = rng.permutation(names)[: draw(st.integers(0 if rough else 6, n))]
        others = np.array([*kept, *(f"d{i}" for i in range(draw(st.integers(0 if len(kept) else 1, 6))))])
    modalities = [draw_modality(draw, rng, found, rough) for found in (names, others)]
    if draw(st.integers(0, 3)) == 0:
        if rough and draw(st.integers(0, 4)) == 0:
            modalities[0].obs_names = ["c"] * n
        if draw(st.booleans()):
            modalities[0] = modalities[0][rng.permutation(n)]
        return tuple(modalities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = md.MuData({"rna": modalities[0], "protéine": modalities[1]})
    if draw(st.booleans()):
        for name in ("label", "patient", "mask"):
            data.obs[name] = modalities[0].obs[name].reindex(data.obs_names)
    return data, None


def documented(function):
    """Errors in the section "Raises" of a docstring."""
    section = re.search(r"\n *Raises\n *-+\n(.*?)(?=\n\n|\Z)", function.__doc__, re.S)
    indent = min(len(line) - len(line.lstrip()) for line in section[1].splitlines() if line.strip())
    heads = [line.strip() for line in section[1].splitlines() if len(line) - len(line.lstrip()) == indent]
    return {name.strip() for head in heads for name in head.split(",")} - {""}


def parts(data):
    """What an object holds, to be compared."""
    mod = {name: parts(part) for name, part in data.mod.items()} if isinstance(data, md.MuData) else {"X": data.X}
    return deepcopy({"obs": data.obs.copy(), "obsm": dict(data.obsm), "uns": dict(data.uns), **mod})


def attempt(function, data, *args, same, **kwargs):
    """Result and whether there is one; an error must be documented, raised on purpose, and change nothing."""
    before = parts(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(data, *args, **kwargs), True
        except (KeyError, ValueError, TypeError, FloatingPointError, OSError) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            if not where.filename.startswith(PACKAGE) or not (where.line or "").startswith("raise"):
                raise
            if type(error).__name__ not in documented(function):
                msg = f"{type(error).__name__} is not documented in {function.__name__}"
                raise AssertionError(msg) from error
            same(before, parts(data))
            return None, False


@pytest.fixture(scope="session")
def cohorts():
    """Strategy of random cohorts, see :func:`draw_cohort`."""
    return draw_cohort


@pytest.fixture(scope="session")
def modalities():
    """Strategy of two random modalities, see :func:`draw_views`."""
    return draw_views


@pytest.fixture(scope="session")
def trial(same):
    """Call a function as :func:`attempt` does."""
    return lambda function, data, *args, **kwargs: attempt(function, data, *args, same=same, **kwargs)


def small_cohort(seed=0):
    """Six patients of two classes whose cells lie in three clusters far apart."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(6), 24)
    clusters = (rng.random(len(patients)) * (2 + patients % 2)).astype(int)
    return ad.AnnData(
        rng.poisson(1.0, (len(patients), 2)).astype(np.float32),
        obs=pd.DataFrame({"patient": patients, "label": patients % 2}, index=[f"c{i}" for i in range(len(patients))]),
        obsm={"X_pca": (8 * np.eye(3)[clusters] + rng.normal(size=(len(patients), 3))).astype(np.float32)},
    )


def by_cluster(adata):
    """Components in the order of the clusters: their numbers are names, too."""
    return [int(k) for k in np.argsort(np.asarray(adata.uns["gmm"]["means"]) @ [1, 2, 3])]


@pytest.fixture(scope="session")
def six_patients():
    """See :func:`small_cohort`."""
    return small_cohort


@pytest.fixture(scope="session")
def recipes_of():
    """Recipes of such a cohort, its components in the order of the clusters, see :func:`by_cluster`."""

    def read(adata):
        frame = adata.uns["recipes"]["mean"]
        return frame.set_axis(frame.index.astype(str)).iloc[:, by_cluster(adata)]

    return read
