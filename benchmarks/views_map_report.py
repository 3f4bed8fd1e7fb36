"""Tables, figures and sentences of a map of views, from one row an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

mpl.use("Agg")
from matplotlib import pyplot as plt
from views_digits import AS_ON_THE_PAGE, Weakness

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WEAKNESS = list(Weakness._fields)
POINT = [*WEAKNESS, "learnt_from", "n", "labels"]
# Arms without a translator, which every point of the same weakness shares.
SHARED = {"raw": "raw", "single": "single", "authentic_all": "oracle"}
SIMPLER = ("single", "raw", "translation")
# Half an error in a thousand test tiles.
LEAST = 5e-4
FEWEST_SEEDS = 6
HEADLINES = {"single": 4.4, "authentic": 5.6}


def report(frame: pd.DataFrame, settings: Mapping[str, Any], images: Path) -> None:
    """Print the page's figures and draw its images."""
    errors = aligned(frame)
    print(f"Computed with {', '.join(f'{name} = {value}' for name, value in settings.items())}.\n")
    points = errors.groupby(POINT, sort=True)
    tested = [of_point for _, of_point in points if len(of_point) >= FEWEST_SEEDS]
    level = 1 - 0.05 / max(len(SIMPLER) * len(tested), 1)
    rows = [described(dict(zip(POINT, key, strict=True)), of_point, level) for key, of_point in points]
    table = pd.DataFrame(rows)
    print_table(table)
    print_region(table, len(tested))
    print_headlines(table)
    print_checks(errors)
    images.mkdir(parents=True, exist_ok=True)
    draw_weakness(table, images / "views_map_weakness.png")
    draw_pairs(table, images / "views_map_pairs.png")


