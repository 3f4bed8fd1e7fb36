"""What a model owes to other cohorts and to generated patients, and what speaks against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient.report._blocks import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHECK = {
    "distance": "shared class, distance",
    "distance_by_chance": "by chance",
    "between_classes": "its classes, distance",
    "class_p_value": "p, its classes alike",
    "shift_p_value": "p, no shift",
    "odds": "odds by the patients here",
    "weight": "weight",
}
_PATIENTS = {
    "reference": "reference",
    "class": "class",
    "n_patients": "patients",
    "mean_probability": "mean probability of it",
    "share_recognised": "recognised",
}


def elsewhere(entry: Mapping[str, Any] | None) -> list[Section]:
    """A section where the model learnt from elsewhere, and none where it did not."""
    found, section = (
        {} if entry is None else entry,
        Section("elsewhere", "What other cohorts and generated patients contribute"),
    )
    if "reference" in found:
        reference = found["reference"]
        section.text("The model was trained with what other cohorts know:")
        section.items([str(sentence) for sentence in reference["used"]])
        check = reference["check"]
        if len(check):
            shown = {name: words for name, words in _CHECK.items() if name in check}
            section.table(
                check[list(shown)].rename(columns=shown).rename_axis("reference"),
                "Before it was used: how far the compositions of the class that both have lie apart (share of cells), beside what "
                "chance makes of so few patients and how far the reference's own classes lie apart; whether these differ at "
                "all; and how much more probable its members make the patients here than guessing does (above 1: they agree).",
            )
        if "certainty" in reference:
            section.text(
                f"A class has no patient here. Those of the others get a probability of {reference['certainty']:.2f} of their own "
                "class on average, by what has mostly not seen them: that is how sure an answer on one patient may be taken."
            )
        if "patients" in reference:
            table = reference["patients"]
            section.table(
                table[list(_PATIENTS)].rename(columns=_PATIENTS).set_index("reference"),
                "Its own patients, as the model here sees them. It has learnt from some of them.",
            )
    if "threshold" in found:
        table = found["threshold"].set_index("class")
        section.table(
            table.rename(columns={"shift": "taken off", "low": "from", "high": "to"}),
            "No real patient of these classes was here. What was taken off their logit, by generated patients of the other "
            "classes, with its 95 % interval: within it, patients at the threshold could have gone either way.",
        )
    if "generated_check" in found:
        section.table(
            found["generated_check"].set_index("class"),
            "Generated and real patients of one class should get the same answer. Where the model tells them apart (an AUROC "
            "far from .5, a small p), its answer on a class of generated patients alone cannot be trusted.",
        )
    return [section] if section.blocks else []
