"""Files in the layouts that people have, written here, become one object."""

from __future__ import annotations

import anndata as ad
import flowio
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import repatient as rp

N, D = 7, 6


@pytest.fixture
def slides():
    rng = np.random.default_rng(0)
    return {f"s.{i}": rng.normal(size=(N + i, D)).astype(np.float32) for i in range(4)}


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "slide_id": [f"s.{i}.svs" for i in (2, 0, 1, 3)],
            "case_id": ["b", "a", "a", "c"],
            "label": ["low", "high", "high", "low"],
            "age": [50, 60, 60, 70],
        }
    )


def coords_of(X):
    return np.arange(2 * len(X)).reshape(-1, 2)


def write_hdf5(path, X, *, batched=False):
    with h5py.File(path, "w") as file:
        file["features"] = X[None] if batched else X
        file["coords"] = coords_of(X)
        file["coords"].attrs.update({"patch_size": 256, "name": path.stem, "level0": [1, 2]})


WRITERS = {
    "h5": write_hdf5,
    "pt": lambda path, X: torch.save(torch.from_numpy(X), path),
    "pth": lambda path, X: torch.save(
        {"features": torch.from_numpy(X).bfloat16(), "coords": torch.zeros(len(X), 2)}, path
    ),
    "npy": lambda path, X: np.save(path, X),
    "npz": lambda path, X: np.savez(path, features=X.astype(np.float16), coords=coords_of(X)),
    "parquet": lambda path, X: pd.DataFrame(X, columns=[f"f{i}" for i in range(D)]).to_parquet(path),
    "csv": lambda path, X: pd.DataFrame(X, columns=[f"f{i}" for i in range(D)]).assign(kind="t").to_csv(path),
    "h5ad": lambda path, X: ad.AnnData(X).write_h5ad(path),
}


def write(folder, slides, suffix="h5"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, X in slides.items():
        WRITERS[suffix](folder / f"{name}.{suffix}", X)


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_object(suffix, slides, table, tmp_path):
    write(tmp_path, slides, suffix)
    adata = rp.io.read_features(tmp_path, table)
    order = ["s.2", "s.0", "s.1", "s.3"]
    expected = np.concatenate([slides[name] for name in order])
    tolerance = {"pth": 0.02, "npz": 2e-3, "csv": 1e-6}.get(suffix, 0)
    np.testing.assert_allclose(adata.X, expected, atol=tolerance)
    assert adata.X.dtype == np.float32
    assert adata.obs["slide"].astype(str).unique().tolist() == order
    assert adata.obs["patient"].astype(str).unique().tolist() == ["b", "a", "c"]
    assert adata.obs.groupby("patient", observed=True)["age"].first().to_dict() == {"a": 60, "b": 50, "c": 70}
    assert adata.obs_names.is_unique
    assert ("spatial" in adata.obsm) == (suffix in ("h5", "npz", "pth"))
    assert adata.uns["read_features"]["files"]["n_rows"].tolist() == [len(slides[name]) for name in order]


def test_trident_folders_are_told_apart_by_encoder(slides, table, tmp_path):
    place = tmp_path / "20x_256px_0px_overlap"
    write(place / "features_uni_v1", slides)
    write(place / "features_resnet", {name: X[:, :3] for name, X in slides.items()})
    with pytest.raises(ValueError, match=r"`encoder`.*resnet.*uni_v1"):
        rp.io.read_features(tmp_path, table)
    adata = rp.io.read_features(tmp_path, table, encoder="uni_v1")
    assert adata.var_names.tolist() == [f"uni_v1_{i}" for i in range(D)]
    files = adata.uns["read_features"]["files"]
    assert files.loc["s.2", "patch_size"] == 256
    assert files.loc["s.2", "level0"] == "[1, 2]"


def test_clam_writes_twice_and_batched(slides, table, tmp_path):
    write(tmp_path / "pt_files", slides, "pt")
    (tmp_path / "h5_files").mkdir()
    for name, X in slides.items():
        write_hdf5(tmp_path / "h5_files" / f"{name}.h5", X, batched=True)
    adata = rp.io.read_features(tmp_path, table)
    np.testing.assert_array_equal(adata.obsm["spatial"][: N + 2], coords_of(slides["s.2"]))
    write(tmp_path, slides, "npy")
    with pytest.raises(ValueError, match="`format`"):
        rp.io.read_features(tmp_path, table)


def test_paths_in_the_table_tell_files_of_one_name_apart(slides, tmp_path):
    for folder, name in (("a", "s.0"), ("b", "s.1"), ("c", "s.2")):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "tube.npy", slides[name])
    table = pd.DataFrame({"patient": ["x", "y"], "label": ["u", "v"]}, index=["b/tube.npy", "a/tube"])
    with pytest.raises(ValueError, match=r"tube\.npy: the table has no row"):
        rp.io.read_features(tmp_path, table)
    (tmp_path / "c" / "tube.npy").unlink()
    adata = rp.io.read_features(tmp_path, table)
    np.testing.assert_array_equal(adata.X, np.concatenate([slides["s.1"], slides["s.0"]]))
    assert adata.obs["slide"].astype(str).unique().tolist() == ["b/tube", "a/tube"]


