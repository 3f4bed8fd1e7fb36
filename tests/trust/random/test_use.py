"""What users do that nobody thought of: names, columns, embeddings, and what happens to an object between two calls.

Each example makes a cohort, changes how it is written down but not what it says, and finds the same results, or a
documented error.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import repatient as rp

N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))
KEYS = {"patient_key": "patient", "label_key": "label"}
ODD = ("", ".", "..", "nan", "NA", "None", "_index", "all", "same", "rest", "balance", "random", "label", "a/b", " ")
ODD += (
    "1",
    "1.0",
    "01",
    "True",
    "P10",
    "P2",
    "_x",
    "$x$",
    "é 患者",
    "x" * 40,
    "chronic obstructive pulmonary disease, C",
)

texts = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12),
)


def examples(few):
    return settings(settings.get_profile("trust"), max_examples=N_EXAMPLES or few)


def in_a_column(draw, codes, names):
    """Names as a column of any type that holds text, some in an order of their own."""
    values = pd.Series([names[code] for code in codes], dtype=object)
    kind = draw(
        st.sampled_from(
            ["object", "category", "ordered", "string", "string[pyarrow]", "large_string[pyarrow]", "unused"]
        )
    )
    if kind in {"category", "ordered", "unused"}:
        order = draw(st.permutations(list(names))) + ["nobody at all"] * (kind == "unused")
        return pd.Categorical(values, categories=order, ordered=kind == "ordered")
    return values.to_numpy() if kind == "object" else values.astype(kind).array


def chain(adata, *, n_steps=1):
    """All that follows from one another, up to a figure of each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.gmm(adata, 3, random_state=0)
        # A class may be called "nan".
        keys = KEYS | {"missing_values": []}
        rp.tl.recipes(adata, **keys)
        rp.tl.generate(adata, 2)
        network = rp.mil.Attention(n_steps=n_steps)
        model = rp.tl.mil(adata, generated_key="generated", model=network, device="cpu", **keys)
        rp.tl.select(adata, model, n_passes=2)
        try:
            for draw in (rp.pl.embedding, rp.pl.recipes, rp.pl.compositions, rp.pl.uncertainty):
                draw(adata).figure.draw_without_rendering()
        finally:
            plt.close("all")


@pytest.fixture(scope="module")
def expected(six_patients):
    adata = six_patients()
    chain(adata)
    return adata


@examples(3)
@given(st.data())
def test_names_are_data(six_patients, recipes_of, expected, data):
    adata = six_patients()
    patients, labels = adata.obs["patient"].to_numpy(), adata.obs["label"].to_numpy()
    names = data.draw(st.lists(texts, min_size=6, max_size=6, unique=True))
    classes = data.draw(st.lists(texts, min_size=2, max_size=2, unique=True))
    adata.obs["patient"] = in_a_column(data.draw, patients, names)
    adata.obs["label"] = in_a_column(data.draw, labels, classes)
    chain(adata)
    recipes = recipes_of(adata)
    np.testing.assert_allclose(recipes.loc[classes], recipes_of(expected).loc[["0", "1"]], atol=1e-6)
    assert set(adata.uns["recipes"]["counts"].index) == set(names)
    assert adata.uns["generated"]["patients"]["label"].astype(str).value_counts().to_dict() == dict.fromkeys(classes, 2)
    predictions = adata.uns["mil"]["predictions"]
    assert predictions["label"].astype(str).to_dict() == {names[i]: classes[i % 2] for i in range(6)}
    assert set(predictions["predicted"].astype(str)) <= set(classes)
    for name in classes:
        rp.tl.generate(adata, {name: 1}, pool=data.draw(st.sampled_from([("class", name), "same"])))
        assert list(adata.uns["generated"]["patients"]["label"]) == [name]
    with tempfile.TemporaryDirectory() as folder:
        adata.obs = adata.obs.astype({"patient": object, "label": object})
        adata.write_h5ad(Path(folder, "a.h5ad"))
        back = ad.read_h5ad(Path(folder, "a.h5ad"))
    pd.testing.assert_frame_equal(recipes_of(back), recipes)


