"""Same seed, same bits, whatever the number of threads in the environment."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import repatient as rp

SCRIPT = """
import hashlib, warnings
import numpy as np
import repatient as rp
warnings.simplefilter("ignore")
adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=150)
adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :10].copy()
digest = hashlib.sha256()
def add(*values):
    for value in values:
        digest.update(np.ascontiguousarray(value).tobytes())
    print(digest.hexdigest())
rp.tl.gmm(adata, 5, store_proba=True)
add(adata.uns["gmm"]["covariances"], adata.obs["gmm_log_density"], adata.obsm["gmm_proba"])
for kind in ("dirichlet_multinomial", "logistic_normal"):
    rp.tl.recipes(adata, patient_key="patient", label_key="label", kind=kind)
    add(adata.uns["recipes"]["mean"])
    rp.tl.generate(adata, 6, n_donors=3)
    add(adata.obsm["generated"].indices, adata.obsm["generated"].data)
model = rp.tl.mil(adata, patient_key="patient", label_key="label", generated_key="generated", model=rp.mil.Attention(n_steps=10, validation_fraction=0.2))
add(adata.obs["mil_attention"], adata.uns["mil"]["predictions"]["uncertainty"])
rp.tl.select(adata, model)
add(adata.uns["generated"]["patients"]["uncertainty"])
"""


def test_number_of_threads_does_not_matter():
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, "1")}
    command = [sys.executable, "-c", SCRIPT]
    one = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert len(one.split()) == 7
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2), contextlib.redirect_stdout(two := io.StringIO()):
            exec(SCRIPT, {})
    finally:
        torch.set_num_threads(threads)
    assert one == two.getvalue()


def test_seeds_matter(generated, plain, keys):
    first, second = (rp.tl.gmm(plain, 6, random_state=seed, copy=True) for seed in (0, 1))
    assert (first.uns["gmm"]["means"] != second.uns["gmm"]["means"]).any()
    first, second = (rp.tl.generate(generated, 3, random_state=seed, copy=True) for seed in (0, 1))
    assert (first.obsm["generated"] != second.obsm["generated"]).nnz > 0
    first, second = (
        rp.tl.mil(
            plain, **keys, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2), random_state=seed, copy=True
        )[1]
        for seed in (0, 1)
    )
    assert (first.obs["mil_attention"] != second.obs["mil_attention"]).any()


def test_global_random_states_are_left_alone(plain, keys):
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    rp.tl.gmm(plain, 3)
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, 2)
    model = rp.tl.mil(
        plain, **keys, generated_key="generated", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2)
    )
    rp.tl.select(plain, model)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
