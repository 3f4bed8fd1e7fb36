"""Rows of generated patients, all at once against loops that draw them patient by patient.

python benchmarks/draws.py [--patients 10000] [--cells 2000] [--pool 1000000] [--components 30] [--rounds 7]

Every round times each way once, one after another, and the table gives the ratios within rounds: their median and
range. The loops draw for a slice of the patients and are scaled up. They get the pool sorted by component for nothing;
`draw_patients` is timed with sorting it. One thread.

The loops differ in what they do. `RandomState.choice`, the same as `np.random.choice`, permutes the whole component at
every call; `Generator.choice` with `shuffle=False` is the quickest that NumPy has without replacement.
`Generator.random` a patient draws the cells of all components of a patient at once, sorts them and redraws what came
twice: the method of `draw_patients`, for one patient at a time. `Generator.integers` **with** replacement is no
alternative, since cells come twice; it shows what is paid for exactness. None of the loops has a random stream of its
own for each patient, as `draw_patients` has.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from repatient.sampling import draw_patients

if TYPE_CHECKING:
    from collections.abc import Callable

Times = tuple[float, float]


def main() -> None:
    arguments = parse_arguments()
    rng = np.random.default_rng(arguments.seed)
    shares = rng.dirichlet(np.full(arguments.components, 2.0))
    components = rng.choice(arguments.components, size=arguments.pool, p=shares)
    compositions = rng.dirichlet(np.ones(arguments.components), size=arguments.patients)
    counts = rng.multinomial(arguments.cells, compositions)
    print(f"{arguments.patients:,} patients × {arguments.cells:,} cells from {arguments.pool:,} cells ", end="")
    print(f"of {arguments.components} components; {arguments.rounds} rounds, load {os.getloadavg()[0]:.1f}; ", end="")
    print("the loops draw for a slice of the patients and are scaled up.\n")

    loops = Loops(components, counts, rng)
    ways: dict[str, tuple[Callable[[np.ndarray], None], int]] = {
        "`Generator.choice` a component, without replacement": (loops.choice, arguments.slice),
        "`RandomState.choice` a component, without replacement": (loops.legacy_choice, max(arguments.slice // 20, 1)),
        "`Generator.random` a patient, repeated rows redrawn": (loops.redraw, arguments.slice),
        "`Generator.integers` a patient, **with** replacement": (loops.with_replacement, arguments.slice),
    }
    ours: list[Times] = []
    theirs: dict[str, list[Times]] = {name: [] for name in ways}
    draw_patients(counts, components, seed=0)
    for seed in range(arguments.rounds):
        ours.append(timed(lambda seed=seed: draw_patients(counts, components, seed=seed)))
        for name, (way, number) in ways.items():
            part = counts[:number]
            cpu, wall = timed(lambda way=way, part=part: way(part))
            theirs[name].append((cpu * len(counts) / len(part), wall * len(counts) / len(part)))

    print("| loop | patients drawn | CPU time, loop / `draw_patients` | wall time, loop / `draw_patients` |")
    print("|---|---|---|---|")
    for name, times in theirs.items():
        ratios = np.array(times) / np.array(ours)
        print(f"| {name} | {len(counts[: ways[name][1]])} | {summary(ratios[:, 0])} | {summary(ratios[:, 1])} |")
    cpu = np.median(np.array(ours)[:, 0])
    print(f"\n`draw_patients` itself: {cpu:.2f} s of CPU, {1e9 * cpu / counts.sum():.0f} ns a cell.")


class Loops:
    """Patient by patient, as one would write it with NumPy; rows go into an array that is there already."""

    def __init__(self, components: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> None:
        self.rng = rng
        self.legacy = np.random.RandomState(0)
        self.order = np.argsort(components, kind="stable").astype(np.int32)
        self.sizes = np.bincount(components, minlength=counts.shape[1])
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.groups = np.split(self.order, self.starts[1:])
        self.rows = np.zeros(counts.sum(), dtype=np.int32)

    def choice(self, counts: np.ndarray) -> None:
        sizes, choice, end = self.sizes.tolist(), self.rng.choice, 0
        for patient in counts.tolist():
            for group, size, n in zip(self.groups, sizes, patient, strict=True):
                self.rows[end : end + n] = group[choice(size, n, replace=False, shuffle=False)]
                end += n

    def legacy_choice(self, counts: np.ndarray) -> None:
        sizes, choice, end = self.sizes.tolist(), self.legacy.choice, 0
        for patient in counts.tolist():
            for group, size, n in zip(self.groups, sizes, patient, strict=True):
                self.rows[end : end + n] = group[choice(size, n, replace=False)]
                end += n

    def redraw(self, counts: np.ndarray) -> None:
        end = 0
        for patient in counts:
            starts, sizes = np.repeat(self.starts, patient), np.repeat(self.sizes, patient)
            positions = starts + self.below(sizes)
            positions.sort()
            # Sorted, the positions of a component stay where the component is.
            while len(twice := np.flatnonzero(positions[1:] == positions[:-1])):
                positions[twice] = starts[twice] + self.below(sizes[twice])
                positions.sort()
            self.rows[end : end + len(positions)] = self.order[positions]
            end += len(positions)

    def below(self, sizes: np.ndarray) -> np.ndarray:
        # Three times faster than `integers` with an array of limits.
        return (self.rng.random(len(sizes)) * sizes).astype(np.int64)

    def with_replacement(self, counts: np.ndarray) -> None:
        end = 0
        for patient in counts:
            positions = np.repeat(self.starts, patient) + self.rng.integers(np.repeat(self.sizes, patient))
            self.rows[end : end + len(positions)] = self.order[positions]
            end += len(positions)


def timed(work: Callable[[], object]) -> Times:
    """Seconds of CPU and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def summary(ratios: np.ndarray) -> str:
    return f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--cells", type=int, default=2_000)
    parser.add_argument("--pool", type=int, default=1_000_000)
    parser.add_argument("--components", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slice", type=int, default=500, help="patients for which the loops draw (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
