"""How fast the classifier trains and predicts, as ratios to what one would do otherwise.

OMP_NUM_THREADS=1 python benchmarks/mil_speed.py [--rounds 5] [--seed 0]

Run it in an environment that has both packages: ``pip install repatient torchmil``. Without torchmil its rows are left
out. Every row alternates the other way and ours, A B A B, on one thread, and prints the median and range of the ratios
of the rounds, of wall time and of CPU time.

An epoch of both is to a large part the same matrix products, which bounds what can be gained where bags are of one
size; where sizes vary, padding is computed on, too, and patients vary: log-normal sizes are those of a cohort in which
one patient in six gave less than half of the median. Both see whole patients here, and ours passes over all of them
once more at the end, to standardise what it pools; by default its steps see 128 cells of a patient, see
``mil_loss.py``. Generated patients share the encoding of their cells, so that the number of times a cell is drawn on
average is about the most that can be gained: 12.5 with 500 patients, 50 with 2,000.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from importlib.util import find_spec
from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from repatient.mil import Bags, MILClassifier
from repatient.mil._batches import LabelledBags
from repatient.mil._network import GatedAttentionNetwork
from repatient.mil._train import Schedule, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Work = Callable[[], object]

N_BAGS, BAG_SIZE, BATCH, EPOCHS = 200, 2000, 16, 4
HIDDEN, ATTENTION = 64, 32
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
N_PASSES, N_BAGS_OF_PASSES = 50, 50
POOL, PATIENT_SIZE = 20_000, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{arguments.rounds} rounds, torch {torch.__version__}, encoder of {HIDDEN}, attention of {ATTENTION} units\n"
    )
    print("| case | against | wall time, median (range) | CPU time, median (range) | ours, s |")
    print("|---|---|---|---|---|")
    for name, peer, other, ours in cases(np.random.default_rng(arguments.seed)):
        print(f"| {name} | {peer} | {compare(other, ours, arguments.rounds)} |", flush=True)
    if find_spec("torchmil") is None:
        print("\nNot compared with torchmil: it is not installed.")


def cases(rng: np.random.Generator) -> Iterator[tuple[str, str, Work, Work]]:
    """Name, the other way, its work and ours."""
    for d in (32, 384):
        for kind, sizes in kinds_of_sizes(rng).items():
            bags = make_bags(rng, d, sizes)
            if find_spec("torchmil") is not None:
                name = f"{EPOCHS} epochs, {N_BAGS} bags of {BAG_SIZE:,} cells ({kind}), d={d}, batches of {BATCH}"
                yield name, "torchmil ABMIL, padded batches", torchmil_epochs(bags, EPOCHS), our_epochs(bags, EPOCHS)
    for d in (32, 384):
        bags = make_bags(rng, d, rng.integers(500, 3501, N_BAGS_OF_PASSES))
        model = fit_briefly(bags)
        name = f"{N_PASSES} dropout passes, {N_BAGS_OF_PASSES} bags of {BAG_SIZE:,} cells, d={d}"
        yield name, "as many whole passes", partial(whole_passes, model, bags), partial(model.predict_proba_mc, bags)
    for d in (32, 384):
        for n_patients in (500, 2000):
            pool, counts = draw_patients(rng, d, n_patients)
            model = fit_briefly(Bags.from_codes(pool, np.arange(POOL) % 40, 40))
            name = f"predicting {n_patients:,} generated patients of {PATIENT_SIZE} from {POOL:,} cells, d={d}"
            yield (
                name,
                "copies of the cells",
                partial(from_copies, model, pool, counts),
                partial(from_counts, model, pool, counts),
            )


def compare(other: Work, ours: Work, rounds: int) -> str:
    """Columns of the table, after one round that does not count."""
    times = np.array([[measure(other), measure(ours)] for _ in range(rounds + 1)])[1:]
    ratios = times[:, 0] / times[:, 1]
    columns = [f"{np.median(r):.1f} ({r.min():.1f} to {r.max():.1f})" for r in ratios.T]
    return f"{columns[0]} | {columns[1]} | {np.median(times[:, 1, 0]):.3g}"


def measure(work: Work) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def kinds_of_sizes(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Sizes of bags: all the same, even over a range, and as patients have them."""
    return {
        "equal": np.full(N_BAGS, BAG_SIZE),
        "500 to 3,500": rng.integers(500, 3501, N_BAGS),
        "log-normal, sd .7": np.exp(rng.normal(0.0, 0.7, N_BAGS)),
    }


