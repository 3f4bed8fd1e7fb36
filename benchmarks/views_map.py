"""Where a synthetic second view pays: errors of every arm over weakness, labels, pairs and unpaired numbers.

python benchmarks/views_map.py [--axes background clutter noise occlusion resolution pairs unpaired] [--levels 5] [--seeds 6] [--first-seed 12] [--file FILE] [--jobs 1]

The tiles of digits of views_digits (600 of view A, 600 others that views B come from, 597 tested on), with view A made weaker
in five ways, one at a time: colours of the background, clutter, noise, a grey square that hides a part, and blocks of pixels
that are one. Of one seed,
digits, colours and pieces are the same at every weakness. "single" is an encoder of view A alone, "spi" what is handed on of
one that is taught by synthetic partners: its embedding and, where that loses some of them, the synthetic view beside it.
"authentic" is an encoder taught by so many measured pairs alone, at the best of two budgets chosen on the test tiles, which
flatters it; "oracle" has the measured partners of all 600 tiles, which is what synthetic ones could teach at most; "raw" are the
pixels, "translation" is the synthetic view as features, "shuffled" has the synthetic partners of other tiles. All encoders take
as many steps. One linear probe a representation reads the digit, from 20, 100 or 600 labelled tiles (below 600, means of 10 draws).

Views B of more than 600 unpaired tiles are the 600 digits again, moved by a pixel to each side.

Ratios are geometric means over seeds. Intervals are two-sided, 95 %, by Student's t on the logarithms. SPI is called ahead where
the one-sided bounds of the ratios of *all* simpler representations (single, raw, translation) lie above 1 with Bonferroni's
correction for the three and for the points of the map that have six seeds. What follows from every (point, seed) stands in a
file of JSON lines, and what stands there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from views_digits import AS_ON_THE_PAGE, ENCODER, N_A, N_B, Tiles, Weakness, make_tiles
from views_map_report import report

from repatient.views import Comparison, Side, Translator, represent_arms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

PAGE_IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
# With ten digits, 20 are two of each, the fewest that probes take.
LABELS = (20, 100, 600)
PAIRS, UNPAIRED = 100, 600
WEAKNESS = {
    "background": (0.0, 0.25, 0.5, 1.0, 2.0),
    "clutter": (0.0, 0.35, 0.7, 1.4, 2.8),
    "noise": (0.0, 0.3, 0.8, 1.5, 2.5),
    "occlusion": (0.0, 0.2, 0.35, 0.5, 0.65),
    "resolution": (1, 2, 3, 4, 6),
}
# Where the numbers of pairs and of unpaired tiles are changed: as on the page of the digits, and weaker.
ELSEWHERE = (AS_ON_THE_PAGE, AS_ON_THE_PAGE._replace(noise=1.5))
N_PAIRS = (20, 50, 100, 300, 600)
N_UNPAIRED = (100, 300, 600, 1200, 2400)
AXES = (*WEAKNESS, "pairs", "unpaired")
BUDGETS = (0.3, 1.0)


class Settings(NamedTuple):
    """How much is computed at a point."""

    steps: int
    batch: int
    translator_steps: int
    members: int


class Task(NamedTuple):
    """Arms of one weakness that share a translator, or have none."""

    weakness: Weakness
    learnt_from: str
    n: int

    @property
    def key(self) -> str:
        """Name in the file of results."""
        levels = ",".join(f"{name}={value:g}" for name, value in self.weakness._asdict().items())
        return f"{levels}|{self.learnt_from}={self.n}"


def main() -> None:
    arguments = parse_arguments()
    start = time.perf_counter()
    settings = Settings(arguments.steps, arguments.batch, arguments.translator_steps, arguments.members)
    done = read(arguments.file, settings)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    missing = [
        (task, seed)
        for seed in seeds
        for task in tasks(arguments.axes, arguments.levels)
        if (task.key, seed) not in done
    ]
    compute = joblib.delayed(partial(run, settings=settings))
    results = joblib.Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(compute(*one) for one in missing)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    drop_half_a_line(arguments.file)
    with arguments.file.open("a", encoding="utf-8") as file:
        for number, line in enumerate(results, start=1):
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(
                f"{number} of {len(missing)}: {line['task']} seed {line['seed']} {line['cpu']:.0f} s", file=sys.stderr
            )
    report(pd.DataFrame(records(arguments.file, settings)), settings._asdict(), arguments.images)
    print(f"\n{len(missing)} tasks computed now, {len(done)} read, {time.perf_counter() - start:.0f} s")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", choices=AXES, default=AXES)
    parser.add_argument(
        "--levels", type=int, default=5, help="of each weakness, pair number and unpaired number, the ends among them"
    )
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=12)
    parser.add_argument("--steps", type=int, default=400, help="of every encoder")
    parser.add_argument("--batch", type=int, default=128, help="rows a step of every encoder")
    parser.add_argument("--translator-steps", type=int, default=600)
    parser.add_argument("--members", type=int, default=2, help="of every translator")
    parser.add_argument(
        "--file", type=Path, default=Path("views_map.jsonl"), help="results, to which missing ones are added"
    )
    parser.add_argument("--images", type=Path, default=PAGE_IMAGES, help="folder of the figures")
    parser.add_argument("--jobs", type=int, default=1, help="tasks at a time, each in a process of its own")
    return parser.parse_args()


def tasks(axes: Sequence[str], n_levels: int) -> list[Task]:
    """What the axes are made of, each once."""
    found: list[Task] = []
    weak = [AS_ON_THE_PAGE]
    for name, values in WEAKNESS.items():
        if name in axes:
            weak += [AS_ON_THE_PAGE._replace(**{name: value}) for value in spread(values, n_levels)]
    for weakness in weak:
        found += [Task(weakness, "nothing", 0), Task(weakness, "pairs", PAIRS)]
    for weakness in ELSEWHERE if {"pairs", "unpaired"} & set(axes) else ():
        found.append(Task(weakness, "nothing", 0))
        if "pairs" in axes:
            found += [Task(weakness, "pairs", n) for n in spread(N_PAIRS, n_levels)]
        if "unpaired" in axes:
            found += [Task(weakness, "unpaired", n) for n in spread(N_UNPAIRED, n_levels)]
    return list(dict.fromkeys(found))


def spread(values: tuple[Any, ...], n: int) -> list[Any]:
    """Some of the values, evenly."""
    return [values[i] for i in np.unique(np.linspace(0, len(values) - 1, n).round().astype(int))]


def run(task: Task, seed: int, settings: Settings) -> dict[str, Any]:
    """Errors of the arms of a task with one seed, by number of labels."""
    start = time.process_time()
    tiles = make_tiles(seed, task.weakness)
    comparison, arms = compared(tiles, task, seed, settings)
    encoder = {**ENCODER, "n_steps": settings.steps, "batch_size": settings.batch}
    errors = {}
    of_arms = represent_arms(comparison, arms=arms, n_pairs=task.n, budgets=BUDGETS, encoder=encoder, random_state=seed)
    for arm, representations in of_arms:
        errors[arm] = {str(n): min(error(comparison, one, n, seed) for one in representations) for n in LABELS}
    return {
        "task": task.key,
        "weakness": task.weakness._asdict(),
        "learnt_from": task.learnt_from,
        "n": task.n,
        "seed": seed,
        "settings": settings._asdict(),
        "errors": errors,
        "cpu": time.process_time() - start,
    }


def compared(tiles: Tiles, task: Task, seed: int, settings: Settings) -> tuple[Comparison, list[str]]:
    """Rows with their partners, and the arms of the task."""
    a, b = tiles.a, tiles.b
    common = {
        "n_steps": settings.translator_steps,
        "n_members": settings.members,
        "random_state": seed,
        "progress": False,
    }
    if task.learnt_from == "nothing":
        # No translator; the measured view stands where no arm looks.
        made, arms = b, ["raw", "single", "authentic_all"]
    elif task.learnt_from == "pairs":
        known = np.column_stack([np.arange(task.n)] * 2)
        translator = Translator("regression", **common).fit(a[:N_A], b[:N_A], pairs=known)
        made, arms = translator.predict_features(a), ["translation", "synthetic", "spi", "authentic_few"]
    else:
        translator = Translator("cyclegan", **common).fit(a[:N_A], unpaired(b[N_A : N_A + N_B], task.n))
        made, arms = translator.predict_features(a), ["translation", "synthetic", "spi"]
    if task.n in (PAIRS, UNPAIRED) and task.weakness in ELSEWHERE:
        arms.append("shuffled")
    sides = [
        Side(a[of], made[of], tiles.y[of], np.ones(len(a[of]), dtype=bool))
        for of in (slice(N_A), slice(N_A + N_B, None))
    ]
    return Comparison(*sides, paired=np.arange(N_A), authentic=b[:N_A]), arms


def unpaired(tiles: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """So many views B, beyond those that there are the same moved by a pixel."""
    moved = [np.roll(tiles, (row, column), (2, 3)) for row, column in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))]
    return np.concatenate(moved)[:n]


def error(comparison: Comparison, representation: Any, n_labels: int, seed: int) -> float:
    """Share of test tiles read wrongly by a linear probe."""
    if n_labels >= N_A:
        return comparison.errors(representation, random_state=seed)["linear"]
    return comparison.errors(representation, n_labels=n_labels, random_state=seed)["linear_few"]


def read(path: Path, settings: Settings) -> set[tuple[str, int]]:
    """Tasks and seeds that the file holds."""
    return {(line["task"], line["seed"]) for line in lines_of(path, settings)}


def lines_of(path: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """Whole lines of the file that were computed with these settings."""
    if not path.is_file():
        return
    drop_half_a_line(path)
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["settings"] == settings._asdict():
            yield entry


def drop_half_a_line(path: Path) -> None:
    """Cut off what a killed run left of its last line, which is computed again."""
    content = path.read_bytes() if path.is_file() else b""
    if not content.endswith(b"\n") and content:
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def records(path: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """One row an error."""
    for line in lines_of(path, settings):
        for arm, errors in line["errors"].items():
            for n_labels, value in errors.items():
                yield {
                    **line["weakness"],
                    "learnt_from": line["learnt_from"],
                    "n": line["n"],
                    "seed": line["seed"],
                    "arm": arm,
                    "labels": int(n_labels),
                    "value": value,
                    "cpu": line["cpu"],
                }


if __name__ == "__main__":
    main()
