"""An atlas that stays on disk, from its cells to generated patients: time and peak memory of each step.

python benchmarks/atlas.py [--cells 1000000] [--genes 2000] [--patients 200] [--generated 100] [--seed 0]

The atlas is simulated and written to a temporary folder piece by piece: a sparse matrix of counts, an embedding, and
patients of two classes whose compositions differ; the cells of all patients lie among each other, which is the hardest
order to read a patient's cells in. Another process opens it with `anndata.experimental.read_lazy` and does every step
on one thread. Peak memory is that of the process above what it took after its imports and after a run of all steps on
an atlas of few cells, which loads what they need.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import h5py
import numpy as np
import pandas as pd
from anndata.experimental import read_lazy
from anndata.io import write_elem

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N_DIMS, N_STATES, N_COMPONENTS = 32, 24, 20
CELLS_AT_ONCE = 20_000
KEYS = {"patient_key": "patient", "label_key": "label"}
MOST_MEGABYTES = 3000
WARM_UP = {"cells": 4000, "genes": 40, "patients": 20, "generated": 4}


@dataclass(frozen=True)
class Atlas:
    """Size of a simulated atlas, and how many patients to generate.

    Parameters
    ----------
    cells, genes, patients
        Numbers of each.
    one_in
        One gene in so many has a count in a cell.
    generated
        Patients to generate, of both classes together.
    seed
        Seed.
    """

    cells: int = 1_000_000
    genes: int = 2000
    patients: int = 200
    one_in: int = 20
    generated: int = 100
    seed: int = 0


def main() -> None:
    arguments = parse_arguments()
    if arguments.child:
        run(Path(arguments.child), arguments.generated, arguments.chunk_size)
        return
    atlas = Atlas(
        arguments.cells, arguments.genes, arguments.patients, arguments.one_in, arguments.generated, arguments.seed
    )
    print(f"Load when started: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    with tempfile.TemporaryDirectory() as folder:
        megabytes = simulate(Path(folder) / "atlas.h5ad", atlas)
        print(
            f"### {atlas.cells:,} cells × {atlas.genes:,} genes of {atlas.patients} patients, {megabytes:,.0f} MB on disk\n"
        )
        report(measure(Path(folder), atlas.generated, arguments.chunk_size))
    print(f"\nLoad when finished: {os.getloadavg()[0]:.1f}.")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=Atlas.cells)
    parser.add_argument("--genes", type=int, default=Atlas.genes)
    parser.add_argument("--patients", type=int, default=Atlas.patients)
    parser.add_argument("--one-in", type=int, default=Atlas.one_in, help="one gene in so many has a count in a cell")
    parser.add_argument("--generated", type=int, default=Atlas.generated, help="patients to generate")
    parser.add_argument("--seed", type=int, default=Atlas.seed)
    parser.add_argument("--chunk-size", type=int, default=10_000, help="cells written at once by get.augmented")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def simulate(path: Path, atlas: Atlas) -> float:
    """Write an atlas, never holding more than a piece of it; returns its megabytes on disk."""
    rng = np.random.default_rng(atlas.seed)
    patient = rng.integers(atlas.patients, size=atlas.cells)
    sick = np.arange(atlas.patients) % 2
    shares = rng.dirichlet(np.full(N_STATES, 2.0), size=2)
    of_patients = np.stack([rng.dirichlet(50 * shares[label]) for label in sick]).cumsum(axis=1)
    state = (rng.random((atlas.cells, 1)) > of_patients[patient]).sum(axis=1).clip(max=N_STATES - 1)
    names = [f"P{code:03d}" for code in range(atlas.patients)]
    obs = pd.DataFrame(
        {
            "patient": pd.Categorical.from_codes(patient, names),
            "label": pd.Categorical.from_codes(sick[patient], ["healthy", "sick"]),
        },
        index=np.char.mod("cell%08d", np.arange(atlas.cells)),
    )
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=[f"gene{number}" for number in range(atlas.genes)]))
        for name in ("obsm", "uns", "layers", "varm", "obsp", "varp"):
            write_elem(file, name, {})
        write_counts(file, atlas, state, rng)
        write_embedding(file, state, patient, rng)
    return path.stat().st_size / 1e6


def write_counts(file: h5py.File, atlas: Atlas, state: np.ndarray, rng: np.random.Generator) -> None:
    """Counts as a compressed sparse row matrix; every cell has as many, one in each run of ``one_in`` genes."""
    per_cell = atlas.genes // atlas.one_in
    group = file.create_group("X")
    group.attrs.update(
        {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (atlas.cells, atlas.genes)}
    )
    group["indptr"] = np.arange(atlas.cells + 1, dtype=np.int64) * per_cell
    shape = (atlas.cells * per_cell,)
    chunks = (min(CELLS_AT_ONCE, atlas.cells) * per_cell // 8,)
    values = group.create_dataset("data", shape, np.float32, chunks=chunks, compression="lzf")
    columns = group.create_dataset("indices", shape, np.int32, chunks=chunks)
    level = rng.integers(1, 5, size=(N_STATES, atlas.genes)).astype(np.float32)
    for part in pieces(atlas.cells):
        n_cells = part.stop - part.start
        column = np.arange(per_cell) * atlas.one_in + rng.integers(atlas.one_in, size=(n_cells, per_cell))
        count = level[state[part, None], column] + rng.integers(3, size=column.shape)
        stored = slice(part.start * per_cell, part.stop * per_cell)
        columns[stored], values[stored] = column.ravel(), count.ravel()


def write_embedding(file: h5py.File, state: np.ndarray, patient: np.ndarray, rng: np.random.Generator) -> None:
    """States as Gaussians, with a shift of every patient's own."""
    centres = 4 * rng.standard_normal((N_STATES, N_DIMS))
    shifts = 0.3 * rng.standard_normal((patient.max() + 1, N_DIMS))
    shape = (len(state), N_DIMS)
    rows = file.create_dataset("obsm/X_emb", shape, np.float32, chunks=(min(CELLS_AT_ONCE, len(state)), N_DIMS))
    rows.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for part in pieces(len(state)):
        noise = rng.standard_normal((part.stop - part.start, N_DIMS))
        rows[part] = centres[state[part]] + shifts[patient[part]] + noise


