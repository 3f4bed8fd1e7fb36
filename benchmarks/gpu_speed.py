"""What a GPU gains: fits of the mixture, epochs and predictions of the classifier, training of encoders

python benchmarks/gpu_speed.py [--rounds 3] [--seed 0]

Needs a CUDA device of torch; torchmil is compared with where it is installed. Every row alternates the other way and
ours, A B A B, and prints the median and range of the ratios of the rounds and the wall time of ours. On the CPU,
products of the mixture have all cores and networks have the one thread that the package trains with.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from mil_speed import BATCH, N_BAGS, draw_patients, from_counts, kinds_of_sizes, make_bags, our_epochs, torchmil_epochs
from mixture_rows import N_COMPONENTS, draw
from threadpoolctl import threadpool_limits

from repatient.mil import Bags, MILClassifier
from repatient.mixture import GaussianMixture
from repatient.views import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Work = Callable[[], object]

N_ROWS = 1_000_000
N_PATIENTS = 2_000
EPOCHS = 3
STEPS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(1, "torch has no CUDA device here.\n")
    print(f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores, torch {torch.__version__}, ", end="")
    print(f"{arguments.rounds} rounds, seed {arguments.seed}.\n")
    print("| case | against | ratio of wall times, median (range) | ours on the GPU, s |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(arguments.seed)
    # Whatever the environment says, as it does where a page is written.
    with threadpool_limits(limits=os.cpu_count()):
        for cases in (mixtures(arguments.seed), epochs(rng), predictions(rng), encoders(rng)):
            for name, peer, other, ours in cases:
                print(f"| {name} | {peer} | {compare(other, ours, arguments.rounds)} |", flush=True)
    if find_spec("torchmil") is None:
        print("\nNot compared with torchmil: it is not installed.")
    print(f"\n{agreement(arguments.seed)}")


def compare(other: Work, ours: Work, rounds: int) -> str:
    """Columns of the table, after one round that does not count."""
    times = np.array([[seconds(other), seconds(ours)] for _ in range(rounds + 1)])[1:]
    ratios = times[:, 0] / times[:, 1]
    return f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f}) | {np.median(times[:, 1]):.3g}"


def seconds(work: Work) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def fit(rows: np.ndarray, seed: int, device: str, **settings: int) -> GaussianMixture:
    return GaussianMixture(N_COMPONENTS, random_state=seed, device=device, progress=False, **settings).fit(rows)


def mixtures(seed: int) -> Iterator[tuple[str, str, Work, Work]]:
    rows = draw(N_ROWS, 32, seed=seed).rows
    # A number of passes, so that both do the same whatever the rounding.
    ours, other = (partial(fit, rows, seed, device, tol=0.0, max_iter=5) for device in ("cuda", "cpu"))
    yield f"starts and 5 passes of EM, {N_ROWS:,} rows, d=32, K={N_COMPONENTS}", "the CPU", other, ours


def epochs(rng: np.random.Generator) -> Iterator[tuple[str, str, Work, Work]]:
    for d in (32, 384):
        for kind, sizes in kinds_of_sizes(rng).items():
            bags = make_bags(rng, d, sizes)
            name = f"{EPOCHS} epochs, {N_BAGS} bags ({kind}), d={d}, batches of {BATCH}"
            ours = our_epochs(bags, EPOCHS, "cuda")
            yield name, "the CPU", our_epochs(bags, EPOCHS), ours
            if find_spec("torchmil") is not None:
                yield name, "torchmil on the GPU", torchmil_epochs(bags, EPOCHS, "cuda"), ours


def predictions(rng: np.random.Generator) -> Iterator[tuple[str, str, Work, Work]]:
    for d in (32, 384):
        pool, counts = draw_patients(rng, d, N_PATIENTS)
        bags = Bags.from_codes(pool, np.arange(len(pool)) % 40, 40)
        y = np.arange(40) % 2
        models = [
            MILClassifier(max_epochs=1, validation_fraction=0.0, device=device).fit(bags, y)
            for device in ("cpu", "cuda")
        ]
        other, ours = (partial(from_counts, model, pool, counts) for model in models)
        yield f"predicting {N_PATIENTS:,} generated patients from {len(pool):,} cells, d={d}", "the CPU", other, ours


def encoders(rng: np.random.Generator) -> Iterator[tuple[str, str, Work, Work]]:
    views = {
        "vectors of 2,000": rng.standard_normal((4000, 2000), dtype=np.float32),
        "images of 3 × 32 × 32": rng.random((4000, 3, 32, 32), dtype=np.float32),
    }
    partner = rng.standard_normal((4000, 30), dtype=np.float32)
    for name, rows in views.items():
        other, ours = (
            partial(Encoder(n_steps=STEPS, device=device, progress=False).fit, rows, partner)
            for device in ("cpu", "cuda")
        )
        yield f"{STEPS} steps of an encoder of {name}", "the CPU", other, ours


def agreement(seed: int) -> str:
    """How far apart whole fits on both are."""
    rows = draw(N_ROWS // 10, 32, seed=seed).rows
    ours, other = (fit(rows, seed, device).score(rows) for device in ("cuda", "cpu"))
    return f"Mean log-likelihood of whole fits to {len(rows):,} rows, GPU minus CPU: {ours - other:.1e}."


if __name__ == "__main__":
    main()
