"""A predictor of few patients, or of classes without any, by what other cohorts know; and how far they are believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repatient._checks import listed
from repatient.mil import Bags, Ensemble, make_predictor
from repatient.mixing._aligned import Aligned, alignment, moved
from repatient.mixing._pooled import pooled
from repatient.mixing._reference_members import BOTH, HERE, UNKNOWN_DONORS, reference_members
from repatient.mixing._trust import Trust, class_signal, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from repatient.mil import Predictor
    from repatient.mixing._reference import Reference

# A reference that is believed less is left out.
LEAST_BELIEVED = 0.1
# How far from guessing to certainty the probability that patients here get of their own class has to be, and of how many.
UNSURE, FEWEST_KNOWN = 1 / 3, 5


class Recognised(NamedTuple):
    """How a predictor sees the patients of a class in a reference, brought to where the patients here lie.

    Members that learn from their cells, or are models of them, have seen these patients.
    """

    reference: str
    name: str
    n_patients: int
    probability: float
    share: float


@dataclass
class Transferred:
    """What came of other cohorts.

    Parameters
    ----------
    predictor
        The fitted predictor.
    used
        What it is made of: a sentence each.
    trust
        What the check found of each reference.
    discrepancy
        Of several references that were pooled, how far each lies from the others, see :class:`repatient.recipe.Pooled`.
    disagreeing
        Those of them that lie farther from the others than chance explains.
    recognised
        Of references whose patients are there: how the predictor sees them, class by class.
    certainty
        Where a class has no patient here: probability that patients of the others get of their own class, the mean of the
        classes with five patients or more; NaN else. What the references send has not seen them.
    """

    predictor: Predictor
    used: list[str]
    trust: dict[str, Trust]
    discrepancy: dict[str, float] = field(default_factory=dict)
    disagreeing: list[str] = field(default_factory=list)
    recognised: list[Recognised] = field(default_factory=list)
    certainty: float = np.nan

    @property
    def concerns(self) -> list[str]:
        """What speaks against believing it: a sentence each, with the numbers and a remedy."""
        found = [f"{listed(self.disagreeing)} disagree with the others"] if self.disagreeing else []
        found += [f"{name}: {concern}" for name, trust in self.trust.items() for concern in trust.concerns]
        predictor: Any = self.predictor
        guessing = 1 / len(predictor.classes_)
        if self.certainty < guessing + UNSURE * (1 - guessing):
            found.append(
                f"the patients here, whose class is known, get a probability of {self.certainty:.2f} of it on average: what was "
                "sent hardly tells the classes apart; more components, fewer dimensions or more patients there may"
            )
        return found

    @property
    def line(self) -> str:
        """All of it in one line."""
        parts = [*self.used, *(f"{name}: {trust.sentence}" for name, trust in self.trust.items())]
        if self.disagreeing:
            parts.append(f"{listed(self.disagreeing)} disagree with the others and weigh less")
        if np.isfinite(self.certainty):
            parts.append(f"the patients here get a probability of {self.certainty:.2f} of their own class")
        return "; ".join(parts)


def fit_with_references(
    bags: Bags,
    y: NDArray[np.int64],
    classes: Sequence[str],
    groups: NDArray[Any],
    references: Sequence[Reference],
    *,
    model: str | Predictor = "auto",
    align: str = "auto",
    check: bool = True,
    alone: Callable[[], Predictor] | None = None,
    device: str = "cpu",
    progress: bool | None = False,
    random_state: int = 0,
) -> Transferred:
    """Train a predictor with what other cohorts know.

    Parameters
    ----------
    bags, y, groups
        The patients, the class of each as a position in ``classes``, and their donors.
    classes
        Names of all classes, rising; some may have no patient here, if a reference knows them.
    references
        The other cohorts.
    model
        ``"auto"`` for the mean of the probabilities of what the references allow: the likelihood ratio of recipes; this
        cohort's members, trained with counterfactual patients; the references' own models, and models of both cohorts'
        patients together where these are there. Any other predictor is trained with counterfactual patients alone.
    align
        See :func:`alignment`.
    check
        Whether references are judged, and weigh less where they are found wanting. Those that are alone in knowing a
        class are used whatever is found.
    alone
        Gives the predictor of the patients here alone, where it is fitted elsewhere too; it is asked for where it counts.
    device, progress
        Of networks.
    random_state
        Seed of everything.

    Returns
    -------
    The predictor, what it is made of, and what the check found.

    Raises
    ------
    ValueError
        If a class is known to nobody, or no reference has a class of this cohort.
    """
    names = np.asarray(classes).astype(str)
    labels, groups = names[y], np.asarray(groups).astype(str)
    _check_known(names, y, references)
    missing = [str(name) for c, name in enumerate(names) if not (y == c).any()]
    merged, found = _merged([_over_shared(part, names) for part in references], names, random_state)
    shared: dict[str, Any] = {"random_state": random_state, "device": device, "progress": progress}
    plain = isinstance(model, str) and model == "auto"
    parts, trust, used = [], {}, []
    places: dict[str, tuple[Reference, Aligned]] = {}
    for part in merged:
        place = alignment(bags, labels, groups, part, align)
        members = reference_members(part, place, bags, y, names, groups, missing, model if not plain else None, shared)
        if not members:
            continue
        if check:
            others = [member for name, member in members if not name.startswith((HERE, BOTH))]
            trust[part.name] = judged(part, place, bags, y, names, groups, others, random_state=random_state)
        parts.append((part, members))
        places[part.name] = (part, place)
    weights, left_out = _weights(parts, trust, missing, np.bincount(y, minlength=len(names)))
    own, total = 1.0 - max(weights, default=0.0), max(sum(weights), 1e-9)
    chosen: list[tuple[str, Any]] = []
    w: list[float] = []
    for (part, members), weight in zip(parts, weights, strict=True):
        if weight <= 0:
            continue
        chosen += [(f"{part.name}: {name}", member) for name, member in members]
        w += [(1 - own) * weight / total * share for share in _shares(members)]
        used.append(f"{part.name}: {', '.join(dict.fromkeys(_kind(name) for name, _ in members))}")
    if not missing and (own > 0 or not chosen):
        by_itself = (
            make_predictor(model, **shared).fit(bags, labels, groups=groups, classes=names)
            if alone is None
            else alone()
        )
        if not chosen:
            used.append("the patients here alone")
            return _result(by_itself, used, trust, found, left_out)
        chosen.append(("here alone", by_itself))
        w.append(own)
        used.append(f"the patients here alone, with a weight of {own:.2f}")
    if not chosen:
        msg = f"`reference`: {listed([part.name for part in references])} say nothing of the classes {listed(names)}."
        raise ValueError(msg)
    predictor = Ensemble.of_fitted(chosen, weights=w, reasons=used, random_state=random_state)
    result = _result(predictor, used, trust, found, left_out)
    if missing:
        p = predictor.predict_proba(bags)[np.arange(len(y)), y]
        known = [c for c in np.unique(y) if (y == c).sum() >= FEWEST_KNOWN]
        result.certainty = float(np.mean([p[y == c].mean() for c in known])) if known else np.nan
    for part, place in places.values():
        result.recognised += _recognised(predictor, part, place)
    return result


def _result(
    predictor: Any, used: list[str], trust: dict[str, Trust], found: dict[str, Any], left_out: list[str]
) -> Transferred:
    used = [*used, *(f"{name} left out" for name in left_out)]
    discrepancy = found["recipes"].discrepancy if found else {}
    disagreeing = list(dict.fromkeys(name for part in found.values() for name in part.disagreeing))
    return Transferred(predictor, used, trust, discrepancy, disagreeing)


def _recognised(predictor: Any, part: Reference, place: Aligned) -> list[Recognised]:
    """What the predictor says of a reference's own patients, class by class."""
    if part.bags is None or part.labels is None:
        return []
    here = part.bags if place.move is None else moved(part.bags, place.move.inverted())
    p, labels = predictor.predict_proba(here), part.labels.astype(str)
    found = []
    for c, name in enumerate(predictor.classes_.tolist()):
        of_class = p[labels == name]
        if len(of_class):
            right = of_class.argmax(axis=1) == c
            found.append(
                Recognised(part.name, str(name), len(of_class), float(of_class[:, c].mean()), float(right.mean()))
            )
    return found