def pieces(n_cells: int) -> Iterator[slice]:
    for start in range(0, n_cells, CELLS_AT_ONCE):
        yield slice(start, min(start + CELLS_AT_ONCE, n_cells))


def measure(folder: Path, generated: int, chunk_size: int) -> list[dict[str, Any]]:
    """Steps of a process of its own with what each took; the last is all of them."""
    sizes = {"--child": folder, "--generated": generated, "--chunk-size": chunk_size}
    command = [sys.executable, "-W", "ignore", __file__, *(str(word) for pair in sizes.items() for word in pair)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | threads)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(steps: list[dict[str, Any]]) -> None:
    print("| step | wall, s | CPU, s | peak memory, MB |")
    print("|---|---|---|---|")
    for step in steps:
        print(f"| {step['step']} | {step['wall']:.1f} | {step['cpu']:.1f} | {step['megabytes']:,.0f} |")
    print(f"\nAsked: at most {MOST_MEGABYTES:,} MB.")


def run(folder: Path, generated: int, chunk_size: int) -> None:
    """Do all steps on a small atlas, then on the one in the folder, and print what each took."""
    warnings.simplefilter("ignore")
    dask.config.set(scheduler="synchronous")
    simulate(folder / "small.h5ad", Atlas(**WARM_UP))
    for work in steps(folder / "small.h5ad", WARM_UP["generated"], chunk_size).values():
        work()
    before = resident()
    wall, cpu, highest = time.perf_counter(), time.process_time(), 0.0
    for name, work in steps(folder / "atlas.h5ad", generated, chunk_size).items():
        done = timed(work, before)
        highest = max(highest, done["megabytes"])
        print(json.dumps({"step": name, **done}), flush=True)
    totals = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "megabytes": highest}
    print(json.dumps({"step": "**all**", **totals}))


def steps(atlas: Path, generated: int, chunk_size: int) -> dict[str, Callable[[], object]]:
    """What is done with an atlas, in order."""
    opened: dict[str, Any] = {}

    def data() -> Any:
        return opened["data"]

    target = atlas.with_name("augmented.h5ad")
    numbers = {"healthy": generated // 2, "sick": generated - generated // 2}
    training = {**KEYS, "generated_key": "generated", "progress": False}
    return {
        "`read_lazy`": lambda: opened.update(data=read_lazy(atlas)),
        f"`tl.gmm`, {N_COMPONENTS} components": lambda: rp.tl.gmm(
            data(), N_COMPONENTS, use_rep="X_emb", progress=False
        ),
        "`tl.recipes`": lambda: rp.tl.recipes(data(), **KEYS),
        f"`tl.generate`, {generated} patients": lambda: rp.tl.generate(data(), numbers),
        "`tl.mil`, real and generated patients": lambda: opened.update(
            model=rp.tl.mil(data(), model="attention", **training)
        ),
        "`tl.select`": lambda: rp.tl.select(data(), opened["model"], keep="all"),
        "`get.augmented(to=)`, `.h5ad`": lambda: rp.get.augmented(
            data(), to=target, chunk_size=chunk_size, progress=False
        ),
    }


def timed(work: Callable[[], object], before: float) -> dict[str, float]:
    """Wall and CPU seconds, and the peak of memory above ``before``."""
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "megabytes": peak() - before,
    }


def forget_peak() -> None:
    """Begin a new peak, where the system can; elsewhere it is the highest since the start."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Most megabytes of this process in main memory."""
    if sys.platform == "linux":
        return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1.024e-3
    unit = 1e-6 if sys.platform == "darwin" else 1.024e-3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> float:
    """Megabytes of this process in main memory now."""
    forget_peak()
    return peak()


if __name__ == "__main__":
    main()
