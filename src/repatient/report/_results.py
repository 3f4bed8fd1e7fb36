"""How well it works, of whom, by what, and what generated patients are like."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store, get, pl
from repatient.evaluation import by_split, compare, method_label
from repatient.report._blocks import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

    from repatient.report._cohort import Who
    from repatient.report._request import Request

_EVALUATE = 'rp.tl.evaluate(adata, patient_key="…", label_key="…")'
_LEVEL = 0.05
_COLUMNS = {
    "mean": "mean",
    "sd": "sd",
    "difference": "difference",
    "lower": "from",
    "upper": "to",
    "p_holm": "p (Holm)",
    "measurable": "measurable",
}
_GLOSSARY = (
    "“auto” is the mean of the probabilities of unlike predictors; “+ RECIPE”, and other names after a plus, were trained "
    "on generated patients besides; “null: wrong recipes” and “number of cells only” are controls, which show what can be "
    "had without knowing the classes or the cells."
)
_AUDIT = {
    "reference": "real patients compared",
    "n_real": "real patients",
    "n_generated": "generated patients",
    "generated_auroc": "AUROC, generated from real (.5: cannot be told)",
    "variance_ratio": "variance of generated over that of real (1: alike)",
    "component_auroc": "AUROC of the class within components (.5: assumed)",
    "reidentification": "re-identified",
    "reidentification_chance": "by chance",
    "donor_share_max": "largest share of one donor in a patient",
    "membership_auroc": "AUROC, member of the pool (.5: cannot be told)",
    "notes": "what could not be measured",
}


def summary(
    data: AnnData | MuData, entries: Mapping[str, Mapping[str, Any]], who: Who | None, request: Request
) -> Section:
    """What a reader in a hurry takes away."""
    section = Section("summary", "In short")
    items = []
    if who is not None:
        counts = ", ".join(f"{n} {name}" for name, n in who.table["label"].value_counts(sort=False).items())
        cells = f"{int(who.table['n_cells'].sum()):,} cells"
        items.append(f"{len(who.table)} patients{'' if who.of_values else f' ({counts})'} with {cells}.")
    entry = entries.get("evaluation_key")
    if entry is not None:
        table = compare(entry)
        if "predictions" in entry:
            rows = get.out_of_fold(data, method=request.method, evaluation_key=request.evaluation_key)
            method = str(rows["method"].iloc[0])
            row = table.loc[method]
            items.append(
                f"Patients that were held out are told apart with an AUROC of {row['mean']:.2f} ± {row['sd']:.2f} over "
                f"{rows['split'].nunique()} splits ({method_label(method)}); .5 is guessing, 1 is perfect."
            )
        shown = table[(table["p_holm"] < _LEVEL) & table["measurable"]]
        items.append(
            f"Differences from {method_label(_baseline(table, entry['params']))} that hold after correction: "
            + (", ".join(f"{method_label(str(name))} ({d:+.3f})" for name, d in shown["difference"].items()) or "none")
            + "."
        )
    reference = entries.get("mil_key", {}).get("reference", {})
    if "certainty" in reference:
        items.append(
            f"A class without a patient here is known from another cohort. The patients here get a probability of "
            f"{reference['certainty']:.2f} of their own class."
        )
    if items:
        section.items([*items, "What may not be concluded stands at the end, and is part of the result."])
    else:
        section.call("There is nothing to report on yet.", _EVALUATE)
    return section


def evaluation(data: AnnData | MuData, entry: Mapping[str, Any] | None, request: Request) -> list[Section]:
    """Whether augmentation helps, the scores of each patient, ROC, and calibration."""
    helps = Section("gain", "Do generated patients help?")
    scores = Section("scores", "What each patient was predicted as")
    roc = Section("roc", "How well classes are told apart")
    calibration = Section("calibration", "Can the probabilities be believed?")
    if entry is None:
        helps.call("No evaluation was run.", _EVALUATE)
    else:
        _gain(data, entry, helps, request)
    if entry is None or "predictions" not in entry:
        for section in (scores, roc, calibration):
            section.call("No predictions of held-out patients are stored.", _EVALUATE)
        return [helps, scores, roc, calibration]

    keys: dict[str, Any] = {"method": request.method, "evaluation_key": request.evaluation_key}
    table = get.scores(data, **keys)
    method = str(get.out_of_fold(data, **keys)["method"].iloc[0])
    scores.text(
        f"{len(table)} patients were held out at least once, the method is {method_label(method)}. Each score is the mean over the splits "
        "in which nothing was learnt from the patient; the range is that of 90 % of these splits."
    )
    scores.figure(
        lambda: pl.scores(data, **keys),
        "Mean probability of each patient while held out, with the range over splits. Open dots are predicted as another "
        "class. Patients at the dotted line could have gone either way.",
    )
    scores.table(_of_patients(table), "The same as numbers; “right” is the share of splits with the right class.")
    roc.figure(
        lambda: pl.roc(data, **keys),
        "Sensitivity against false positives, averaged over the splits, with the range of 90 % of them. The straight line is "
        "guessing. A wide band says that a few patients decide.",
    )
    roc.figure(
        lambda: pl.confusion(data, **keys),
        "True classes as rows, predicted ones as columns: share of the row, and below it the number of predictions over all "
        "splits.",
    )
    calibration.figure(
        lambda: pl.calibration(data, **keys),
        "How often what was predicted came true. On the line, a probability may be taken at its word; below it, it promised "
        "too much. Markers that rest on few patients say little.",
    )
    return [helps, scores, roc, calibration]


def _of_patients(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[["label", "predicted", "n_splits", "share_correct"]].astype({"label": str, "predicted": str})
    shown = shown.rename(columns={"label": "class", "n_splits": "splits", "share_correct": "right"})
    for column in table.columns[table.columns.str.startswith("probability_")]:
        name = column.removeprefix("probability_")
        ends = table[[f"lower_{name}", f"upper_{name}"]].to_numpy()
        ranges = [f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else "" for low, high in ends]
        shown[f"probability of {name}"] = [f"{p:.2f}{span}" for p, span in zip(table[column], ranges, strict=True)]
    order = table["label"].cat.codes.to_numpy()
    return shown.iloc[np.argsort(order, kind="stable")]


def _gain(data: AnnData | MuData, entry: Mapping[str, Any], section: Section, request: Request) -> None:
    params, results = entry["params"], entry["results"]
    section.text(_setting(params, results["split"].nunique()))
    for predictor, augmented in _pairs(list(dict.fromkeys(results["method"].astype(str)))).items():
        part = {**entry, "results": results[results["method"].isin([predictor, *augmented])]}
        section.text(f"Added to {method_label(predictor)} {_verdict(compare(part, baseline=predictor), predictor)}")
    table = compare(entry)
    baseline = _baseline(table, params)
    section.text(f"All methods against {method_label(baseline)} {_verdict(table, baseline)}")
    section.figure(
        lambda: pl.evaluation(data, evaluation_key=request.evaluation_key),
        "Left, the difference of each method from the baseline: small dots are splits, the large one their mean with its 95 % "
        "interval, filled only where the interval excludes 0 (one by one; the text above corrects for their number). Right, "
        "the AUROC itself. What lies on the line at 0 is as good as the baseline; the controls should lie left of it.",
    )
    section.text(_GLOSSARY)
    section.table(
        table[list(_COLUMNS)].rename(columns=_COLUMNS, index=method_label),
        f"AUROC over the splits, and differences from {method_label(baseline)} with 95 % intervals (corrected resampled t-test). A "
        "difference that is the same in all splits, or over a handful of them, is not measurable.",
    )
    metrics = [str(name) for name in dict.fromkeys(results["metric"]) if name != "auroc"]
    others = {name: by_split(results, name) for name in metrics}
    means = pd.DataFrame({name.replace("_", " "): values.mean() for name, values in others.items()})
    if metrics:
        section.table(
            means.rename(index=method_label).rename_axis("method"),
            "Other measures, means over the splits; less is better of Brier and log loss.",
        )


def _setting(params: Mapping[str, Any], n_splits: int) -> str:
    """How the evaluation was done, in a sentence."""
    scenario, share = str(params.get("scenario", "full")), float(params["test_fraction"])
    how = {
        "full": "all others are trained on",
        "low_data": f"{params.get('n_patients')} patients of each class are trained on",
        "missing_class": f"all others but those of class {params.get('missing_class')} are trained on",
    }.get(scenario, f"the scenario is {scenario}")
    return (
        f"In each of {n_splits} random splits by donors, {share:.0%} of the patients are held out and {how}; everything is "
        "fitted on the latter alone. No held-out patient decides on anything."
    )


def _pairs(methods: list[str]) -> dict[str, list[str]]:
    """Predictors that were run alone, with what they were augmented by."""
    found: dict[str, list[str]] = {}
    for name in methods:
        predictor, plus, _ = name.partition("+")
        if plus and predictor in methods:
            found.setdefault(predictor, []).append(name)
    return found


def _baseline(table: pd.DataFrame, params: Mapping[str, Any]) -> str:
    usual = str(params.get("baseline"))
    return usual if usual in table.index else str(table.index[0])


def _verdict(table: pd.DataFrame, baseline: str) -> str:
    """Who is better than, worse than or not told apart from a baseline."""
    others = table.drop(index=baseline)
    shown = (others["p_holm"] < _LEVEL).to_numpy(dtype=bool)
    gain = others["difference"].to_numpy(dtype=np.float64)
    measurable = others["measurable"].to_numpy(dtype=bool)
    groups = {
        "better": others[shown & (gain > 0)],
        "worse": others[shown & (gain < 0)],
        "no difference shown": others[measurable & ~shown],
        "not measurable": others[~measurable],
    }
    parts = [
        f"{words}: {', '.join(f'{method_label(str(name))} ({row.difference:+.3f})' for name, row in of_group.iterrows())}"
        for words, of_group in groups.items()
        if len(of_group)
    ]
    mean = float(table.loc[baseline, "mean"])
    return f"(AUROC {mean:.3f}) – {'; '.join(parts) or 'nothing else was run'}."


def drivers(
    data: AnnData | MuData, entries: Mapping[str, Mapping[str, Any]], who: Who | None, request: Request
) -> Section:
    """What the score of the trained model comes from, component by component."""
    section = Section("drivers", "What drives the score")
    entry = entries.get("mil_key")
    if entry is None:
        section.call("No model was trained on this object.", 'rp.tl.mil(adata, patient_key="…", label_key="…")')
        return section
    section.text(
        "The model was trained on these patients, so that its own predictions of them say nothing about how good it is; "
        "the sections above do."
    )
    kind = next((name for name in ("contribution", "attention") if f"{request.mil_key}_{name}" in data.obs), None)
    if kind is None:
        section.call("No share of the cells in the score is stored.", "rp.tl.explain(adata, model)")
    elif "gmm_key" not in entries or request.gmm_key not in data.obs:
        section.call("Cells have no components that their shares could be gathered by.", "rp.tl.gmm(adata)")
    elif who is not None:
        section.table(
            _by_component(data, f"{request.mil_key}_{kind}", request.gmm_key, who),
            f"Share of each component in the cells of a patient, and its {kind}, averaged over the patients of a class. "
            f"A component whose {kind} is far above its share of the cells is what the model looks at.",
        )
    history = entry.get("history")
    if history is not None and len(history):
        section.figure(
            lambda: pl.history(data, mil_key=request.mil_key),
            "Loss while training. A validation loss that rises while the training loss falls says that patients were learnt "
            "by heart.",
        )
    return section


def _by_component(data: AnnData | MuData, column: str, gmm_key: str, who: Who) -> pd.DataFrame:
    """Shares of cells and of a column of ``obs``, per component, averaged over the patients of each class."""
    cells = pd.DataFrame(
        {
            "patient": _store.as_names(_store.obs_column(data, who.patient_key, "patient_key"), "patient_key"),
            "component": _store.obs_column(data, gmm_key, "gmm_key").astype(str).to_numpy(),
            "weight": _store.obs_column(data, column, "mil_key").to_numpy(dtype=np.float64),
        }
    )
    what = column.rpartition("_")[2]
    of_patient = cells.groupby(["patient", "component"])["weight"].agg(["size", "sum"]).unstack(fill_value=0)
    shares = {"cells": of_patient["size"].div(of_patient["size"].sum(axis=1), axis=0), what: of_patient["sum"]}
    label = (
        pd.Series(pd.Categorical(["all"] * len(who.table)), who.table.index) if who.of_values else who.table["label"]
    )
    columns = {
        f"{kind}, {name}": frame.loc[label.index[(label == name).to_numpy()]].mean()
        for name in label.cat.categories
        for kind, frame in shares.items()
    }
    table = pd.DataFrame(columns).rename_axis("component").rename(_store.component_names(data, gmm_key))
    return table.loc[sorted(table.index, key=lambda name: (len(name), name))]


def generated(data: AnnData | MuData, entry: Mapping[str, Any] | None, request: Request) -> Section:
    """Realism and privacy of generated patients."""
    section = Section("generated", "Realism and privacy of generated patients")
    if entry is None:
        section.call("Generated patients were not audited.", "rp.tl.generate(adata, …); rp.tl.audit(adata)")
        return section
    measures = entry["measures"]
    shown = {column: words for column, words in _AUDIT.items() if column in measures}
    section.table(
        measures[list(shown)].rename(columns=shown).T.rename_axis("measure"), "What the audit measured, class by class."
    )
    captions = {
        "patients": "Real and generated patients by the means of their cells. Generated ones should lie among the real ones "
        "and be as far apart.",
        "auroc": "How well they can be told apart. Near .5, not at all; shaded is .3 to .7.",
        "variance": "Whether generated patients vary as much as real ones: 1 is alike, below they are too alike.",
        "shares": "What they give away: far above the stroke (chance), a generated patient can be traced to its main donor.",
    }
    for kind, caption in captions.items():
        section.figure(partial(pl.audit, data, kind=kind, audit_key=request.audit_key), caption)
    return section


def recipes(data: AnnData | MuData, entry: Mapping[str, Any] | None, request: Request) -> Section:
    """What patients of each class are made of."""
    section = Section("recipes", "What the classes are made of")
    if entry is None:
        section.call(
            "No recipes were learnt.", 'rp.tl.gmm(adata); rp.tl.recipes(adata, patient_key="…", label_key="…")'
        )
        return section
    section.figure(
        lambda: pl.recipes(data, recipes_key=request.recipes_key),
        "Mean share of each component in a patient of a class; whiskers span 80 % of its patients. Look for components whose "
        "whiskers hardly overlap: there the classes differ.",
    )
    return section
