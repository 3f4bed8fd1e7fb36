"""Where a synthetic stain pays: two stains of real tissue, a region held out.

pip install --group bench; python benchmarks/views_tissue.py [--seeds 6] [--first-seed 0] [--steps 400] [--translator-steps 600]

The immunohistochemistry image that comes with scikit-image (colon glands, FHL2 in DAB, haematoxylin as counterstain; 512 × 512
pixels) is separated into its stains by colour deconvolution (Ruifrok and Johnston). View A of a tile is haematoxylin, view B is
DAB, 32 × 32 pixels each, at half resolution 16 × 16. The label is which third of the tiles' mean DAB a tile is in, so that **it is
read off view B**: whatever has seen DAB is favoured, and the question is how much of it haematoxylin tells. Thirds are those of
the training tiles.

The image is cut into bands of columns. Tiles of the first 216 are view A to train on, tiles of the next 152 are where unpaired
views B come from, and tiles of the last 136, with a gap of 8 pixels, are tested on: no pixel is in two parts. Training tiles
overlap by half. One image of one section says nothing of other sections; seeds are of the training alone, and so are the intervals.

Arms are those of views_map: "spi" is what is handed on, "authentic" has so many measured pairs alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from views_digits import ENCODER
from views_report import METRICS

from repatient.views import Comparison, ImageAugmentation, Side, Translator, advise, compare_arms, error_ratios

SIDE = 32
# Tissue has no up and down.
AUGMENTATION = ImageAugmentation(intensity=0.6, noise=0.3)
PARTS = {"train": (0, 216), "others": (216, 368), "test": (376, 512)}
ARMS = ["raw", "single", "authentic_few", "translation", "synthetic", "spi", "shuffled", "authentic_all"]


def main() -> None:
    arguments = parse_arguments()
    start = time.perf_counter()
    a, b = stains()
    tiles = {name: (cut(a, *columns), cut(b, *columns)) for name, columns in PARTS.items()}
    edges = np.quantile(tiles["train"][1].mean(axis=(1, 2, 3)), [1 / 3, 2 / 3])
    labels = {name: np.digitize(of_b.mean(axis=(1, 2, 3)), edges) for name, (_, of_b) in tiles.items()}
    counts = ", ".join(f"{len(of)} {name}" for name, of in labels.items())
    print(f"Tiles: {counts}; test tiles a class: {np.bincount(labels['test']).tolist()}.")
    for translator in ("no pair", f"{arguments.pairs} pairs"):
        frames = [run(tiles, labels, seed, arguments, paired=translator != "no pair") for seed in seeds_of(arguments)]
        show(pd.concat(frames, ignore_index=True), translator)
    print(
        f"\n{arguments.seeds} seeds from {arguments.first_seed} on, {arguments.steps} steps, {time.perf_counter() - start:.0f} s"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400, help="of every encoder")
    parser.add_argument("--translator-steps", type=int, default=600)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--labels", type=int, default=30)
    return parser.parse_args()


def seeds_of(arguments: argparse.Namespace) -> range:
    return range(arguments.first_seed, arguments.first_seed + arguments.seeds)


def stains() -> tuple[np.ndarray, np.ndarray]:
    """Haematoxylin and DAB, each in its standard deviations over the image."""
    # Here, so that --help works without what only this benchmark needs.
    from skimage.color import rgb2hed
    from skimage.data import immunohistochemistry

    separated = rgb2hed(immunohistochemistry())
    a, b = (separated[..., channel] / separated[..., channel].std() for channel in (0, 2))
    return a, b


def cut(stain: np.ndarray, start: int, end: int) -> np.ndarray:
    """Overlapping tiles of a band of columns, at half resolution, (n, 1, 16, 16)."""
    band = stain[:, start:end]
    places = [
        (row, column)
        for row in range(0, band.shape[0] - SIDE + 1, SIDE // 2)
        for column in range(0, band.shape[1] - SIDE + 1, SIDE // 2)
    ]
    tiles = np.stack([band[row : row + SIDE, column : column + SIDE] for row, column in places])
    halved = tiles.reshape(len(tiles), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4))
    return halved[:, None].astype(np.float32)


def run(
    tiles: dict[str, tuple[np.ndarray, np.ndarray]],
    labels: dict[str, np.ndarray],
    seed: int,
    arguments: argparse.Namespace,
    *,
    paired: bool,
) -> pd.DataFrame:
    """All arms of one seed."""
    (a, b), (test, _), (_, others) = tiles["train"], tiles["test"], tiles["others"]
    order = np.random.default_rng(seed).permutation(len(a))
    settings = {"n_steps": arguments.translator_steps, "random_state": seed, "progress": False}
    if paired:
        known = np.column_stack([order[: arguments.pairs]] * 2)
        translator = Translator("regression", n_members=2, **settings).fit(a, b, pairs=known)
    else:
        translator = Translator("cyclegan", **settings).fit(a, others)
    sides = [
        Side(rows, translator.predict_features(rows), labels[name], np.ones(len(rows), dtype=bool))
        for name, rows in (("train", a), ("test", test))
    ]
    comparison = Comparison(*sides, paired=order, authentic=translator.target_features(b[order]))
    encoder = {
        **ENCODER,
        "augmentation": AUGMENTATION,
        "partner_augmentation": AUGMENTATION,
        "n_steps": arguments.steps,
    }
    of_arms = compare_arms(
        comparison,
        arms=ARMS,
        n_pairs=arguments.pairs,
        budgets=(0.3, 1.0),
        n_labels=arguments.labels,
        encoder=encoder,
        random_state=seed,
    )
    return pd.DataFrame(
        {"arm": arm, "seed": seed, "metric": metric, "value": value}
        for arm, errors in of_arms
        for metric, value in errors.items()
    )


def show(results: pd.DataFrame, translator: str) -> None:
    """Errors, ratios to SPI, and what to take."""
    print(f"\n## Partners by a translator from {translator}\n")
    ratios = error_ratios(results, reference="spi").set_index(["metric", "arm"])
    print("| arm | " + " | ".join(f"{name}: error | / SPI" for name in METRICS.values()) + " |")
    print("|---" * (1 + 2 * len(METRICS)) + "|")
    for arm in ARMS:
        rows = [ratios.loc[(metric, arm)] for metric in METRICS]
        cells = [f"{row['error']:.3f} | {row['ratio']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})" for row in rows]
        print(f"| {arm} | {' | '.join(cells)} |")
    print()
    for metric, name in METRICS.items():
        print(f"- {name}: {advise(results, metric, n_comparisons=9).sentence}")


if __name__ == "__main__":
    main()
