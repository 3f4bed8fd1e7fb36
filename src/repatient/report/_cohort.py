"""Who was studied, what was run, and what may not be concluded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from repatient import _store
from repatient._checks import another
from repatient.report._blocks import Section, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

_FEW = 10
_WRITERS = {
    "gmm_key": "rp.tl.gmm",
    "recipes_key": "rp.tl.recipes",
    "evaluation_key": "rp.tl.evaluate",
    "mil_key": "rp.tl.mil",
    "audit_key": "rp.tl.audit",
}


@dataclass(frozen=True)
class Who:
    """The patients of the object, as the results name them.

    Parameters
    ----------
    table
        One row a patient: ``label``, ``donor``, ``n_cells``.
    patient_key, label_key, donor_key
        Columns of ``obs``.
    of_values
        Whether patients have values instead of classes.
    """

    table: pd.DataFrame
    patient_key: str
    label_key: str
    donor_key: str | None
    of_values: bool


def read_who(data: AnnData | MuData, entries: Mapping[str, Mapping[str, Any]]) -> Who | None:
    """The patients, where a result says which columns they are in."""
    for name in ("evaluation_key", "mil_key", "recipes_key"):
        params = entries.get(name, {}).get("params", {})
        if "patient_key" in params and "label_key" in params:
            keys = (params["patient_key"], params["label_key"], params.get("donor_key"))
            of_values = _store.is_continuous(params)
            who = _store.read_recorded_patients(data, params)
            table = _store.patients_frame(who)
            if of_values:
                table["label"] = who.labels
            return Who(table, *keys, of_values)
    return None


def cohort(
    data: AnnData | MuData, who: Who | None, entries: Mapping[str, Mapping[str, Any]], batch_key: str | None
) -> Section:
    """The patients, and what could pass for a difference between classes."""
    section = Section("cohort", "The cohort and its traps")
    if who is None:
        section.call("No result says which columns hold the patients and their classes.", _EVALUATE)
        return section
    table = who.table
    section.table(_by_class(table, of_values=who.of_values), "Patients, their donors and their cells, class by class.")
    if who.of_values:
        section.text(f"Patients have a value, {who.label_key}, instead of a class.")
        return section
    unknown = int(table["label"].isna().sum())
    if unknown:
        section.text(f"{unknown} patients have no class; nothing was learnt from them.")
    counts = table["label"].value_counts()
    small = [f"{name} ({n})" for name, n in counts.items() if n < _FEW]
    if small:
        section.note(
            f"Fewer than {_FEW} patients: {', '.join(small)}. What is said of these classes rests on very few people."
        )
    _donors(section, who)
    _size(section, entries)
    if batch_key is None:
        section.call(
            "Whether batches (runs, sites, plates) go with the classes cannot be seen without their column.",
            'rp.io.write_report(adata, path, batch_key="…")',
        )
    else:
        _batches(section, who, _batch_of_patients(data, who, batch_key), batch_key)
    return section


_EVALUATE = 'rp.tl.evaluate(adata, patient_key="…", label_key="…")'


def _by_class(table: pd.DataFrame, *, of_values: bool) -> pd.DataFrame:
    label = pd.Series("all", table.index) if of_values else table["label"].astype(object)
    unknown = another("no class", label)
    groups = table.groupby(label.where(label.notna(), unknown), observed=True, sort=False)
    cells = groups["n_cells"]
    return pd.DataFrame(
        {
            "patients": groups.size(),
            "donors": groups["donor"].nunique(),
            "cells": cells.sum().map("{:,}".format),
            "fewest of a patient": cells.min(),
            "median": cells.median().map("{:g}".format),
            "most": cells.max(),
        }
    ).rename_axis("class")


def _donors(section: Section, who: Who) -> None:
    if who.donor_key is None:
        section.text(
            "Every patient counts as a person of their own. If one person gave several samples, the scores below are too "
            "good: evaluate again with donor_key."
        )
        return
    samples = who.table["donor"].value_counts()
    several = int((samples > 1).sum())
    section.text(
        f"{len(who.table)} samples come from {len(samples)} donors, {several} of whom gave more than one. A donor is never "
        "on both sides of a split."
    )


def _size(section: Section, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """What the number of cells alone tells, as far as it was measured."""
    results = entries.get("evaluation_key", {}).get("results")
    if results is not None:
        of_size = results[(results["method"] == "size_only") & (results["metric"] == "auroc")]["value"]
        if len(of_size):
            section.text(
                f"The number of cells alone predicts the class with an AUROC of {of_size.mean():.2f} "
                f"(± {of_size.std():.2f} over {len(of_size)} splits; .5: not at all). A method that does no "
                "better may have learnt nothing else."
            )
            return
    section.call(
        "Whether the number of cells alone gives the class away was not measured.",
        'rp.tl.evaluate(adata, …, methods=[…, "size_only"])',
    )


def _batch_of_patients(data: AnnData | MuData, who: Who, batch_key: str) -> pd.Series:
    """Names of the batches of each patient; missing where no cell has one."""
    columns = {"patient": (who.patient_key, "patient_key"), "batch": (batch_key, "batch_key")}
    pairs = pd.DataFrame(
        {name: _store.as_names(_store.obs_column(data, *of), of[1]) for name, of in columns.items()}
    ).drop_duplicates()
    joined = pairs.dropna().groupby("patient")["batch"].agg(lambda names: " and ".join(sorted(names)))
    return joined.reindex(who.table.index)


def _batches(section: Section, who: Who, batch: pd.Series, batch_key: str) -> None:
    crossed = pd.crosstab(batch.rename(batch_key), who.table["label"].rename(None))
    section.table(crossed, f"Patients by {batch_key} and class.")
    one_class = [str(name) for name in crossed.index if (crossed.loc[name] > 0).sum() == 1]
    if len(one_class) == len(crossed):
        section.note(
            f"No {batch_key} has patients of more than one class: whatever sets the classes apart here may be the batch, "
            "and nothing in this page can tell."
        )
    elif one_class:
        section.note(f"Of one class only: {', '.join(one_class)}. There, batch and class cannot be told apart.")


def record(entries: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]) -> Section:
    """Settings, seeds and versions of all results."""
    section = Section("record", "What was run")
    if not entries:
        section.call("There are no results of repatient in the object.", _EVALUATE)
    for name, entry in entries.items():
        params = entry["params"]
        rows = {str(key): written(value) for key, value in params.items()}
        frame = pd.DataFrame({"value": rows}).rename_axis("setting")
        section.table(frame, f'{_WRITERS[name]}, in uns["{keys[name]}"].')
    return section


def limits(who: Who | None, entries: Mapping[str, Mapping[str, Any]], batch_key: str | None) -> Section:
    """What the results do not say."""
    section = Section("limits", "What may not be concluded")
    items = [
        "That the scores hold elsewhere. Patients were held out of this cohort, not of another hospital, machine or "
        "protocol; only a cohort that nobody looked at can show that.",
        "That two methods are equal because no difference was shown. With so few patients, differences smaller than the "
        "intervals cannot be seen.",
        "That a difference between methods is real because one mean is higher. Splits share most of their patients; only "
        "an interval that excludes 0, after correction for the number of methods, counts.",
        "Anything from a probability about a population with other shares of the classes than this cohort.",
        "That what drives the score causes the disease. A classifier finds what goes with the class here, batches, "
        "treatment, age and site included.",
        "That generated patients are evidence. They repeat, in new proportions, what the real ones showed; they add "
        "nothing to the number of patients of a study and belong in no test.",
        "That generated patients are anonymous. They are made of cells of real people, or of points near them; what "
        "could be traced is in the section on privacy, as far as it was measured.",
        "A diagnosis. This page describes a study and was checked by nobody for the care of a patient.",
    ]
    use_rep = entries.get("evaluation_key", {}).get("params", {}).get("use_rep")
    if use_rep is not None:
        items.append(
            f"That the embedding {use_rep} had not seen the held-out patients. Where it was computed on all cells at once, "
            "as a PCA usually is, it had, if without their classes."
        )
    if who is not None and who.donor_key is None:
        items.append("That no person is on both sides of a split, unless every patient is another person.")
    if batch_key is None:
        items.append("That classes and not batches are told apart: no batches were named.")
    section.items(items)
    return section
