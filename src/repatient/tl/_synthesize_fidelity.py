"""How well a translator does, measured on what it was not taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import views

if TYPE_CHECKING:
    from repatient.tl._synthesize_inputs import Modality, Split

_MOST_ROWS = 3000


@dataclass(frozen=True)
class Fidelity:
    """Figures, tables and warnings.

    Parameters
    ----------
    figures
        Numbers over all rows; NaN for what could not be measured.
    by_feature
        Correlation of each feature over held-out pairs; None for images and without pairs.
    by_group
        Figures of each group; None without groups.
    composition
        Shares of groups, or of clusters, in both modalities.
    warnings
        What the composition, and the reading of groups, warn of.
    """

    figures: dict[str, float]
    by_feature: pd.DataFrame | None
    by_group: pd.DataFrame | None
    composition: pd.DataFrame
    warnings: list[str]

    def entry(self) -> dict[str, Any]:
        """What ``uns`` holds."""
        tables = {"by_feature": self.by_feature, "by_group": self.by_group, "composition": self.composition}
        return {"fidelity": self.figures, **{name: table for name, table in tables.items() if table is not None}}


def measure(
    translators: list[views.Translator],
    sides: tuple[Modality, Modality],
    parts: Split,
    links: np.ndarray | None,
    random_state: int,
) -> Fidelity:
    """Judge the first translator, beside others of other seeds, on held-out rows where there are some."""
    translator, (source, target) = translators[0], sides
    rng = np.random.default_rng(random_state)
    unseen = np.setdiff1d(np.arange(len(source.rows)), parts.source)
    rows = _drawn(unseen if len(unseen) > 1 else parts.source, rng)
    maps = [one.predict_features(source.rows[rows]) for one in translators]
    known = _drawn(parts.target, rng)
    measured = translator.target_features(target.rows[known])
    figures = {
        "n_held_out_pairs": float(len(parts.judged)),
        "foscttm": np.nan,
        "feature_correlation": np.nan,
        "neighbour_overlap": np.nan,
        "link_correlation": _link_correlation(source.rows[rows], maps[0], links),
        "distribution_match": views.distribution_match(maps[0], measured, random_state),
        "cycle_error_weak": translator.cycle_error(source.rows[rows]),
        "n_seeds": float(len(translators)),
        "seed_agreement": views.agreement(maps) if len(maps) > 1 else np.nan,
    }
    by_feature, of_pairs = None, None
    if len(parts.judged) > 1:
        a = translator.predict_features(source.rows[parts.judged[:, 0]])
        b = translator.target_features(target.rows[parts.judged[:, 1]])
        correlation = views.feature_correlation(a, b)
        figures["foscttm"] = float(views.foscttm(a, b).mean())
        figures["feature_correlation"] = _mean(correlation)
        figures["neighbour_overlap"] = float(views.neighbour_overlap(a, b).mean())
        if source.rows.ndim == 2:
            names = pd.Index([str(name) for name in target.features], name="feature")
            by_feature = pd.DataFrame({"correlation": correlation}, index=names)
        if source.groups is not None:
            of_pairs = views.by_group(a, b, source.groups[parts.judged[:, 0]])
    composition, what = _composition(sides, parts, links, translator, (maps[0], measured), random_state)
    groups = None
    if source.groups is not None:
        groups = _by_group(source.groups[rows], maps[0], measured, target, known, of_pairs, composition)
    warnings = [views.hallucination_warning(composition, what=what)]
    if source.groups is not None and len(unseen) > 1:
        errors, warning = _read_groups(source, parts, rows, maps[0], translator, rng)
        figures |= {f"group_error_{name}": value for name, value in errors.items()}
        warnings.append(warning)
    return Fidelity(figures, by_feature, groups, composition, [one for one in warnings if one is not None])


def _read_groups(
    source: Modality,
    parts: Split,
    unseen: np.ndarray,
    translated: np.ndarray,
    translator: views.Translator,
    rng: np.random.Generator,
) -> tuple[dict[str, float], str | None]:
    """Errors of a linear reader of groups, by the source and by its translation, on rows that nothing was learnt from."""
    known = _drawn(parts.source, rng)
    rows = np.concatenate([known, unseen])
    made = np.concatenate([translator.predict_features(source.rows[known]), translated])
    labels = np.asarray(source.groups)[rows]
    labelled = pd.notna(labels)
    is_test = np.arange(len(rows)) >= len(known)
    return views.simpler_warning(
        {"raw": views.as_read(source.rows[known], source.rows[rows]), "translation": made},
        labels.astype(str),
        training=labelled & ~is_test,
        test=labelled & is_test,
        reference="translation",
    )


def _composition(
    sides: tuple[Modality, Modality],
    parts: Split,
    links: np.ndarray | None,
    translator: views.Translator,
    features: tuple[np.ndarray, np.ndarray],
    random_state: int,
) -> tuple[pd.DataFrame, str]:
    """By groups that both modalities name, else by clusters of what they share, else of the translated rows."""
    source, target = sides
    if source.groups is not None and target.groups is not None:
        return views.compare_groups(source.groups[parts.source], target.groups[parts.target]), "groups"
    if links is not None:
        linked = translator.linked_features(source.rows[parts.source], target.rows[parts.target], links)
        return views.compare_clusters(*linked, random_state), "clusters of linked features"
    return views.compare_clusters(
        *features, random_state
    ), "clusters of translated and measured rows, or the translator has learnt too little"


def _by_group(
    groups: np.ndarray,
    translated: np.ndarray,
    measured: np.ndarray,
    target: Modality,
    known: np.ndarray,
    of_pairs: pd.DataFrame | None,
    composition: pd.DataFrame,
) -> pd.DataFrame | None:
    """Fidelity of pairs, and what translated rows look like, group by group."""
    tables = [] if of_pairs is None else [of_pairs]
    if target.groups is not None:
        look = views.read_as(translated, measured, target.groups[known]).astype(str)
        counts = pd.crosstab(*(pd.Series(column, dtype=object) for column in (groups, look)))
        counts.index = counts.index.astype(str)
        shares = counts.div(counts.sum(axis=1), axis=0)
        own = pd.Series({name: float(shares.loc[name].get(name, 0.0)) for name in shares.index}, dtype=np.float64)
        most = shares.idxmax(axis=1).astype(str)
        tables += [composition, pd.DataFrame({"read_as_own": own, "most_read_as": most})]
    if not tables:
        return None
    table = tables[0].join(tables[1:], how="outer") if len(tables) > 1 else tables[0]
    if "missing" in table:
        table["missing"] = table["missing"].fillna(value=False).astype(bool)
        table["most_read_as"] = table["most_read_as"].fillna("").astype(str)
    table.index.name = "group"
    return table


def _link_correlation(source: np.ndarray, translated: np.ndarray, links: np.ndarray | None) -> float:
    """Mean correlation of linked features, the source's as logarithms, over rows."""
    if links is None:
        return np.nan
    columns = np.asarray(source[:, links[:, 0]], dtype=np.float64)
    values = np.log1p(np.maximum(columns, 0)) if columns.min() >= 0 else columns
    return _mean(views.feature_correlation(values, translated[:, links[:, 1]]))


def _mean(correlation: np.ndarray) -> float:
    """Mean over the features that vary; NaN where none does."""
    there = correlation[~np.isnan(correlation)]
    return float(there.mean()) if len(there) else np.nan


def _drawn(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some of the rows, where there are more than can be compared."""
    return np.sort(rng.permutation(rows)[:_MOST_ROWS])
