"""Tables of arms and lines of what is to hold, in Markdown, for the benchmarks of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

METRICS = {"linear": "linear, all labels", "linear_few": "linear, few labels", "knn": "15 neighbours"}


class Line(NamedTuple):
    """A figure, what was asked of it, and whether that was met."""

    what: str
    asked: str
    measured: str
    met: bool


def at_least(what: str, value: float, bound: float) -> Line:
    return Line(what, f"≥ {bound:.2f}", f"{value:.2f}", met=value >= bound)


def at_most(what: str, value: float, bound: float) -> Line:
    return Line(what, f"≤ {bound:.3f}", f"{value:.3f}", met=value <= bound)


def ratio(table: pd.DataFrame, arm: str, *, metric: str = "linear") -> float:
    """How many times the error of the reference an arm has."""
    return float(_row(table, arm, metric)["ratio"])


def mean_error(table: pd.DataFrame, arm: str, *, metric: str = "linear") -> float:
    """Mean error of an arm over seeds."""
    return float(_row(table, arm, metric)["error"])


def print_table(title: str, ratios: pd.DataFrame, results: pd.DataFrame, translator: str | None = None) -> None:
    """One row an arm: error and its standard deviation over seeds, and the ratio with its interval, for each metric."""
    if translator is not None:
        results = results[results["translator"].isin([translator, "none"])]
    spread = results.groupby(["metric", "arm"], observed=True)["value"].std()
    print(f"\n## {title}\n")
    print("| arm | " + " | ".join(f"{name}: error | ratio" for name in METRICS.values()) + " |")
    print("|---" * (1 + 2 * len(METRICS)) + "|")
    for arm in dict.fromkeys(ratios["arm"]):
        cells = []
        for metric in METRICS:
            row = _row(ratios, arm, metric)
            cells.append(f"{row['error']:.3f} ± {spread[metric, arm]:.3f}")
            cells.append(
                f"{row['ratio']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})" if arm != "synthetic" else "1"
            )
        print(f"| {arm} | {' | '.join(cells)} |")


def print_lines(lines: list[Line]) -> None:
    """What was asked, what was measured, and whether it was met."""
    print("\n## What was asked\n\n| line | asked | measured | met |\n|---|---|---|---|")
    for line in lines:
        print(f"| {line.what} | {line.asked} | {line.measured} | {'yes' if line.met else '**no**'} |", flush=True)


def _row(table: pd.DataFrame, arm: str, metric: str) -> pd.Series:
    return table[(table["arm"] == arm) & (table["metric"] == metric)].iloc[0]
