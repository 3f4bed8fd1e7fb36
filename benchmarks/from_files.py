"""From files to predictions of new patients: CPU seconds and peak memory of each step.

python benchmarks/from_files.py [slides large counts tubes] [--commands]

Files are simulated in the layouts of TRIDENT (HDF5, one a slide), FCS (one a tube) and AnnData (raw counts, one a
patient), with a CSV beside them; three quarters of the patients train, the others are new. Each cohort runs in a process of
its own: 40 slides of 500 tiles x 384; 20 slides of 5,000 tiles x 1,024, read to a file and opened lazily; 24 tubes of
5,000 events x 12 markers; 8 patients with 8,000 cells x 2,000 genes in all. Writing the files is not counted. CPU seconds are
those of all threads of the process, user and system together, and do not depend on what else the machine does; the seconds
beside them do. Memory is the largest resident set of the process, with the interpreter and its packages (the row "import").

With --commands, the same files go to a report by `repatient import`, `embed` and `report` with their default settings
(20 splits of all methods); seconds are those of the clock, in brackets those of all processors.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

SEED = 0
COHORTS = {
    "slides": "40 slides, 500 x 384",
    "large": "20 slides, 5,000 x 1,024, lazily",
    "tubes": "24 FCS tubes, 5,000 x 12",
    "counts": "8 patients, 8,000 x 2,000 raw counts",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohorts", nargs="*", metavar="COHORT", help=f"some of {', '.join(COHORTS)}")
    parser.add_argument("--commands", action="store_true", help="from the files to a report, by three commands")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.cohorts) - set(COHORTS):
        parser.error(f"no cohort {sorted(unknown)}; there are {', '.join(COHORTS)}")
    if given.inside:
        steps(given.cohorts[0])
        return
    if given.commands:
        print("| cohort | command | seconds (of all processors) |\n| --- | --- | ---: |")
        for cohort in given.cohorts or ["slides", "counts"]:
            commands(cohort)
        return
    print("| cohort | step | CPU seconds | seconds | peak memory, MB |\n| --- | --- | ---: | ---: | ---: |", flush=True)
    for cohort in given.cohorts or list(COHORTS):
        subprocess.run([sys.executable, "-W", "ignore", __file__, cohort, "--inside"], check=True)


def commands(cohort: str) -> None:
    """Take the files of a cohort to a report, as one does who knows no Python."""
    kind = {"tubes": "intensities", "counts": "counts"}.get(cohort, "features")
    keys = ["--patient-key", "patient", "--label-key", "label"]
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        files.mkdir()
        WRITERS[cohort](files).to_csv(Path(folder, "labels.csv"), index=False)
        start = perf_counter(), processors()
        for command in (
            ["import", "files", "labels.csv", "cohort.h5ad"],
            ["embed", "cohort.h5ad", "embedded.h5ad", "--kind", kind],
            ["report", "embedded.h5ad", "report.html", *keys],
        ):
            before = perf_counter(), processors()
            subprocess.run([sys.executable, "-m", "repatient.cli", *command], cwd=folder, check=True, stdout=sys.stderr)
            row = f"{perf_counter() - before[0]:.0f} ({processors() - before[1]:.0f})"
            print(f"| {COHORTS[cohort]} | {command[0]} | {row} |", flush=True)
        print(
            f"| {COHORTS[cohort]} | all | {perf_counter() - start[0]:.0f} ({processors() - start[1]:.0f}) |", flush=True
        )


def processors() -> float:
    """Seconds that finished processes used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def steps(cohort: str) -> None:
    """Write the files of a cohort, and time what a user does with them."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        files.mkdir()
        table = WRITERS[cohort](files)
        rng = np.random.default_rng(SEED)
        new = np.zeros(len(table), dtype=bool)
        for label in ("high", "low"):
            of_class = np.flatnonzero(table["label"] == label)
            new[rng.choice(of_class, max(len(of_class) // 4, 1), replace=False)] = True
        for name, part in (("train", table[~new]), ("new", table[new])):
            part.to_csv(Path(folder, f"{name}.csv"), index=False)
        clock = Clock(COHORTS[cohort])
        import repatient as rp

        to = {"train": None, "new": None}
        if cohort == "large":
            to = {name: Path(folder, f"{name}.h5ad") for name in to}
        clock("import")
        train = rp.io.read_features(files, Path(folder, "train.csv"), on_missing="skip", to=to["train"])
        clock("read_features")
        kind = {"tubes": "intensities", "counts": "counts"}.get(cohort, "features")
        rp.pp.embed(train, kind)
        clock("embed")
        model = rp.tl.mil(train, patient_key="patient", label_key="label")
        clock("mil")
        fresh = rp.io.read_features(files, Path(folder, "new.csv"), on_missing="skip", to=to["new"])
        clock("read_features, new patients")
        rp.pp.project(fresh, train)
        clock("project")
        model.predict(fresh)
        clock("predict")
        clock.total()


class Clock:
    """Prints a row a step."""

    def __init__(self, cohort: str) -> None:
        self.cohort, self.start = cohort, (process_time(), perf_counter())
        self.last = self.start

    def __call__(self, step: str) -> None:
        now = process_time(), perf_counter()
        self.row(step, self.last, now)
        self.last = now

    def total(self) -> None:
        self.row("all", self.start, (process_time(), perf_counter()))

    def row(self, step: str, before: tuple[float, float], now: tuple[float, float]) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform != "darwin" else 1024) / 1024
        cpu, wall = (end - begin for begin, end in zip(before, now, strict=True))
        print(f"| {self.cohort} | {step} | {cpu:.1f} | {wall:.1f} | {peak:.0f} |", flush=True)


def classes(n: int) -> np.ndarray:
    return np.repeat(["high", "low"], n // 2)


def write_slides(folder: Path, n_slides: int = 40, n_tiles: int = 500, width: int = 384) -> pd.DataFrame:
    rng = np.random.default_rng(SEED)
    kinds = rng.normal(size=(5, width)).astype(np.float32)
    shares = {"high": [0.3, 0.3, 0.2, 0.1, 0.1], "low": [0.1, 0.2, 0.2, 0.2, 0.3]}
    (folder / "features_uni").mkdir()
    for i, label in enumerate(classes(n_slides)):
        X = kinds[rng.choice(5, n_tiles, p=shares[label])] + rng.standard_normal((n_tiles, width), dtype=np.float32)
        with h5py.File(folder / "features_uni" / f"slide_{i:02d}.h5", "w") as file:
            file["features"], file["coords"] = X, rng.integers(0, 50_000, (n_tiles, 2))
    slides = [f"slide_{i:02d}" for i in range(n_slides)]
    return pd.DataFrame({"slide_id": slides, "patient": slides, "label": classes(n_slides)})


def write_large(folder: Path) -> pd.DataFrame:
    return write_slides(folder, 20, 5_000, 1_024)


def write_tubes(folder: Path, n_tubes: int = 24, n_events: int = 5_000) -> pd.DataFrame:
    import flowio

    rng = np.random.default_rng(SEED)
    markers = ["FSC-A", "SSC-A", *(f"FL{i}-A" for i in range(1, 10)), "Time"]
    for i, label in enumerate(classes(n_tubes)):
        types = rng.choice(3, n_events, p=[0.5, 0.3, 0.2] if label == "high" else [0.3, 0.3, 0.4])
        levels = np.array([[1, 3, 5, 2, 1, 4, 2, 3, 1], [4, 1, 2, 5, 3, 1, 2, 1, 3], [2, 5, 1, 1, 4, 2, 5, 3, 2]])[
            types
        ]
        X = np.column_stack(
            [
                rng.normal(80_000, 9_000, (n_events, 2)),
                10 ** (levels + 0.3 * rng.normal(size=levels.shape)) / 10,
                np.arange(n_events),
            ]
        ).astype(np.float32)
        with (folder / f"tube_{i:02d}.fcs").open("wb") as file:
            flowio.create_fcs(file, X.ravel().tolist(), markers)
    tubes = [f"tube_{i:02d}.fcs" for i in range(n_tubes)]
    return pd.DataFrame({"file": tubes, "patient": tubes, "label": classes(n_tubes)})


def write_counts(folder: Path, n_patients: int = 8, n_cells: int = 1_000, n_genes: int = 2_000) -> pd.DataFrame:
    rng = np.random.default_rng(SEED)
    programmes = rng.gamma(0.3, 1, size=(4, n_genes))
    for i, label in enumerate(classes(n_patients)):
        types = rng.choice(4, n_cells, p=[0.4, 0.3, 0.2, 0.1] if label == "high" else [0.1, 0.2, 0.3, 0.4])
        counts = sp.csr_matrix(rng.poisson(programmes[types] * rng.uniform(0.5, 1.5, (n_cells, 1))).astype(np.float32))
        sample = ad.AnnData(counts, var=pd.DataFrame(index=[f"gene_{j}" for j in range(n_genes)]))
        sample.write_h5ad(folder / f"patient_{i}.h5ad")
    patients = [f"patient_{i}" for i in range(n_patients)]
    return pd.DataFrame({"sample": patients, "label": classes(n_patients)})


WRITERS = {"slides": write_slides, "large": write_large, "tubes": write_tubes, "counts": write_counts}

if __name__ == "__main__":
    main()