def test_one_file_an_image(tmp_path):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(10, D)).astype(np.float32)
    rows = pd.DataFrame({"image": [f"{i:03d}" for i in range(10)], "patient": np.repeat([1, 2], 5), "label": "x"})
    for name, X in zip(rows["image"], images, strict=True):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["features"] = X
    rows.to_csv(tmp_path / "labels.csv", index=False)
    adata = rp.io.read_features(tmp_path, tmp_path / "labels.csv")
    np.testing.assert_array_equal(adata.X, images)
    assert adata.obs["slide"].tolist() == rows["image"].tolist()
    assert adata.obs["patient"].astype(str).tolist() == ["1"] * 5 + ["2"] * 5


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx"])
def test_tables_keep_names_as_they_are_written(suffix, tmp_path):
    table = pd.DataFrame({"sample": ["007", "010"], "label": ["NA", "b"], "age": [1.5, 2.5]})
    for name in table["sample"]:
        np.save(tmp_path / f"{name}.npy", np.ones((2, 3)))
    path = tmp_path / f"t.{suffix}"
    table.to_excel(path, index=False) if suffix == "xlsx" else table.to_csv(
        path, index=False, sep="\t" if suffix == "tsv" else ","
    )
    adata = rp.io.read_features(tmp_path, path)
    assert adata.obs["patient"].astype(str).tolist() == ["007"] * 2 + ["010"] * 2
    assert adata.obs["age"].tolist() == [1.5] * 2 + [2.5] * 2
    assert adata.obs["label"].isna().tolist() == [True] * 2 + [False] * 2


def test_all_that_is_wrong_is_one_error(slides, table, tmp_path):
    write(tmp_path / "a", {name: X for name, X in slides.items() if name != "s.3"}, "npy")
    write(tmp_path / "b", {"s.1": slides["s.1"], "extra": slides["s.0"], "wide": np.ones((2, D + 1))}, "npy")
    np.save(tmp_path / "none.npy", np.ones((0, D)))
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    more = pd.DataFrame(
        {"slide_id": ["wide", "none", "broken", "s.0", "s.9"], "case_id": "d", "label": "low", "age": 1}
    )
    table = pd.concat([table, more], ignore_index=True)
    table.loc[len(table)] = ["s.2b", None, "low", 1]
    np.save(tmp_path / "s.2b.npy", slides["s.2"])
    expected = {
        "s.3.svs": "no file", "s.9": "no file", "s.1.svs": "several files", "s.0": "the same file", "extra.npy": "no row",
        "wide.npy": f"{D + 1} features", "none.npy": "empty", "broken.npy": "cannot be read", "s.2b": "no patient",
    }  # fmt: skip
    with pytest.raises(ValueError, match="on_missing") as caught:
        rp.io.read_features(tmp_path, table)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(expected)
    for name, what in expected.items():
        assert any(line.startswith(f"- {name}: ") and what in line for line in lines), name
    with pytest.warns(UserWarning, match="left out"):
        adata = rp.io.read_features(tmp_path, table, on_missing="skip")
    assert adata.obs["slide"].astype(str).unique().tolist() == ["s.2", "s.0"]
    assert set(adata.uns["read_features"]["skipped"]["file"]) == set(expected)


@pytest.mark.parametrize(("suffix", "sparse"), [(".h5ad", True), (".h5ad", False), (".zarr", True)])
def test_to_a_file_and_lazily_back(suffix, sparse, slides, table, tmp_path, same_content):
    write(tmp_path / "in", slides) if not sparse else (tmp_path / "in").mkdir()
    if sparse:
        for name, X in slides.items():
            counts = ad.AnnData(sp.csr_matrix(np.maximum(X, 0)), obs=pd.DataFrame({"type": ["T"] * len(X)}).rename(str))
            counts.write_h5ad(tmp_path / "in" / f"{name}.h5ad")
    direct = rp.io.read_features(tmp_path / "in", table)
    lazy = rp.io.read_features(tmp_path / "in", table, to=tmp_path / f"out{suffix}")
    assert hasattr(lazy.X, "__dask_graph__")
    assert sp.issparse(direct.X) == sparse
    assert ("type" in direct.obs) == sparse
    read = ad.read_h5ad(tmp_path / "out.h5ad") if suffix == ".h5ad" else ad.read_zarr(tmp_path / "out.zarr")
    same_content(direct, read)


