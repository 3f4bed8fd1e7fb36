"""What it costs to fit a mixture to rows that are not in memory: time against an array, and peak memory.

python benchmarks/mixture_out_of_core.py [--rows 1000000] [--rounds 5] [--memory-rows 1000000 4000000]

Times are those of a fit of a few passes from given parameters, rounds interleaved, as ratios to the same fit of an array
within the round. Peak memory is that of a whole fit in a process of its own, above what it took after its imports.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import h5py
import numpy as np
import zarr
from mixture_rows import N_COMPONENTS, draw
from mixture_speed import spread
from sklearn.exceptions import ConvergenceWarning

from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from collections.abc import Callable

N_DIMS, N_PASSES = 32, 5
ROWS_A_CHUNK = 65_536
SOURCES = ("zarr", "h5py", "dask, one thread", "dask, two threads")
WANTED = {"dask over the array, one thread": "≤ 1.25", "zarr": "≤ 2"}


def main() -> None:
    arguments = parse_arguments()
    if arguments.child:
        print(measure_memory(*arguments.child))
        return
    print(f"Load when started: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    with tempfile.TemporaryDirectory() as folder:
        report_times(write(Path(folder), arguments.rows), arguments.rows, arguments.rounds)
        report_memory([write(Path(folder), n_rows) for n_rows in arguments.memory_rows])
    print(f"\nLoad when finished: {os.getloadavg()[0]:.1f}.")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the timed fits")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[1_000_000, 4_000_000])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def write(folder: Path, n_rows: int) -> Path:
    """Rows in an h5py file and a zarr store, in chunks, never all in memory."""
    stem = folder / str(n_rows)
    if stem.with_suffix(".h5").exists():
        return stem
    chunks = {"shape": (n_rows, N_DIMS), "dtype": np.float32, "chunks": (ROWS_A_CHUNK, N_DIMS)}
    store = zarr.create_array(stem.with_suffix(".zarr"), **chunks)
    with h5py.File(stem.with_suffix(".h5"), "w") as file:
        dataset = file.create_dataset("rows", **chunks)
        for start in range(0, n_rows, 1_000_000):
            stop = min(start + 1_000_000, n_rows)
            dataset[start:stop] = store[start:stop] = draw(stop - start, N_DIMS, seed=0).rows
    return stem


def open_rows(stem: Path, source: str) -> Any:
    if source == "h5py":
        return h5py.File(stem.with_suffix(".h5"))["rows"]
    store = zarr.open_array(stem.with_suffix(".zarr"), mode="r")
    return da.from_zarr(store) if source.startswith("dask") else store


def n_threads(source: str) -> int:
    return 2 if source == "dask, two threads" else 1


def report_times(stem: Path, n_rows: int, n_rounds: int) -> None:
    in_memory = zarr.open_array(stem.with_suffix(".zarr"), mode="r")[:]
    truth = draw(1000, N_DIMS, seed=0).truth
    start = {"weights_init": truth.weights, "means_init": truth.means, "covariances_init": truth.covariances}
    settings = {"tol": 0.0, "max_iter": N_PASSES, "progress": False, **start}
    fits: dict[str, Callable[[], object]] = {
        "an array": lambda: GaussianMixture(N_COMPONENTS, **settings).fit(in_memory),
        # The same engine, without what reading and decompressing cost.
        "dask over the array, one thread": lambda: GaussianMixture(N_COMPONENTS, **settings).fit(
            da.from_array(in_memory, chunks=(ROWS_A_CHUNK, N_DIMS))
        ),
    }
    for source in SOURCES:
        fits[source] = lambda source=source: GaussianMixture(N_COMPONENTS, **settings).fit(open_rows(stem, source))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in fits}
    warnings.simplefilter("ignore", ConvergenceWarning)
    for number in range(n_rounds + 1):
        for name, fit in fits.items():
            wall, cpu = time.perf_counter(), time.process_time()
            with dask.config.set(scheduler="threads", num_workers=n_threads(name)):
                fit()
            if number:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    print(f"### {N_PASSES} passes over {n_rows:,} rows, d = {N_DIMS}, {N_COMPONENTS} components, {n_rounds} rounds\n")
    print("| rows in | wall time, ratio to an array | CPU time, ratio to an array | wanted, CPU |")
    print("|---|---|---|---|")
    base = np.array(times["an array"])
    for name in list(fits)[1:]:
        wall, cpu = (np.array(times[name]) / base).T
        print(f"| {name} | {spread(wall, '{:.2f}')} | {spread(cpu, '{:.2f}')} | {WANTED.get(name, '')} |", flush=True)
    print(f"\nAn array itself: {spread(base[:, 1], '{:.2f}')} CPU seconds.\n")


def report_memory(stems: list[Path]) -> None:
    print("### Peak memory of a whole fit above imports, MB (at most 150 wanted)\n")
    print("| rows in | " + " | ".join(f"{int(stem.name):,} rows" for stem in stems) + " |")
    print("|---|" + "---|" * len(stems))
    for source in SOURCES:
        cells = []
        for stem in stems:
            command = [sys.executable, __file__, "--child", str(stem), source]
            cells.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        print(f"| {source} | " + " | ".join(cells) + " |", flush=True)


def measure_memory(stem: str, source: str) -> str:
    """Megabytes that a whole fit takes at its peak, above what the process took before it."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    # What a first fit of a few rows loads belongs to the imports.
    GaussianMixture(2, progress=False).fit(np.random.default_rng(0).normal(size=(100, 2)))
    before, peak, done = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with dask.config.set(scheduler="threads", num_workers=n_threads(source)):
            GaussianMixture(N_COMPONENTS, progress=False, max_iter=10).fit(open_rows(Path(stem), source))
    finally:
        done.set()
        watcher.join()
    return f"{peak[0] - before:.0f}"


def resident() -> float:
    """Megabytes of this process in main memory."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize() / 1e6
    # Elsewhere only the peak is to be had, which serves as well, as it never falls.
    unit = 1 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