def make_bags(rng: np.random.Generator, d: int, sizes: np.ndarray) -> Bags:
    """Bags of noise; how long an epoch takes does not depend on what is learnt."""
    # The same number of cells whatever the sizes.
    sizes = np.maximum(1, np.round(sizes * BAG_SIZE / sizes.mean())).astype(np.int64)
    X = rng.standard_normal((sizes.sum(), d), dtype=np.float32)
    return Bags(X, np.arange(len(X)), np.r_[0, np.cumsum(sizes)])


def labels(n_bags: int) -> np.ndarray:
    return np.arange(n_bags) % 2


def our_epochs(bags: Bags, n_epochs: int = 1, device: str = "cpu") -> Work:
    """Epochs of the training loop of ``MILClassifier``, on standardised cells."""
    generator = torch.Generator().manual_seed(0)
    network = GatedAttentionNetwork(
        bags.X.shape[1], 2, hidden=HIDDEN, attention_hidden=ATTENTION, n_layers=1, dropout=0.5, generator=generator
    ).to(device)
    labelled = LabelledBags.of(bags, labels(len(bags)), n_classes=2, balanced=True)
    n_steps = n_epochs * -(-len(bags) // BATCH)
    plan = Schedule(
        LEARNING_RATE,
        WEIGHT_DECAY,
        BATCH,
        cells_per_step=None,
        n_steps=n_steps,
        max_epochs=None,
        patience=n_steps,
        progress=False,
    )
    return partial(train, network, labelled, None, plan, generator)


def torchmil_epochs(bags: Bags, n_epochs: int = 1, device: str = "cpu") -> Work:
    """The same with torchmil: its model, its padding collate, a data loader and AdamW of torch."""
    from torchmil.data import collate_fn
    from torchmil.models import ABMIL

    d = bags.X.shape[1]
    parts = torch.from_numpy(bags.X).split(bags.sizes.tolist())
    data = [{"X": part, "Y": torch.tensor(int(y))} for part, y in zip(parts, labels(len(bags)), strict=True)]
    encoder = torch.nn.Sequential(torch.nn.Linear(d, HIDDEN), torch.nn.ReLU())
    model = ABMIL(in_shape=(d,), att_dim=ATTENTION, gated=True, feat_ext=encoder).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, collate_fn=collate_fn)

    def epochs() -> None:
        for batch in chain.from_iterable(repeat(loader, n_epochs)):
            optimiser.zero_grad()
            _, losses = model.compute_loss(*(batch[name].to(device) for name in ("Y", "X", "mask")))
            sum(losses.values()).backward()
            optimiser.step()

    return epochs


def fit_briefly(bags: Bags) -> MILClassifier:
    model = MILClassifier(
        hidden=HIDDEN,
        attention_hidden=ATTENTION,
        n_passes=N_PASSES,
        max_epochs=1,
        validation_fraction=0.0,
        device="cpu",
    )
    return model.fit(bags, labels(len(bags)))


@torch.no_grad()
def whole_passes(model: MILClassifier, bags: Bags) -> np.ndarray:
    """Every pass encodes, pools and classifies all bags, batch by batch; cells are standardised once."""
    network, cells = model._network, torch.from_numpy(model._standardize(bags.X))
    generator, sizes = torch.Generator().manual_seed(0), torch.from_numpy(bags.sizes)
    passes = []
    for _ in range(model.n_passes):
        logits = []
        for start in range(0, len(bags), BATCH):
            stop = min(start + BATCH, len(bags))
            instances = cells[bags.indptr[start] : bags.indptr[stop]]
            masks = network.draw_masks(stop - start, generator)
            logits.append(network(instances, sizes[start:stop], masks))
        passes.append(torch.softmax(torch.cat(logits) / model.temperature_, dim=1).numpy())
    return np.stack(passes)


def draw_patients(rng: np.random.Generator, d: int, n_patients: int) -> tuple[np.ndarray, sparse.csc_array]:
    """A pool of cells, and how many times each is in each generated patient."""
    rows = rng.integers(0, POOL, n_patients * PATIENT_SIZE)
    bounds = np.arange(n_patients + 1) * PATIENT_SIZE
    counts = sparse.csc_array((np.ones(len(rows), dtype=np.int32), rows, bounds), shape=(POOL, n_patients))
    counts.sum_duplicates()
    return rng.standard_normal((POOL, d), dtype=np.float32), counts


def from_counts(model: MILClassifier, pool: np.ndarray, counts: sparse.csc_array) -> np.ndarray:
    return model.predict_proba(Bags.from_counts(pool, counts))


def from_copies(model: MILClassifier, pool: np.ndarray, counts: sparse.csc_array) -> np.ndarray:
    """The same patients, each with cells of its own."""
    rows = np.repeat(counts.indices, counts.data)
    return model.predict_proba(Bags(pool[rows], np.arange(len(rows)), np.arange(counts.shape[1] + 1) * PATIENT_SIZE))


if __name__ == "__main__":
    main()
