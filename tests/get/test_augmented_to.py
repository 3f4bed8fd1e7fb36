"""The augmented cohort written to disk: the same as in memory, whatever the source, and in little memory."""

from __future__ import annotations

import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.experimental import read_lazy

import repatient as rp

READ = {"h5ad": ad.read_h5ad, "zarr": ad.read_zarr}


@pytest.fixture(scope="session")
def _rich(_generated):
    adata = _generated[:, :40].copy()
    adata.layers["dense"] = adata.X.toarray()
    adata.obsm["X_table"] = pd.DataFrame({"a": np.arange(adata.n_obs)}, index=adata.obs_names)
    adata.obsm["sparse"] = sp.csr_matrix(np.eye(adata.n_obs, 3, dtype=np.float32))
    adata.varm["PCs"] = np.arange(80.0).reshape(40, 2)
    adata.obs["flag"] = np.arange(adata.n_obs) % 2 == 0
    adata.obs["note"] = [f"note {i % 3}" for i in range(adata.n_obs)]
    adata.obsp["graph"] = sp.eye_array(adata.n_obs, format="csr")
    adata.uns["neighbors"] = {"connectivities_key": "graph", "params": {}}
    # Zarr takes 20 ms for every array of these, which are written as those of the mixture are.
    del adata.uns["recipes"]
    return adata


@pytest.fixture
def rich(_rich):
    """A cohort with all kinds of matrices."""
    return _rich.copy()


@pytest.fixture
def same(same_content):
    """Assert that a file holds what the function returns."""

    def check(path, expected):
        found = READ[path.suffix[1:]](path)
        expected.strings_to_categoricals()
        same_content(expected, found)
        assert list(found.obs.columns) == list(expected.obs.columns)
        if expected.raw is not None:
            assert (found.raw.X != expected.raw.X).nnz == 0
            pd.testing.assert_frame_equal(found.raw.var, expected.raw.var)
        return found

    return check


@pytest.mark.parametrize("extension", ["h5ad", "zarr"])
def test_a_cohort_in_memory(rich, extension, tmp_path, same, untouched):
    rich.raw = rich.copy()
    with untouched(rich):
        path = rp.get.augmented(rich, to=tmp_path / f"atlas.{extension}", chunk_size=333)
    assert path == tmp_path / f"atlas.{extension}"
    found = same(path, rp.get.augmented(rich))
    assert sp.issparse(found.X)
    assert found.X.dtype == np.float32
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["backed", "lazy h5ad", "lazy zarr", "backed dense"])
def test_a_cohort_on_disk(rich, kind, tmp_path, same):
    if kind == "backed dense":
        rich.X = rich.X.toarray()
    expected = rp.get.augmented(rich)
    extension = kind.split()[-1] if kind.startswith("lazy") else "h5ad"
    source = tmp_path / f"source.{extension}"
    rich.write_zarr(source) if extension == "zarr" else rich.write_h5ad(source)
    opened = read_lazy(source) if kind.startswith("lazy") else ad.read_h5ad(source, backed="r")
    found = same(rp.get.augmented(opened, to=tmp_path / f"atlas.{extension}", chunk_size=250), expected)
    assert sp.issparse(found.X) == (kind != "backed dense")
    if kind == "backed":
        same(rp.get.augmented(opened, to=tmp_path / "atlas.h5ad"), expected)


@pytest.mark.parametrize("extension", ["h5ad", "zarr"])
def test_gaussians(rich, keys, extension, tmp_path, same):
    rich.obs["n"] = 3
    rp.tl.recipes(rich, **keys)
    rp.tl.generate(rich, 4, draw="gaussian")
    if extension == "zarr":
        del rich.uns["recipes"]
    expected = rp.get.augmented(rich)
    assert expected.X is None
    assert list(expected.obsm) == ["X_pca"]
    is_generated = expected.obs["is_generated"].to_numpy(dtype=bool)
    np.testing.assert_array_equal(expected.obsm["X_pca"][~is_generated], rich.obsm["X_pca"])
    points = rich.uns["generated"]["cells"]
    np.testing.assert_array_equal(expected.obsm["X_pca"][is_generated], points["embedding"])
    np.testing.assert_array_equal(expected.obs["gmm"].cat.codes[is_generated], points["component"])
    assert (expected.obs.loc[is_generated, ["source_patient", "source_cell"]] == "").all(axis=None)
    assert expected.obs.loc[is_generated, ["flag", "n", "state"]].isna().all(axis=None)
    pd.testing.assert_series_equal(expected.obs["flag"][~is_generated].astype(bool), rich.obs["flag"])
    same(rp.get.augmented(rich, to=tmp_path / f"atlas.{extension}", chunk_size=100), expected)