@examples(6)
@given(st.data())
def test_numbers_are_names_as_well(six_patients, recipes_of, expected, data):
    """Codes 0 and 1 of any numeric type are the classes that the same numbers as arguments mean."""
    adata = six_patients()
    kind = data.draw(st.sampled_from(["int8", "int64", "float32", "Int64", "Float64", "bool", "boolean", "category"]))
    adata.obs["label"] = adata.obs["label"].astype(kind)
    for function in (rp.tl.gmm, rp.tl.recipes):
        function(adata, **({"n_components": 3} if function is rp.tl.gmm else KEYS))
    classes = [str(name) for name in adata.uns["recipes"]["classes"]]
    np.testing.assert_allclose(recipes_of(adata), recipes_of(expected), atol=1e-6)
    if "bool" not in kind:
        for one in (1, 1.0, np.int64(1), classes[1]):
            rp.tl.generate(adata, {one: 2}, pool=one)
            assert list(adata.uns["generated"]["patients"]["label"]) == [classes[1]] * 2


# Values of two kinds of patients as columns of every type that pandas has for them.
COLUMNS = {
    **{
        kind: lambda codes, kind=kind: codes.astype(kind)
        for kind in ("int8", "uint16", "Int64", "float16", "float32", "Float32", "Float64", "bool", "boolean")
    },
    **{
        kind: lambda codes, kind=kind: codes.astype(kind)
        for kind in ("int64[pyarrow]", "double[pyarrow]", "bool[pyarrow]", "category")
    },
    "tenths": lambda codes: (0.1 + 0.2 * codes).astype("float32"),
    "ordered": lambda codes: pd.Series(pd.Categorical(codes, [1, 0, 2], ordered=True), codes.index),
    "bins": lambda codes: pd.cut(20.0 + codes, [19, 20, 21]),
    "times": lambda codes: pd.Timestamp("2020-01-31 12:00") + pd.to_timedelta(codes, "D"),
    "dates": lambda codes: (pd.Timestamp("2020-01-31") + pd.to_timedelta(codes, "D")).dt.date,
    "periods": lambda codes: pd.to_timedelta(codes + 1, "h"),
    "arrow times": lambda codes: (pd.Timestamp("2020") + pd.to_timedelta(codes, "D")).astype("timestamp[ns][pyarrow]"),
    "mixed": lambda codes: codes.astype(object).where(codes > 0, "zero"),
    "tuples": lambda codes: codes.map({0: (0, 1), 1: (1, 1)}),
}


@examples(5)
@given(st.data())
def test_columns_of_any_type_hold_classes(six_patients, data):
    """Whatever type the values are of, with missing ones or without, they are the same classes and the same recipes."""
    adata = six_patients()
    column = COLUMNS[data.draw(st.sampled_from(list(COLUMNS)))](adata.obs["label"])
    missing = data.draw(st.booleans()) and column.dtype.kind in "OfM"
    adata.obs["label"] = column.where(adata.obs["patient"] > 1) if missing else column
    adata.obs["x"] = COLUMNS[data.draw(st.sampled_from(list(COLUMNS)))](adata.obs["patient"] // 2 % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.gmm(adata, 3, random_state=0)
        rp.tl.recipes(adata, covariates=["x"], **KEYS)
        rp.tl.generate(adata, 3)
        patients = rp.get.patients(adata, generated_key="generated")
        both = rp.get.augmented(adata)
    names = [str(name) for name in adata.uns["recipes"]["classes"]]
    assert len(names) == 2
    assert adata.uns["recipes"]["patients"]["label"].isna().sum() == 2 * missing
    assert set(patients.obs["label"].dropna().astype(str)) == set(names)
    assert patients.obs["is_generated"].sum() == 6
    assert both.n_obs == adata.n_obs + both.obs["is_generated"].sum()
    assert set(both.obs["label"].dropna().astype(str)) <= {*names, *column.astype(str)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patients.write_h5ad(Path(folder, "a.h5ad"))


@examples(4)
@given(st.data())
def test_numbers_and_text_that_are_written_alike_are_refused(six_patients, data):
    adata = six_patients()
    key, text = data.draw(st.sampled_from(list(KEYS))), data.draw(st.sampled_from([str, np.str_]))
    column = adata.obs[KEYS[key]].astype(object)
    half = np.arange(adata.n_obs) % 2 == 0
    adata.obs[KEYS[key]] = column.where(half, column.map(text))
    rp.tl.gmm(adata, 3)
    for function in (rp.tl.recipes, rp.tl.mil, rp.get.bags, rp.tl.evaluate):
        with pytest.raises(ValueError, match=rf"`{key}`: .* written alike"):
            function(adata, **KEYS)


def written_otherwise(draw, values):
    """The same coordinates as another array."""
    kind = draw(st.sampled_from(["order", "precision", "fortran", "masked", "table", "nullable", "readonly"]))
    if kind == "order":
        return values.astype(values.dtype.newbyteorder())
    if kind == "precision":
        return values.astype(np.longdouble)
    if kind == "fortran":
        return np.asfortranarray(values)
    if kind == "masked":
        return np.ma.array(values, mask=False)
    if kind == "readonly":
        values = values.copy()
        values.flags.writeable = False
        return values
    table = pd.DataFrame(values, index=[f"c{i}" for i in range(len(values))], columns=["a", "b", "c"])
    return table if kind == "table" else table.astype("Float64" if values.dtype == np.float64 else "Float32")


@examples(2)
@given(st.data())
def test_embeddings_are_numbers_however_they_are_written(six_patients, data):
    first, second = six_patients(), six_patients()
    unit = data.draw(st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 1e3, 1e6]))
    values = first.obsm["X_pca"].astype(np.float64) * unit
    first.obsm["X_pca"], second.obsm["X_pca"] = values, written_otherwise(data.draw, values)
    kept = np.geterr()
    try:
        with np.errstate(all=data.draw(st.sampled_from(["raise", "warn", "ignore"]))):
            for adata in (first, second):
                chain(adata)
    finally:
        assert np.geterr() == kept
    pd.testing.assert_series_equal(first.obs["gmm"], second.obs["gmm"])
    np.testing.assert_allclose(first.uns["gmm"]["means"], second.uns["gmm"]["means"], rtol=1e-5, atol=1e-5 * unit)
    pd.testing.assert_frame_equal(first.uns["recipes"]["counts"], second.uns["recipes"]["counts"])


