"""How long training takes to the validation loss that torchmil comes to.

OMP_NUM_THREADS=1 python benchmarks/mil_loss.py [--seeds 3] [--cases d32 d384 wide] [--epochs 30] [--within 0 0.05]

Run it in an environment that has both packages: ``pip install repatient torchmil``. Patients are simulated as in
``waits.py``: ten kinds of cells in other proportions in the two classes. torchmil trains its gated ABMIL on whole patients
in padded batches of 16, with AdamW at the learning rate and weight decay of ours, on cells that are standardised already;
after each epoch the log loss on other patients is computed, which does not count. Its lowest one of all epochs, or one that
is within so many nats of it, is the aim, and its time is that of the epochs to there. Ours is the whole of
``rp.mil.Attention(n_steps=n).fit`` as it is by default, standardisation, checks of the cells and the temperature from
patients left out counted, with the fewest steps of 12, 25, 50, 100, … that come to the aim; where none do, those of the
lowest loss. CPU seconds on one thread.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import torch
from mil_speed import ATTENTION, BATCH, HIDDEN, LEARNING_RATE, WEIGHT_DECAY
from sklearn.metrics import log_loss
from waits import cohort

import repatient as rp

# Patients to train on and to validate with, cells of each, features.
CASES = {"d32": (200, 100, 2000, 32), "d384": (200, 100, 2000, 384), "wide": (20, 40, 5000, 1024)}
STEPS = (12, 25, 50, 100, 200, 400, 800)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--within", type=float, nargs="+", default=[0.0, 0.05], metavar="NATS")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| case | seed | aim | torchmil, epochs | CPU s | ours, steps | loss | CPU s | times |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in given.cases:
        n_train, n_other, n_cells, d = CASES[case]
        name = f"{n_train} patients of {n_cells:,} cells, d = {d:,}"
        for seed in range(given.seeds):
            training, others = patients(n_train, n_cells, d, seed), patients(n_other, n_cells, d, seed + 1000)
            theirs = torchmil(training, others, seed, given.epochs)
            lowest = min(loss for _, loss, _ in theirs)
            found: list[tuple[int, float, float]] = []
            for within in given.within:
                aim = lowest + within
                epochs, _, before = next(run for run in theirs if run[1] <= aim)
                steps, loss, own = ours(training, others, seed, aim, found)
                times = f"{before / own:.1f}" if loss <= aim else "not reached"
                aims = f"{aim:.3f}" + (f" (lowest + {within:g})" if within else " (lowest)")
                print(
                    f"| {name} | {seed} | {aims} | {epochs} | {before:.1f} | {steps} | {loss:.3f} | {own:.1f} | {times} |",
                    flush=True,
                )


def patients(n_patients: int, n_cells: int, d: int, seed: int) -> tuple[rp.mil.Bags, np.ndarray]:
    X = cohort(n_patients, n_cells, d, seed).obsm["X_pca"]
    return rp.mil.Bags.from_codes(X, np.repeat(np.arange(n_patients), n_cells), n_patients), np.arange(n_patients) % 2


def torchmil(training: Any, others: Any, seed: int, n_epochs: int) -> list[tuple[int, float, float]]:
    """Epochs, the loss after them, and their CPU seconds."""
    from torchmil.data import collate_fn
    from torchmil.models import ABMIL

    torch.manual_seed(seed)
    mean, scale = training[0].X.mean(axis=0), training[0].X.std(axis=0)
    sets = []
    for bags, y in (training, others):
        cells = torch.from_numpy((bags.X - mean) / scale).split(bags.sizes.tolist())
        sets.append([{"X": part, "Y": torch.tensor(int(label))} for part, label in zip(cells, y, strict=True)])
    d = training[0].X.shape[1]
    encoder = torch.nn.Sequential(torch.nn.Linear(d, HIDDEN), torch.nn.ReLU())
    model = ABMIL(in_shape=(d,), att_dim=ATTENTION, gated=True, feat_ext=encoder)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    loader = torch.utils.data.DataLoader(sets[0], batch_size=BATCH, shuffle=True, collate_fn=collate_fn)
    runs, seconds = [], 0.0
    for epoch in range(1, n_epochs + 1):
        start = time.process_time()
        for batch in loader:
            optimiser.zero_grad()
            _, parts = model.compute_loss(batch["Y"], batch["X"], batch["mask"])
            sum(parts.values()).backward()
            optimiser.step()
        seconds += time.process_time() - start
        with torch.no_grad():
            logits = torch.cat([model(one["X"][None]).reshape(1) for one in sets[1]])
        runs.append((epoch, log_loss(others[1], torch.sigmoid(logits).numpy()), seconds))
    return runs


def ours(
    training: Any, others: Any, seed: int, aim: float, found: list[tuple[int, float, float]]
) -> tuple[int, float, float]:
    """Steps, loss and CPU seconds of the first training that comes to the aim, else of the lowest loss; known ones first."""
    for number, n_steps in enumerate(STEPS):
        if number == len(found):
            model = rp.mil.Attention(n_steps=n_steps, random_state=seed, device="cpu", progress=False)
            start = time.process_time()
            model.fit(*training)
            seconds = time.process_time() - start
            found.append((n_steps, log_loss(others[1], model.predict_proba(others[0])[:, 1]), seconds))
        if found[number][1] <= aim:
            return found[number]
    return min(found, key=lambda run: run[1])


if __name__ == "__main__":
    main()
