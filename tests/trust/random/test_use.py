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


def cohort(seed=0):
    """Six patients of two classes whose cells lie in three clusters far apart."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(6), 24)
    clusters = (rng.random(len(patients)) * (2 + patients % 2)).astype(int)
    return ad.AnnData(
        rng.poisson(1.0, (len(patients), 2)).astype(np.float32),
        obs=pd.DataFrame({"patient": patients, "label": patients % 2}, index=[f"c{i}" for i in range(len(patients))]),
        obsm={"X_pca": (8 * np.eye(3)[clusters] + rng.normal(size=(len(patients), 3))).astype(np.float32)},
    )


def in_a_column(draw, codes, names):
    """Names as a column of any type that holds text, some in an order of their own."""
    values = pd.Series([names[code] for code in codes], dtype=object)
    kind = draw(st.sampled_from(["object", "category", "ordered", "string", "string[pyarrow]", "unused"]))
    if kind in {"category", "ordered", "unused"}:
        order = draw(st.permutations(list(names))) + ["nobody at all"] * (kind == "unused")
        return pd.Categorical(values, categories=order, ordered=kind == "ordered")
    return values.to_numpy() if kind == "object" else values.astype(kind).array


def chain(adata, *, n_steps=1):
    """All that follows from one another, up to a figure of each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.gmm(adata, 3, random_state=0)
        rp.tl.recipes(adata, **KEYS)
        rp.tl.generate(adata, 2)
        model = rp.tl.mil(
            adata, generated_key="generated", model=rp.mil.Attention(n_steps=n_steps), device="cpu", **KEYS
        )
        rp.tl.select(adata, model, n_passes=2)
        try:
            for draw in (rp.pl.embedding, rp.pl.recipes, rp.pl.compositions, rp.pl.uncertainty):
                draw(adata).figure.draw_without_rendering()
        finally:
            plt.close("all")


def by_cluster(adata):
    """Components in the order of the clusters: their numbers are names, too."""
    return [int(k) for k in np.argsort(np.asarray(adata.uns["gmm"]["means"]) @ [1, 2, 3])]


def recipes_of(adata):
    frame = adata.uns["recipes"]["mean"]
    return frame.set_axis(frame.index.astype(str)).iloc[:, by_cluster(adata)]


@pytest.fixture(scope="module")
def expected():
    adata = cohort()
    chain(adata)
    return adata


@examples(3)
@given(st.data())
def test_names_are_data(expected, data):
    adata = cohort()
    patients, labels = adata.obs["patient"].to_numpy(), adata.obs["label"].to_numpy()
    names = data.draw(st.lists(texts, min_size=6, max_size=6, unique=True))
    classes = data.draw(st.lists(texts, min_size=2, max_size=2, unique_by=lambda name: name.replace("/", "|")))
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
        rp.tl.generate(adata, {name: 1}, pool=name if name not in {"all", "same"} else "all")
        assert list(adata.uns["generated"]["patients"]["label"]) == [name]
    with tempfile.TemporaryDirectory() as folder:
        adata.obs = adata.obs.astype({"patient": object, "label": object})
        adata.write_h5ad(Path(folder, "a.h5ad"))
        back = ad.read_h5ad(Path(folder, "a.h5ad"))
    pd.testing.assert_frame_equal(recipes_of(back), recipes)


@examples(6)
@given(st.data())
def test_numbers_are_names_as_well(expected, data):
    """Codes 0 and 1 of any numeric type are the classes that the same numbers as arguments mean."""
    adata = cohort()
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
def test_embeddings_are_numbers_however_they_are_written(data):
    first, second = cohort(), cohort()
    unit = data.draw(st.sampled_from([1e-2, 0.1, 1.0, 10.0, 1e3, 1e6]))
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
def test_rough_embeddings_are_fitted_or_refused(trial, data):
    adata = cohort()
    values = adata.obsm["X_pca"].astype(data.draw(st.sampled_from([np.float32, np.float64])))
    trouble = data.draw(st.sampled_from(["far", "constant", "collinear", "masked", "integers", "one cell", "nan"]))
    if trouble == "far":
        values[3] += data.draw(st.sampled_from([1e3, 1e6]))
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


