from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

import repatient as rp

mpl.use("agg")

COHORTS = Path(os.environ.get("REPATIENT_COHORTS", Path(__file__).resolve().parents[2] / "shared" / "data"))
KEYS = {"patient_key": "patient", "label_key": "label"}


@pytest.fixture(scope="session")
def keys() -> dict[str, str]:
    return KEYS


@pytest.fixture
def read_cohort():
    """Read a real cohort, or skip where the folder of cohorts is absent."""

    def read(name: str) -> ad.AnnData:
        path = COHORTS / name
        if not path.is_file():
            pytest.skip(f"the real cohort {name} is not in {COHORTS} (set REPATIENT_COHORTS)")
        return ad.read_h5ad(path)

    return read


@pytest.fixture(scope="session")
def load_benchmark():
    """A script of ``benchmarks`` as a module, so that what it claims can be asserted at the size of a test."""
    folder = Path(__file__).resolve().parents[1] / "benchmarks"

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            # Dataclasses look up the module that they are of.
            patch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def _plain() -> ad.AnnData:
    adata, _ = rp.datasets.pbmc_cohort(n_patients=8, n_cells=120)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :10].copy()
    return adata


@pytest.fixture(scope="session")
def _generated(_plain) -> ad.AnnData:
    adata = _plain.copy()
    rp.tl.gmm(adata, 6)
    rp.tl.recipes(adata, **KEYS)
    rp.tl.generate(adata, 7)
    return adata


@pytest.fixture(scope="session")
def _trained(_generated):
    adata = _generated.copy()
    model = rp.tl.mil(
        adata, **KEYS, generated_key="generated", model=rp.mil.Attention(n_steps=16, validation_fraction=0.2)
    )
    return adata, model


@pytest.fixture
def plain(_plain) -> ad.AnnData:
    """A cohort of 16 patients of two classes."""
    return _plain.copy()


@pytest.fixture
def generated(_generated) -> ad.AnnData:
    """The cohort with mixture, recipes and 7 generated patients a class."""
    return _generated.copy()


@pytest.fixture
def trained(_trained):
    """The cohort with a classifier trained on real and generated patients, and the classifier."""
    adata, model = _trained
    return adata.copy(), model


def evaluation_of(patients: pd.Series, methods: dict[str, float], *, n_splits: int = 12) -> dict[str, Any]:
    """An entry of ``uns`` as `rp.tl.evaluate` writes it: each method gives a patient's class so much evidence, and noise."""
    rng = np.random.default_rng(0)
    classes = list(patients.cat.categories)
    rows, results = [], []
    for split in range(n_splits):
        held_out = [
            rng.permutation(group.index)[: max(2, len(group) // 3)]
            for _, group in patients.groupby(patients, observed=True)
        ]
        held_out = patients[np.concatenate(held_out)]
        actual = np.eye(len(classes))[held_out.cat.codes]
        for method, evidence in methods.items():
            logits = evidence * actual + rng.normal(size=actual.shape)
            probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            rows += [
                (method, split, *who, *row) for who, row in zip(held_out.items(), probabilities.tolist(), strict=True)
            ]
            measured = rp.evaluation.score(held_out.cat.codes.to_numpy(), probabilities)
            results += [(method, split, split, metric, value) for metric, value in measured.items()]
    columns = [f"probability_{name.replace('/', '|')}" for name in classes]
    predictions = pd.DataFrame(rows, columns=["method", "split", "patient", "label", *columns])
    predictions["label"] = pd.Categorical(predictions["label"], categories=classes)
    predictions = predictions.astype({"method": "category", "patient": "category"})
    frame = pd.DataFrame(results, columns=["method", "split", "seed", "metric", "value"])
    params = {
        "baseline": next(iter(methods)),
        "test_fraction": 1 / 3,
        "classes": np.array(classes),
        "n_splits": n_splits,
    }
    params |= {"patient_key": "patient", "label_key": "label", "scenario": "full", "random_state": 0, "version": "0"}
    return {"results": frame.rename(index=str), "predictions": predictions.rename(index=str), "params": params}


@pytest.fixture(scope="session")
def make_evaluation():
    return evaluation_of


@pytest.fixture(scope="session")
def _of_patients(_plain) -> pd.Series:
    return _plain.obs.groupby("patient", observed=True)["label"].first()


@pytest.fixture
def held_out(plain, _of_patients) -> ad.AnnData:
    """The cohort with an evaluation of a method that sees much, one that sees something, and one that sees nothing."""
    plain.uns["evaluation"] = evaluation_of(_of_patients, methods={"mean": 1.0, "mean+recipe": 2.5, "null": 0.0})
    return plain


@pytest.fixture
def several_classes(plain) -> ad.AnnData:
    """30 patients of three classes, one with a long name and a slash, held out by one method."""
    classes = ["healthy", "mild/moderate and a name that goes on and on and on", "severe"]
    patients = pd.Series(pd.Categorical(np.repeat(classes, 10), categories=classes), [f"p{i}" for i in range(30)])
    plain.uns["evaluation"] = evaluation_of(patients, methods={"auto": 2.0})
    return plain


def assert_same(a: Any, b: Any, where: str = "object") -> None:
    """Equal content, whatever array of strings a format reads back."""
    if isinstance(a, dict):
        assert set(a) == set(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_dtype=False, check_names=False, check_index_type=False, obj=where)
    elif sp.issparse(a):
        assert a.shape == b.shape, where
        assert (a != b).nnz == 0, where
    elif isinstance(a, str) or a is None:
        assert a == b, where
    elif np.asarray(a).dtype.kind in "OUT":
        assert [str(value) for value in np.ravel(a)] == [str(value) for value in np.ravel(b)], where
    else:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=where)


def content(data: Any) -> dict[str, Any]:
    parts = {"obs": data.obs, "var": data.var, "obsm": dict(data.obsm), "uns": dict(data.uns)}
    if isinstance(data, ad.AnnData):
        return parts | {"X": data.X, "layers": dict(data.layers), "obsp": dict(data.obsp)}
    return parts | {name: content(part) for name, part in data.mod.items()}


@pytest.fixture(scope="session")
def same():
    """Assert that two parts of objects hold the same."""
    return assert_same


@pytest.fixture(scope="session")
def same_content():
    """Assert that two objects hold the same."""

    def check(a: Any, b: Any) -> None:
        assert_same(content(a), content(b))

    return check


@pytest.fixture
def read_back(tmp_path):
    """Write an object as h5ad (of several modalities, h5mu) or zarr, and read it again."""

    def travel(data: Any, form: str) -> Any:
        package = ad if isinstance(data, ad.AnnData) else md
        if form == "zarr":
            # Encoded as on disk, in a third of the time.
            store = zarr.storage.MemoryStore()
            data.write_zarr(store)
            return package.read_zarr(store)
        suffix = "h5ad" if package is ad else "h5mu"
        getattr(data, f"write_{suffix}")(tmp_path / f"travels.{suffix}")
        return getattr(package, f"read_{suffix}")(tmp_path / f"travels.{suffix}")

    return travel


@pytest.fixture
def untouched():
    """Context in which an object must not change."""

    @contextmanager
    def watch(data: Any):
        before = deepcopy(content(data)) if not data.is_view else deepcopy(content(data.copy()))
        yield
        assert_same(before, content(data))

    return watch