def write_fcs(path, X, channels, stains, **text):
    with path.open("wb") as file:
        flowio.create_fcs(file, X.ravel().tolist(), channels, opt_channel_names=stains, metadata_dict=text)


def test_tubes_are_compensated_and_share_a_panel(tmp_path):
    rng = np.random.default_rng(2)
    spill = np.array([[1, 0.2], [0.1, 1]])
    true = {}
    for i, last in enumerate(("CD8", "CD8", "CD19")):
        X = rng.uniform(10, 1000, size=(20, 5)).astype(np.float32)
        true[f"t{i}"] = X.copy()
        X[:, 1:3] = X[:, 1:3] @ spill
        stains = ["", "CD3", "CD4", last, ""]
        text = {"spillover": "2,FL1-A,FL2-A,1,.2,.1,1", "cyt": "x"}
        write_fcs(tmp_path / f"t{i}.fcs", X, ["FSC-A", "FL1-A", "FL2-A", "FL3-A", "Time"], stains, **text)
    table = pd.DataFrame({"tube": list(true), "patient": list("abb"), "label": ["x", "y", "y"]})
    with pytest.warns(UserWarning, match=r"CD8 \(2\).*CD19 \(1\)"):
        adata = rp.io.read_features(tmp_path, table)
    assert adata.var["kind"].to_dict() == {"FSC-A": "scatter", "CD3": "marker", "CD4": "marker", "Time": "time"}
    expected = np.concatenate(list(true.values()))
    np.testing.assert_allclose(adata[:, ["CD3", "CD4"]].X, expected[:, 1:3], rtol=1e-4)
    assert set(adata.uns["read_features"]["left_out"]["feature"]) == {"CD8", "CD19"}
    with pytest.warns(UserWarning, match="features"):
        raw = rp.io.read_features(tmp_path, table, compensate=False)
    np.testing.assert_allclose(raw[:, ["CD3", "CD4"]].X, expected[:, 1:3] @ spill, rtol=1e-4)


def test_code_in_a_file_is_not_run(table, tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"features": Runs()}, tmp_path / "s.0.pt")
    with pytest.raises(ValueError, match=r"s\.0\.pt: it cannot be read"):
        rp.io.read_features(tmp_path, table)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"folder": "nowhere"}, FileNotFoundError, "`folder`"),
        ({"table": "nowhere.csv"}, FileNotFoundError, "`table`"),
        ({"on_missing": "ignore"}, ValueError, "`on_missing`"),
        ({"format": "doc"}, ValueError, "`format`"),
        ({"file_key": "x"}, KeyError, "`file_key`"),
        ({"patient_key": "x"}, KeyError, "`patient_key`"),
        ({"to": "x.csv"}, ValueError, "`to`"),
        ({"features": "x"}, ValueError, "`features`"),
    ],
)
def test_bad_arguments(change, error, name, slides, table, tmp_path):
    write(tmp_path, slides)
    with pytest.raises(error, match=name):
        rp.io.read_features(**{"folder": tmp_path, "table": table} | change)


def test_the_table_of_a_cohort_says_what_is_confounded(plain):
    batch = plain.obs["label"].astype(str).map({"healthy": "run1", "disease": "run2"})
    quiet = rp.io.cohort_table(plain)
    assert quiet.loc["all", ["patients", "cells"]].tolist() == [16, plain.n_obs]
    assert quiet["patients"].iloc[:2].tolist() == [8, 8]
    plain.obs["batch"] = batch.to_numpy()
    with pytest.warns(UserWarning, match=r"`batch`.*V 1\.00"):
        table = rp.io.cohort_table(plain)
    assert table.loc["healthy", ["batch: run1", "batch: run2"]].tolist() == [8, 0]
    few = plain[(plain.obs["label"] == "healthy") | (np.arange(plain.n_obs) % 120 < 40)].copy()
    del few.obs["batch"]
    with pytest.warns(UserWarning, match="number of cells"):
        rp.io.cohort_table(few)