def moved_on(draw, adata):
    """The object after something that users do, and whether the recipes still are those of all its cells."""
    what = draw(st.sampled_from(["copy", "shuffle", "reorder", "files", "zarr", "concat", "unused", "column"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if what == "copy":
        return adata.copy()
    if what == "shuffle":
        return adata[rng.permutation(adata.n_obs)].copy()
    if what == "reorder":
        for key in KEYS.values():
            adata.obs[key] = adata.obs[key].cat.reorder_categories(list(rng.permutation(adata.obs[key].cat.categories)))
    if what == "unused":
        adata.obs["label"] = adata.obs["label"].cat.add_categories(["nobody"])
    if what == "column":
        adata.obs["label_colors"] = 1.0
        adata.uns["label_colors"] = draw(st.sampled_from([None, [], "red", ["red"], {"a": 1}, np.array(["r", "b"])]))
    if what in {"files", "zarr"}:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = "h5ad" if what == "files" else "zarr"
            getattr(adata, f"write_{storage}")(Path(folder, "a"))
            return getattr(ad, f"read_{storage}")(Path(folder, "a"))
    if what == "concat":
        half = np.arange(adata.n_obs) < adata.n_obs // 2
        join, uns = (
            draw(st.sampled_from(["inner", "outer"])),
            draw(st.sampled_from(["same", "unique", "first", "only"])),
        )
        return ad.concat([adata[half].copy(), adata[~half].copy()], join=join, merge="same", uns_merge=uns)
    return adata


@examples(4)
@given(st.data())
def test_what_happens_between_two_calls(data):
    """What says the same gives the same recipes again, and the stored ones are still read."""
    adata = cohort()
    adata.obs = adata.obs.astype(str).astype("category")
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, **KEYS)
    before = recipes_of(adata)
    adata = moved_on(data.draw, adata)
    try:
        stored = rp.get.recipes(adata).pivot(index="class", columns="component", values="mean")
        np.testing.assert_allclose(stored.loc[before.index].iloc[:, by_cluster(adata)], before, atol=1e-9)
        rp.pl.recipes(adata).figure.draw_without_rendering()
    except (KeyError, ValueError) as error:
        # Of what was merged, it may be that nothing is left; then it is said whose result is missing.
        assert "_key`" in str(error)  # noqa: PT017
        assert "rp.tl." in str(error)  # noqa: PT017
        return
    finally:
        plt.close("all")
    rp.tl.recipes(adata, **KEYS)
    np.testing.assert_allclose(recipes_of(adata).loc[before.index], before, atol=1e-6)


@examples(6)
@given(other=st.sampled_from([None, 3, "text", [1], {}, {"params": {}}, {"params": 1}, pd.DataFrame({"a": [1]})]))
def test_a_foreign_entry_is_recognised(other):
    adata = cohort()
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, **KEYS)
    for key, function in (("gmm", rp.pl.embedding), ("recipes", rp.get.recipes), ("recipes", rp.tl.generate)):
        changed = adata.copy()
        changed.uns[key] = other
        with pytest.raises(ValueError, match=rf"`{key}_key`"):
            function(changed)


@examples(4)
@given(seed=st.integers(0, 2**130))
def test_seeds_of_any_size(seed):
    adata = cohort()
    rp.tl.gmm(adata, 2, random_state=seed)
    rp.tl.recipes(adata, **KEYS)
    rp.tl.generate(adata, 1, random_state=seed)
    with tempfile.TemporaryDirectory() as folder:
        adata.write_h5ad(Path(folder, "a.h5ad"))
        back = ad.read_h5ad(Path(folder, "a.h5ad"))
    assert int(back.uns["generated"]["params"]["random_state"]) == seed
