"""The claim of the atlas at the size of a test: no step holds the matrix, let alone a second one."""

from __future__ import annotations

import sys

import anndata as ad
import pytest


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("atlas")


def test_pieces_of_an_atlas_make_a_sound_object(benchmark, tmp_path):
    benchmark.simulate(tmp_path / "atlas.h5ad", benchmark.Atlas(cells=500, genes=40, patients=6))
    adata = ad.read_h5ad(tmp_path / "atlas.h5ad")
    assert adata.shape == (500, 40)
    assert adata.X.has_canonical_format
    assert (adata.X.getnnz(axis=1) == 2).all()
    assert (adata.X.data >= 1).all()
    assert adata.obsm["X_emb"].shape == (500, benchmark.N_DIMS)
    assert adata.obs.groupby("patient", observed=True)["label"].nunique().max() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a step is known on Linux alone")
def test_no_step_holds_the_matrix(benchmark, tmp_path):
    atlas = benchmark.Atlas(cells=10_000, genes=2400, patients=40, one_in=2, generated=8)
    benchmark.simulate(tmp_path / "atlas.h5ad", atlas)
    steps = benchmark.measure(tmp_path, atlas.generated, chunk_size=500)
    # Counts in single precision and their columns, as one object in memory would hold them.
    matrix = atlas.cells * atlas.genes / atlas.one_in * 8 / 1e6
    assert {step["step"]: step["megabytes"] for step in steps if step["megabytes"] >= matrix} == {}
    written = ad.read_h5ad(tmp_path / "augmented.h5ad", backed="r")
    assert written.n_obs > atlas.cells
    assert written.obs["is_generated"].sum() == written.n_obs - atlas.cells