def test_gaussians_of_a_matrix(plain, keys, tmp_path, same):
    cytometry = ad.AnnData(plain.obsm["X_pca"], obs=plain.obs[["patient", "label"]])
    rp.tl.gmm(cytometry, 4, use_rep="X")
    rp.tl.recipes(cytometry, **keys)
    rp.tl.generate(cytometry, 2, draw="gaussian")
    expected = rp.get.augmented(cytometry)
    np.testing.assert_array_equal(expected.X[len(plain) :], cytometry.uns["generated"]["cells"]["embedding"])
    same(rp.get.augmented(cytometry, to=tmp_path / "atlas.h5ad"), expected)


def test_selected_patients_and_a_cohort_without_any(rich, tmp_path, same):
    rich.uns["generated"]["patients"]["selected"] = np.arange(14) % 2 == 0
    same(rp.get.augmented(rich, to=tmp_path / "some.h5ad"), rp.get.augmented(rich))
    rich.uns["generated"]["patients"]["selected"] = False
    found = ad.read_h5ad(rp.get.augmented(rich, to=tmp_path / "none.h5ad"))
    assert found.n_obs == rich.n_obs


def test_memory_is_that_of_a_chunk(tmp_path):
    n_cells, n_genes = 10_000, 800
    rng = np.random.default_rng(0)
    adata = ad.AnnData(
        sp.random_array((n_cells, n_genes), density=0.25, format="csr", dtype=np.float32, random_state=0)
    )
    adata.obs["patient"] = pd.Categorical(rng.integers(20, size=n_cells).astype(str))
    adata.obs["label"] = pd.Categorical(np.where(adata.obs["patient"].astype(int) < 10, "a", "b"))
    adata.obsm["X_pca"] = rng.normal(size=(n_cells, 2)).astype(np.float32)
    rp.tl.gmm(adata, 2)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 5)
    size = adata.X.data.nbytes + adata.X.indices.nbytes
    adata.write_h5ad(tmp_path / "source.h5ad")
    del adata
    opened = ad.read_h5ad(tmp_path / "source.h5ad", backed="r")
    tracemalloc.start()
    rp.get.augmented(opened, to=tmp_path / "atlas.h5ad", chunk_size=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 15e6
    # The annotation of 15,000 cells takes most of it.
    assert peak < 0.6 * size


@pytest.mark.parametrize("extension", ["h5ad", "zarr"])
def test_an_earlier_file_stays_until_the_new_one_is_whole(rich, extension, tmp_path, monkeypatch):
    path = rp.get.augmented(rich, to=tmp_path / f"atlas.{extension}")
    before = READ[extension](path)
    from repatient.get import _write_matrices

    def fail(*_args):
        msg = "no space left"
        raise OSError(msg)

    monkeypatch.setattr(_write_matrices.SparseWriter, "close", fail)
    with pytest.raises(OSError, match="no space"):
        rp.get.augmented(rich[::3].copy(), to=path)
    assert READ[extension](path).n_obs == before.n_obs
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    monkeypatch.undo()
    rp.get.augmented(rich[::3].copy(), to=path)
    assert READ[extension](path).n_obs < before.n_obs


def test_errors_come_before_anything_is_written(rich, tmp_path, untouched):
    rich.write_h5ad(tmp_path / "source.h5ad")
    opened = ad.read_h5ad(tmp_path / "source.h5ad", backed="r")
    (tmp_path / "folder.h5ad").mkdir()
    (tmp_path / "precious.zarr").mkdir()
    (tmp_path / "precious.zarr" / "thesis.txt").write_text("all of it")
    (tmp_path / "file.zarr").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    with untouched(rich):
        for to, error, message in (
            (3, TypeError, "`to` is a path"),
            (tmp_path / "atlas.csv", ValueError, "'.h5ad' or '.zarr'"),
            (tmp_path / "nowhere" / "atlas.h5ad", FileNotFoundError, "no folder"),
            (tmp_path / "folder.h5ad", IsADirectoryError, "is a folder"),
            (tmp_path / "precious.zarr", FileExistsError, "`to`"),
            (tmp_path / "file.zarr", FileExistsError, "`to`"),
            (tmp_path / "source.h5ad", FileExistsError, "`to`"),
        ):
            with pytest.raises(error, match=message):
                rp.get.augmented(rich, to=to)
        with pytest.raises(ValueError, match="chunk_size"):
            rp.get.augmented(rich, to=tmp_path / "atlas.h5ad", chunk_size=0)
        with pytest.raises(ValueError, match="reads"):
            rp.get.augmented(opened, to=tmp_path / "source.h5ad")
        with pytest.raises(ValueError, match="`to`"):
            rp.get.augmented(opened)
    rich.X = rich.X.tocsc()
    rich.write_h5ad(tmp_path / "columns.h5ad")
    for opened in (ad.read_h5ad(tmp_path / "columns.h5ad", backed="r"), read_lazy(tmp_path / "columns.h5ad")):
        with pytest.raises(ValueError, match="columns"):
            rp.get.augmented(opened, to=tmp_path / "atlas.h5ad")
    (tmp_path / "columns.h5ad").unlink()
    assert sorted(tmp_path.rglob("*")) == before