def _merged(
    references: list[Reference], names: NDArray[np.str_], random_state: int
) -> tuple[list[Reference], dict[str, Any]]:
    """The references, pooled where they are several that know of a difference between their classes."""
    if len(references) == 1:
        return references, {}
    signals = [class_signal(part, names, np.random.default_rng(random_state)) for part in references]
    speak = [part for part, signal in zip(references, signals, strict=True) if not signal >= np.exp(-1)]
    merged, found = pooled(speak)
    return [*merged, *(part for part in references if part not in speak)], found


def _check_known(names: NDArray[np.str_], y: NDArray[np.int64], references: Sequence[Reference]) -> None:
    if not references:
        msg = "`reference`: none was given."
        raise ValueError(msg)
    known = {name for part in references for name in part.classes}
    unknown = [str(name) for c, name in enumerate(names) if not (y == c).any() and name not in known]
    if unknown:
        msg = f"`reference`: the classes {listed(unknown)} have no patient here, and the references know {listed(sorted(known))}."
        raise ValueError(msg)
    here = {str(names[c]) for c in np.unique(y)}
    strangers = [part.name for part in references if not here & set(part.classes)]
    if strangers:
        msg = f"`reference`: {listed(strangers)} have none of the classes of the patients here, {listed(sorted(here))}."
        raise ValueError(msg)


def _over_shared(part: Reference, names: NDArray[np.str_]) -> Reference:
    """A reference whose patients are of the classes that are told apart here."""
    if part.bags is None or part.labels is None or part.donors is None:
        return part
    kept = np.isin(part.labels, names)
    if kept.all():
        return part
    from dataclasses import replace

    return replace(part, bags=part.bags.take(kept), labels=part.labels[kept], donors=part.donors[kept])


def _kind(name: str) -> str:
    return name.partition(", ")[0]


def _shares(members: Sequence[tuple[str, Any]]) -> list[float]:
    """Weights of members that sum to 1: the same for each kind, and for each of a kind."""
    kinds = [_kind(name) for name, _ in members]
    return [1 / (len(set(kinds)) * kinds.count(kind)) for kind in kinds]


def _weights(
    parts: Sequence[tuple[Reference, list[tuple[str, Any]]]],
    trust: dict[str, Trust],
    missing: list[str],
    n_here: NDArray[np.int64],
) -> tuple[list[float], list[str]]:
    """Weight of each reference beside the patients here, and who is left out.

    Belief in it, times its part of the patients of the rarest class in both. One that is needed for a class is used.
    """
    weights = []
    for part, _ in parts:
        belief = trust[part.name].belief if part.name in trust else 1.0
        if any(name in part.classes for name in missing):
            weights.append(max(belief, 0.5))
            continue
        n_there = min((part.n_donors or {"": UNKNOWN_DONORS}).values())
        weights.append(belief * n_there / (n_there + int(n_here.min())) if belief >= LEAST_BELIEVED else 0.0)
    left_out = [part.name for (part, _), weight in zip(parts, weights, strict=True) if weight == 0]
    return weights, left_out