def aligned(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a point, number of labels and seed, one column an arm; only where all arms that are compared are there."""
    is_shared = frame["learnt_from"] == "nothing"
    shared = frame[is_shared].pivot_table(index=[*WEAKNESS, "labels", "seed"], columns="arm", values="value")
    own = frame[~is_shared].pivot_table(index=[*POINT, "seed"], columns="arm", values="value")
    joined = own.reset_index().merge(
        shared[list(SHARED)].rename(columns=SHARED).reset_index(), on=[*WEAKNESS, "labels", "seed"]
    )
    return joined.rename(columns={"authentic_few": "authentic"})


def described(point: dict[str, Any], of_point: pd.DataFrame, level: float) -> dict[str, Any]:
    """Mean errors of a point, and ratios to SPI with their bounds."""
    row = {**point, "seeds": len(of_point), "spi": of_point["spi"].mean(), "oracle": of_point["oracle"].mean()}
    for arm in (*SIMPLER, "authentic", "synthetic"):
        if arm in of_point and of_point[arm].notna().all():
            row |= {f"{arm}_error": of_point[arm].mean(), **bounds(of_point, arm, "spi", level)}
    row |= bounds(of_point, "single", "oracle", level, name="single_oracle")
    if "authentic_error" in row:
        row |= bounds(of_point, "authentic", "oracle", level, name="authentic_oracle")
    row["ahead"] = len(of_point) >= FEWEST_SEEDS and all(row[f"{arm}_corrected"] > 1 for arm in SIMPLER)
    return row


def bounds(of_point: pd.DataFrame, arm: str, reference: str, level: float, name: str | None = None) -> dict[str, float]:
    """Geometric mean of the ratio of errors, its 95 % interval, and its corrected one-sided bound."""
    logs = np.log(of_point[arm].clip(lower=LEAST)) - np.log(of_point[reference].clip(lower=LEAST))
    mean, n, name = logs.mean(), len(logs), name or arm
    found = {f"{name}_ratio": float(np.exp(mean))}
    error = logs.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    half, one_sided = (stats.t.ppf(q, max(n - 1, 1)) * error for q in (0.975, level))
    ends = {"lower": mean - half, "upper": mean + half, "corrected": mean - one_sided}
    return found | {f"{name}_{end}": float(np.exp(value)) for end, value in ends.items()}


def print_table(table: pd.DataFrame) -> None:
    """One row a point; ratios with their 95 % intervals."""
    for labels, of_labels in table.groupby("labels"):
        print(f"\n## Read from {labels} labels\n")
        print(
            "| view A | partners learnt from | seeds | SPI errs by | oracle | single / SPI | raw / SPI | G(x) / SPI | authentic-n / SPI | ahead of all simpler |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for _, row in of_labels.iterrows():
            ratios = " | ".join(interval(row, arm) for arm in (*SIMPLER, "authentic"))
            ahead = "too few seeds" if row["seeds"] < FEWEST_SEEDS else "yes" if row["ahead"] else "no"
            print(
                f"| {level_name(row)} | {row['n']} {row['learnt_from']} | {row['seeds']} | {row['spi']:.3f} | {row['oracle']:.3f} "
                f"| {ratios} | {ahead} |"
            )


def interval(row: pd.Series, arm: str) -> str:
    if pd.isna(row.get(f"{arm}_ratio", np.nan)):
        return ""
    if row["seeds"] < 2:
        return f"{row[f'{arm}_ratio']:.2f}"
    return f"{row[f'{arm}_ratio']:.2f} ({row[f'{arm}_lower']:.2f} to {row[f'{arm}_upper']:.2f})"


def level_name(row: pd.Series) -> str:
    """What is other than on the page of the digits."""
    usual = AS_ON_THE_PAGE._asdict()
    found = [f"{name} {row[name]:g}" for name in WEAKNESS if not np.isclose(row[name], usual[name])]
    return ", ".join(found) or "as for views_digits"


def print_region(table: pd.DataFrame, n_tested: int) -> None:
    """Where SPI is ahead of every simpler representation."""
    print("\n## Where SPI is ahead of every simpler representation\n")
    if not n_tested:
        print(f"No point has {FEWEST_SEEDS} seeds yet, so that nothing is claimed. Ratios above are what there is.")
        return
    ahead = table[table["ahead"]]
    print(f"{len(ahead)} of {n_tested} points with {FEWEST_SEEDS} seeds or more, by bounds that hold together.\n")
    for _, row in ahead.iterrows():
        least = min(row[f"{arm}_corrected"] for arm in SIMPLER)
        print(f"- {level_name(row)}, {row['n']} {row['learnt_from']}, {row['labels']} labels: at least {least:.2f}.")


def print_headlines(table: pd.DataFrame) -> None:
    """How far the greatest ratios go, and how far they could."""
    print("\n## The greatest ratios, and what bounds them\n")
    for arm, headline in HEADLINES.items():
        there = table.dropna(subset=[f"{arm}_ratio"]) if f"{arm}_ratio" in table else table.iloc[:0]
        if there.empty:
            continue
        best = there.loc[there[f"{arm}_ratio"].idxmax()]
        limit = there.loc[there[f"{arm}_oracle_ratio"].idxmax()]
        reached = "is reached" if best[f"{arm}_ratio"] >= headline else "is not reached anywhere"
        print(
            f"- {arm} / SPI: {best[f'{arm}_ratio']:.2f} at {level_name(best)}, {best['n']} {best['learnt_from']}, {best['labels']} "
            f"labels ({best['seeds']} seeds); {headline} {reached}. The encoder with the measured partners of all 600 tiles "
            f"(oracle) is ahead of {arm} by {limit[f'{arm}_oracle_ratio']:.2f} times at most ({level_name(limit)}, "
            f"{limit['labels']} labels): an encoder that synthetic partners teach as well as measured ones would reach that, and "
            "only the synthetic view beside its embedding can take SPI beyond."
        )


def print_checks(errors: pd.DataFrame) -> None:
    """What is to hold at every point."""
    print("\n## What is to hold at every point\n\n| line | asked | measured |\n|---|---|---|")
    of_points = errors.groupby(POINT)[["spi", "translation", "synthetic"]].mean()
    worst = (of_points["spi"] - of_points["translation"]).max()
    alone = (of_points["synthetic"] - of_points["translation"]).max()
    print(
        f"| error of SPI - error of G(x), greatest over {len(of_points)} points, means of seeds | ≤ 0.010 | {worst:.3f} |"
    )
    print(f"| the same for the embedding alone | | {alone:.3f} |")
    if "shuffled" in errors and errors["shuffled"].notna().any():
        there = errors.dropna(subset=["shuffled"])
        for key, of_point in there.groupby(POINT):
            gain = (of_point["single"] - of_point["shuffled"]).mean()
            noise = 2 * of_point["single"].std(ddof=1) if len(of_point) > 1 else np.nan
            where = level_name(pd.Series(dict(zip(POINT, key, strict=True))))
            print(
                f"| single - shuffled: {where}, {key[-2]} {key[-3]}, {key[-1]} labels, {len(of_point)} seeds | ≤ two sd of single, {noise:.3f} | {gain:.3f} |"
            )


def draw_weakness(table: pd.DataFrame, path: Path) -> None:
    """Ratios of single, raw and translation to SPI as view A gets weaker."""
    table = table[(table["learnt_from"] == "pairs") & (table["n"] == 100)]
    axes_of = [name for name in WEAKNESS if table[name].nunique() > 1]
    if not axes_of:
        return
    labels = sorted(table["labels"].unique())
    figure, axes = plt.subplots(
        len(labels),
        len(axes_of),
        figsize=(3.4 * len(axes_of) + 1, 2.5 * len(labels)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    styles = {
        "single": ("#0072b2", "o"),
        "raw": ("#777777", "s"),
        "translation": ("#d55e00", "^"),
        "authentic": ("#009e73", "D"),
    }
    names = {"single": "single", "raw": "raw", "translation": "G(x)", "authentic": "authentic-100"}
    for ax, (n, name) in zip(axes.flat, [(n, name) for n in labels for name in axes_of], strict=True):
        others = [other for other in WEAKNESS if other != name]
        usual = AS_ON_THE_PAGE._asdict()
        chosen = table[(table["labels"] == n) & np.all([np.isclose(table[o], usual[o]) for o in others], axis=0)]
        chosen = chosen.sort_values(name)
        for arm, (colour, marker) in styles.items():
            spread = [chosen[f"{arm}_ratio"] - chosen[f"{arm}_lower"], chosen[f"{arm}_upper"] - chosen[f"{arm}_ratio"]]
            ax.errorbar(
                chosen[name],
                chosen[f"{arm}_ratio"],
                yerr=np.nan_to_num(spread),
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=1.2,
                capsize=2,
                label=names[arm],
            )
        ax.axhline(1, color="#333333", linestyle="--", linewidth=0.8)
        ax.set_xlabel(name)
        ax.set_title(f"{n} labels", fontsize=9)
        ax.set_yscale("log")
        ax.set_yticks([0.7, 1, 1.5, 2, 3], ["0.7", "1", "1.5", "2", "3"])
        ax.minorticks_off()
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.supylabel("Error / error of SPI", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_pairs(table: pd.DataFrame, path: Path) -> None:
    """Ratio of encoders with n measured pairs alone to SPI that learnt to translate from these pairs."""
    table = table[(table["learnt_from"] == "pairs") & table.get("authentic_ratio", pd.Series(dtype=float)).notna()]
    if table["n"].nunique() < 2:
        return
    figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
    with_pairs = [point for point, of in table.groupby(WEAKNESS) if of["n"].nunique() > 1]
    for colour, labels in zip(("#0072b2", "#d55e00", "#009e73"), sorted(table["labels"].unique()), strict=False):
        for style, point in zip(("-", "--"), with_pairs, strict=False):
            chosen = table[
                (table["labels"] == labels)
                & np.all([np.isclose(table[w], v) for w, v in zip(WEAKNESS, point, strict=True)], axis=0)
            ]
            chosen = chosen.sort_values("n")
            spread = [
                chosen["authentic_ratio"] - chosen["authentic_lower"],
                chosen["authentic_upper"] - chosen["authentic_ratio"],
            ]
            ax.errorbar(
                chosen["n"],
                chosen["authentic_ratio"],
                yerr=np.nan_to_num(spread),
                color=colour,
                linestyle=style,
                marker="o",
                markersize=4,
                capsize=2,
                label=f"{labels} labels, {level_name(chosen.iloc[0])}",
            )
    ax.axhline(1, color="#333333", linestyle=":", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xticks(numbers := sorted(table["n"].unique()), [str(n) for n in numbers])
    ax.minorticks_off()
    ax.set_xlabel("Measured pairs")
    ax.set_ylabel("Error of authentic-n / error of SPI")
    ax.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