@examples(8)
@given(st.data())
def test_rough_embeddings_are_fitted_or_refused(six_patients, trial, data):
    adata = six_patients()
    values = adata.obsm["X_pca"].astype(data.draw(st.sampled_from([np.float32, np.float64])))
    trouble = data.draw(st.sampled_from(["far", "constant", "collinear", "masked", "integers", "one cell", "nan"]))
    if trouble == "far":
        values[3] += data.draw(st.sampled_from([1e3, 1e6, 1e9, 1e12]))
    if trouble == "constant":
        values[:, 1] = data.draw(st.sampled_from([0.0, 1.0, -1e6]))
    if trouble == "collinear":
        values[:, 1] = -3 * values[:, 0]
    if trouble == "nan":
        values[5, 0] = np.nan
    if trouble == "integers":
        values = values.astype(int)
    if trouble == "masked":
        values = np.ma.array(values, mask=np.arange(values.size).reshape(values.shape) == 7)
    adata.obsm["X_pca"] = values
    _, done = trial(rp.tl.gmm, adata, 3, mask_obs=np.arange(adata.n_obs) == 4 if trouble == "one cell" else None)
    assert done == (trouble in {"far", "constant", "collinear"})
    if done:
        assert np.isfinite(adata.obs["gmm_log_density"]).all()


@examples(4)
@given(st.data())
def test_results_do_not_depend_on_the_unit(six_patients, data):
    """Components are the same in any unit, and log-densities differ by that of the volume."""
    unit = 10.0 ** data.draw(st.integers(-6, 6))
    trouble = data.draw(st.sampled_from(["none", "constant", "collinear", "far"]))
    first = six_patients()
    values = first.obsm["X_pca"].astype(np.float64)
    if trouble == "constant":
        values[:, 1] = 1.0
    if trouble == "collinear":
        values[:, 1] = -3 * values[:, 0]
    if trouble == "far":
        values[3] += 1e5
    second = first.copy()
    first.obsm["X_pca"], second.obsm["X_pca"] = values, unit * values
    kind = data.draw(st.sampled_from(["full", "tied", "diag"]))
    for adata in (first, second):
        rp.tl.gmm(adata, 3, covariance_type=kind)
    pd.testing.assert_series_equal(first.obs["gmm"], second.obs["gmm"])
    shift = first.obs["gmm_log_density"] - second.obs["gmm_log_density"]
    np.testing.assert_allclose(shift, 3 * np.log(unit), atol=0.05)


@examples(4)
@given(seed=st.integers(0, 2**130))
def test_seeds_of_any_size(six_patients, seed):
    adata = six_patients()
    rp.tl.gmm(adata, 2, random_state=seed)
    rp.tl.recipes(adata, **KEYS)
    rp.tl.generate(adata, 1, random_state=seed)
    with tempfile.TemporaryDirectory() as folder:
        adata.write_h5ad(Path(folder, "a.h5ad"))
        back = ad.read_h5ad(Path(folder, "a.h5ad"))
    assert int(back.uns["generated"]["params"]["random_state"]) == seed
