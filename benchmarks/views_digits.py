"""Synthetic privileged information on digit tiles, where all is known: errors of every arm, and their ratios.

python benchmarks/views_digits.py [--seeds 3] [--steps 500] [--translator-steps 2000] [--pairs 100]

Two views of scikit-learn's 1,797 digits. View A, 3 × 16 × 16: the digit in a random colour, on a background of smooth random
colours, with pieces of another digit across it and noise. View B, 1 × 16 × 16: the digit alone. 600 digits have view A, 600
others view B, 597 are tested on, and every seed deals them anew. Synthetic partners of the 600 tiles A come from a
CycleGAN that saw no pair ("unpaired"), and from a regression on 100 pairs ("pairs"). Encoders are trained on the 600 tiles A
with one budget; "authentic_few" has 100 measured pairs at the best of three budgets, chosen on the test tiles, which flatters
it, and "authentic_all" the measured partners of all 600. "ratio" is how many times the error of "synthetic" an arm has.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter, zoom
from sklearn.datasets import load_digits

from repatient.views import ARMS, Comparison, ImageAugmentation, Side, Translator, compare_arms, error_ratios

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_A, N_B = 600, 600
BACKGROUND, CLUTTER, NOISE = 0.5, 0.7, 0.3
# Digits have an up and a down.
AUGMENTATION = ImageAugmentation(flip=False)
ENCODER = {
    "augmentation": AUGMENTATION,
    "partner_augmentation": AUGMENTATION,
    "width": 128,
    "learning_rate": 3e-3,
    "branches": 2,
    "progress": False,
}
# What does not depend on the translator is trained once.
SHARED = tuple(arm for arm in ARMS if arm not in ("synthetic", "shuffled", "translation"))


class Tiles(NamedTuple):
    """Both views and the digit of every tile."""

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    y: NDArray[np.int64]


def main() -> None:
    arguments = parse_arguments()
    start = time.perf_counter()
    frames = [run(seed, arguments) for seed in range(arguments.seeds)]
    results = pd.concat(frames, ignore_index=True)
    for translator in ("unpaired", "pairs"):
        print(
            f"\n## Partners by a translator from {'no pair' if translator == 'unpaired' else f'{arguments.pairs} pairs'}\n"
        )
        report(results[results["translator"].isin([translator, "none"])])
    print(f"\n{arguments.seeds} seeds, {arguments.steps} steps, {time.perf_counter() - start:.0f} s")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500, help="of every encoder")
    parser.add_argument("--translator-steps", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=100)
    return parser.parse_args()


def make_tiles(seed: int) -> Tiles:
    """Both views of all digits, in random order."""
    rng = np.random.default_rng(seed)
    digits = load_digits()
    n = len(digits.target)
    clean = uniform_filter(np.kron(digits.images / 16, np.ones((2, 2))), (0, 2, 2))
    order = rng.permutation(n)
    clean, y = clean[order], digits.target[order]
    pieces = clean[rng.permutation(n)] * (smooth(rng, n, 1)[:, 0] > 0.3)
    rows = (np.arange(16) + rng.integers(-8, 9, (n, 1))) % 16
    columns = (np.arange(16) + rng.integers(-8, 9, (n, 1))) % 16
    pieces = pieces[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    ink, other = rng.uniform(0.6, 1.0, (n, 3, 1, 1)), rng.uniform(-1.0, 1.0, (n, 3, 1, 1))
    a = BACKGROUND * smooth(rng, n, 3) + ink * clean[:, None] + CLUTTER * other * pieces[:, None]
    a += NOISE * rng.standard_normal(a.shape)
    return Tiles(a.astype(np.float32), clean[:, None].astype(np.float32), y)


def smooth(rng: np.random.Generator, n: int, n_channels: int) -> NDArray[np.float64]:
    """Random fields that vary over a quarter of the side."""
    return zoom(rng.standard_normal((n, n_channels, 4, 4)), (1, 1, 4, 4), order=1)


def run(seed: int, arguments: argparse.Namespace) -> pd.DataFrame:
    """All arms of one seed."""
    tiles = make_tiles(seed)
    known = np.column_stack([np.arange(arguments.pairs)] * 2)
    settings: dict[str, Any] = {"n_steps": arguments.translator_steps, "random_state": seed, "progress": False}
    a, others = tiles.a[:N_A], tiles.b[N_A : N_A + N_B]
    translators = {
        "unpaired": Translator("cyclegan", **settings).fit(a, others),
        "pairs": Translator("regression", **settings).fit(a, tiles.b[:N_A], pairs=known),
    }
    records = []
    for number, (name, translator) in enumerate(translators.items()):
        sides = [side(tiles, of, translator) for of in (slice(N_A), slice(N_A + N_B, None))]
        comparison = Comparison(*sides, paired=np.arange(N_A), authentic=translator.target_features(tiles.b[:N_A]))
        arms = [arm for arm in ARMS if arm not in SHARED or number == 0]
        encoder = {**ENCODER, "n_steps": arguments.steps}
        for arm, errors in compare_arms(
            comparison, arms=arms, n_pairs=arguments.pairs, encoder=encoder, random_state=seed
        ):
            of = "none" if arm in SHARED else name
            records += [
                {"translator": of, "arm": arm, "seed": seed, "metric": metric, "value": value}
                for metric, value in errors.items()
            ]
            print(f"seed {seed}  {of:8}  {arm:14}  {errors['linear']:.3f}  {errors['linear_few']:.3f}", flush=True)
    return pd.DataFrame(records)


def side(tiles: Tiles, of: slice, translator: Translator) -> Side:
    """Some tiles with their synthetic partners."""
    y = tiles.y[of]
    return Side(tiles.a[of], translator.predict_features(tiles.a[of]), y, np.ones(len(y), dtype=bool))


def report(results: pd.DataFrame) -> None:
    """Table of errors and ratios."""
    ratios = error_ratios(results)
    ratios["arm"] = pd.Categorical(ratios["arm"], ARMS)
    table = ratios.set_index(["arm", "metric"]).sort_index().round({"error": 3, "ratio": 2, "lower": 2, "upper": 2})
    print(table.to_string())


if __name__ == "__main__":
    main()
