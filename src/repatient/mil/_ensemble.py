"""The mean of the probabilities of unlike predictors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if

from repatient._checks import check_integer, check_option
from repatient._files._read import check_values, sequence_of, text
from repatient.mil._axes import PrincipalAxes, seen_by
from repatient.mil._bags import Bags
from repatient.mil._members import MEMBERS, RARE, RARE_MEMBERS
from repatient.mil._outcomes import ClassOutcome
from repatient.mil._persistence import above, array_of, packed, under, unpacked
from repatient.mil._predictor import BasePredictor
from repatient.mil._shared import fit_once, once, sharing
from repatient.mil._stacking import DONORS_FOR_TEMPERATURE, folds_of_donors, left_out, stacked
from repatient.mil._train import check_temperature, fit_temperature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._inputs import Given, TrainingBags
    from repatient.mil._predictor import Predictor
    from repatient.mil._training_set import TrainingSet

    Array = NDArray[Any]

# Donors from which on the weights are learnt, and how many donors equal weights count as.
DONORS_FOR_WEIGHTS, EQUAL_WORTH = 60, 100
N_PLACES, STEP = 16, 1e-5
# What the values of a stored ensemble have to be.
_STORED = {"temperature": check_temperature, "reasons": sequence_of(text)}


def _some_attention(ensemble: Ensemble) -> bool:
    return any(hasattr(model, "attention") for _, model in getattr(ensemble, "members_", ()))


class Ensemble(BasePredictor):
    """The mean of the probabilities of unlike predictors: ahead of the best of them, where choosing one would lose.

    Parameters
    ----------
    members
        Pairs of a name and an unfitted predictor. ``None`` takes those that did best together on the cohorts of the
        project's benchmarks: kernel mean (at a weak and at a strong penalty), mean, quantiles and composition into linear
        models, cells, and attention, which is left out where a class has one or two patients.
    weights
        ``"equal"``, or ``"auto"``: equal below 60 donors, and from there on drawn towards those that would have predicted
        training donors best that were left out (stacking, never negative).
    calibrate
        Whether the mean gets a temperature, fitted on training donors that were left out; with fewer than 24 donors, or a
        single donor of a class, there is none.
    n_axes
        Principal axes of the training cells, whose whitened values members see instead of an embedding of more than 256
        features: quicker, and no worse on the wide cohort of the benchmarks. Members that are linear in the mean cell see
        all features, so that nothing is out of sight, and so do all with fewer than eight cells for each axis, where they
        learn from generated patients, or with ``None``.
    n_passes
        Passes behind the uncertainty, divided among the members by their weights.
    settings
        Parameters that each member gets that has them, such as ``{"n_steps": 400}`` for networks.
    device
        Torch device of members that are networks.
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed of all members. The same seed gives the same bits.
    progress
        Whether members show progress bars.

    Attributes
    ----------
    members_
        Pairs of name and fitted predictor.
    weights_
        Weight of each in the mean, (members,), sum 1.
    axes_
        Principal axes that members see, or ``None``.
    temperature_
        Divisor of the logarithms of the mean probabilities.
    reasons_
        Why these members, weights and temperature: a sentence each.
    generated_left_out_
        Whether there were generated patients from which no member learnt.

    Notes
    -----
    The default members do not learn from generated patients, which help none of them on average, unless a class has no
    other patient; members that are given do.

    References
    ----------
    Breiman (1996), Stacked Regressions. Guo et al. (2017), On Calibration of Modern Neural Networks.
    """

    kind: ClassVar[str] = "ensemble"
    probabilities_as_scores: ClassVar[bool] = True

    def __init__(
        self,
        members: Sequence[tuple[str, Predictor]] | None = None,
        *,
        weights: str = "auto",
        calibrate: bool = True,
        n_axes: int | None = 64,
        n_passes: int = 50,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        outcome: str = "class",
        random_state: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        self.members = members
        self.weights = weights
        self.calibrate = calibrate
        self.n_axes = n_axes
        self.n_passes = n_passes
        self.settings = settings
        self.device = device
        self.outcome = outcome
        self.random_state = random_state
        self.progress = progress

    def _fit_given(self, given: Given) -> Self:
        cohort = given.checked(self.outcome)
        self.n_features_in_ = cohort.real.X.shape[1]
        if self.outcome != "continuous":
            self.classes_ = cohort.classes
        chosen, reason = self._chosen(cohort)
        self.reasons_ = [reason]
        more = {name: getattr(given, name) for name in ("generated", "generated_y", "source_groups", "augment")}
        made = given.augment is not None or given.generated is not None
        learns = made and self._learns_from_generated(cohort)
        self.generated_left_out_ = made and not learns
        self.axes_ = None if learns else self._fit_axes(cohort.real)
        if self.axes_ is not None:
            self.reasons_.append(f"{self.axes_.axes.shape[1]} principal axes of {self.n_features_in_} features")
        with sharing():
            fitted = self._fit_members(chosen, cohort, self.axes_, **more if learns else {})
        self.members_ = [(name, model) for (name, _), model in zip(chosen, fitted, strict=True)]
        self.weights_, self.temperature_ = np.full(len(chosen), 1 / len(chosen)), 1.0
        self._learn_from_left_out(chosen, cohort)
        scores = [self._common(model, np.asarray(model.intercept_)[None])[0] for model in fitted]
        self.intercept_ = self.weights_ @ np.stack(scores)
        return self

    @classmethod
    def of_fitted(
        cls,
        members: Sequence[tuple[str, Any]],
        *,
        weights: ArrayLike | None = None,
        reasons: Sequence[str] = (),
        random_state: int | None = 0,
    ) -> Self:
        """The mean of predictors of the same classes that are fitted already, in whatever way.

        Parameters
        ----------
        members
            Pairs of a name of its own and a fitted predictor of classes.
        weights
            Weight of each in the mean; ``None`` for equal ones.
        reasons
            What is to be kept in ``reasons_``.
        random_state
            Seed of the passes.

        Raises
        ------
        ValueError
            If members have other classes or features than the first.
        """
        ensemble = cls(random_state=random_state)
        fitted = [model for _, model in members]
        first = fitted[0]
        for name, model in members:
            alike = np.array_equal(model.classes_, first.classes_) and model.n_features_in_ == first.n_features_in_
            if model.outcome != "class" or not alike:
                msg = f"`members`: {name!r} has other classes or features than {members[0][0]!r}."
                raise ValueError(msg)
        w = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=np.float64)
        ensemble.members_, ensemble.weights_, ensemble.temperature_ = list(members), w / w.sum(), 1.0
        ensemble.axes_ = None
        ensemble.reasons_, ensemble.classes_ = list(reasons), first.classes_
        ensemble.n_features_in_ = first.n_features_in_
        scores = [ensemble._common(model, np.asarray(model.intercept_)[None])[0] for model in fitted]
        ensemble.intercept_ = ensemble.weights_ @ np.stack(scores)
        return ensemble

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        if not hasattr(self, "members_"):
            return super().__repr__(N_CHAR_MAX)
        parts = ", ".join(
            f"{name} {weight:.2f}" for (name, _), weight in zip(self.members_, self.weights_, strict=True)
        )
        return f"Ensemble({parts})"

    @available_if(_some_attention)  # type: ignore[untyped-decorator]
    def attention(self, bags: Bags) -> NDArray[np.float32]:
        """Attention of the first member that has one, (m,)."""
        seen = self._seen(self._checked(bags))
        return next(model.attention(own) for model, own in seen if hasattr(model, "attention"))

    def _check(self) -> None:
        super()._check()
        if self.n_axes is not None:
            check_integer(self.n_axes, "n_axes")
        check_option(self.weights, "weights", ["auto", "equal"])
        self._check_members()
        members = MEMBERS if self.members is None else self.members
        known = {name for _, member in members for name in member.get_params(deep=False)}
        unknown = sorted(set(self.settings or {}) - known)
        if unknown:
            msg = f"`{unknown[0]}` is a parameter neither of {type(self).__name__} nor of its members; these have {sorted(known)}."
            raise ValueError(msg)

    def _check_members(self) -> None:
        if self.members is None:
            return
        pairs = all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in self.members)
        if not self.members or not pairs or len({name for name, _ in self.members}) < len(self.members):
            msg = f"`members` is one or more pairs of a name of its own and a predictor, not {self.members!r}."
            raise ValueError(msg)
        for name, member in self.members:
            if not callable(getattr(member, "fit", None)) or not callable(getattr(member, "get_params", None)):
                msg = f"`members`: {name!r} is no predictor (see repatient.mil.Predictor) but {member!r}."
                raise TypeError(msg)

    def _chosen(self, cohort: TrainingBags) -> tuple[list[tuple[str, Any]], str]:
        """Names and unfitted members, and why these."""
        if self.members is not None:
            return list(self.members), f"{len(self.members)} members as configured"
        fewest = int(np.bincount(cohort.y).min()) if self.outcome != "continuous" else len(cohort.y)
        if fewest <= RARE:
            return RARE_MEMBERS, f"unlike members without a network, as a class has {fewest} patients"
        return MEMBERS, f"unlike members for {len(cohort.y)} patients"

    def _learns_from_generated(self, cohort: TrainingBags) -> bool:
        """Whether members learn from generated patients, which help none of the default ones on average."""
        missing = len(np.unique(cohort.y)) < len(cohort.classes)
        if self.members is not None or self.outcome == "continuous" or missing:
            return True
        self.reasons_.append("no generated patients: of the same cohort, they help none of these members on average")
        return False

    def _fit_axes(self, bags: Bags) -> PrincipalAxes | None:
        """Axes of an embedding that is wide, of cells that are enough."""
        n, rng = self.n_axes, np.random.default_rng(self.random_state)
        if n is None or not PrincipalAxes.allowed(n, len(bags.rows), bags.X.shape[1]):
            return None
        return once("axes", (bags, n, rng), lambda: PrincipalAxes.fit(bags, n, rng))

    def _seen(self, bags: Bags) -> Iterator[tuple[Any, Bags]]:
        """Each fitted member with the bags as it sees them."""
        models = [model for _, model in self.members_]
        return zip(models, seen_by(models, self.axes_, bags), strict=True)

    def _fit_members(
        self, chosen: Sequence[tuple[str, Any]], cohort: TrainingBags, axes: PrincipalAxes | None, **more: Any
    ) -> list[Any]:
        """Fitted copies of members, on a cohort that was checked."""
        given = {name: getattr(self, name) for name in ("outcome", "random_state", "device", "progress")}
        given = dict(self.settings or {}) | given
        models = []
        for _, member in chosen:
            known = member.get_params(deep=False)
            models.append(clone(member).set_params(**{name: value for name, value in given.items() if name in known}))
        y, classes = cohort.classes[cohort.y], None if self.outcome == "continuous" else cohort.classes
        return [
            fit_once(model, bags, y, groups=cohort.groups, classes=classes, **more)
            for model, bags in zip(models, seen_by(models, axes, cohort.real), strict=True)
        ]

    def _learn_from_left_out(self, chosen: Sequence[tuple[str, Any]], cohort: TrainingBags) -> None:
        """Temperature and weights from donors that members did not see."""
        donors, first = np.unique(cohort.groups, return_inverse=True)
        n = len(donors)
        weigh = self.weights == "auto" and n >= DONORS_FOR_WEIGHTS and len(chosen) > 1
        calibrate = self.calibrate and self.outcome != "continuous" and n >= DONORS_FOR_TEMPERATURE
        folds = folds_of_donors(cohort, first, self.outcome, self.random_state) if weigh or calibrate else None
        if folds is None:
            self.reasons_.append(f"equal weights and no temperature for {n} donors")
            return

        def predict(kept: NDArray[np.int64], left: NDArray[np.int64]) -> Array:
            rest = replace(
                cohort,
                real=cohort.real.take(kept),
                y=cohort.y[kept],
                groups=cohort.groups[kept],
                generated=cohort.generated.take([]),
                generated_y=cohort.generated_y[:0],
                sources=None,
            )
            # Axes are those of the donors that are kept.
            axes = None if self.axes_ is None else self._fit_axes(rest.real)
            models = self._fit_members(chosen, rest, axes)
            seen = zip(models, seen_by(models, axes, cohort.real.take(left)), strict=True)
            return np.stack([model.predict_proba(test) for model, test in seen], axis=1)

        p = np.ascontiguousarray(np.moveaxis(left_out(folds, predict), 1, 0))
        if weigh:
            learnt = stacked(p, cohort, self.outcome)
            self.weights_ = (n * learnt + EQUAL_WORTH * self.weights_) / (n + EQUAL_WORTH)
            self.reasons_.append(f"weights drawn towards those of stacking by {n} donors, {EQUAL_WORTH} for equal ones")
        else:
            self.reasons_.append(f"equal weights for {n} donors")
        if calibrate:
            mean = np.log(np.maximum(np.tensordot(self.weights_, p, axes=1), 1e-12))
            self.temperature_ = fit_temperature(ClassOutcome(len(cohort.classes)), mean, cohort.y)
            self.reasons_.append(f"temperature {self.temperature_:.2f} from donors left out")

    def _common(self, model: Any, scores: Array) -> Array:
        """Scores of a member on the scale of the ensemble: probabilities, or the value."""
        p = model.link(scores)
        return p[..., None] if self.outcome == "continuous" else p

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """Weighted mean of the members' probabilities (B, classes) at ``temperature_``; of values, the values (B,)."""
        seen = self._seen(self._checked(bags))
        return self._tempered(sum(w * m.predict_proba(own) for (m, own), w in zip(seen, self.weights_, strict=True)))

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """Passes of the members, each of as many as its weight asks for; see :meth:`BasePredictor.predict_proba_mc`."""
        return self._tempered(np.concatenate(self._passes("predict_proba_mc", bags, n_passes, random_state)))

    def predict_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and standard deviations of values in each pass of the members, (passes, B) each."""
        self._check_values_only()
        means, sds = zip(*self._passes("predict_mc", bags, n_passes, random_state), strict=True)
        return np.concatenate(means), np.concatenate(sds)

    def _passes(self, method: str, bags: Bags, n_passes: int | None, random_state: int | None) -> list[Any]:
        seen = self._seen(self._checked(bags))
        n = check_integer(self.n_passes if n_passes is None else n_passes, "n_passes")
        seed = self.random_state if random_state is None else random_state
        member = np.searchsorted(np.cumsum(self.weights_)[:-1], (np.arange(n) + 0.5) / n, side="right")
        counts = np.bincount(member, minlength=len(self.members_))
        return [
            getattr(model, method)(own, n_passes=int(count), random_state=seed)
            for (model, own), count in zip(seen, counts, strict=True)
            if count
        ]

    def _tempered(self, p: Any) -> NDArray[np.float64]:
        if self.outcome == "continuous" or self.temperature_ == 1.0:
            return p
        powers = np.maximum(p, 1e-300) ** (1 / self.temperature_)
        return powers / powers.sum(axis=-1, keepdims=True)

    def link(self, scores: Array) -> Array:
        """Probabilities, at ``temperature_``, of mean probabilities; of values, the values."""
        return scores[..., 0] if self.outcome == "continuous" else self._tempered(scores)

    def _scores(self, bags: Bags) -> NDArray[np.float64]:
        scores = [self._common(model, model.decision_function(own)) for model, own in self._seen(bags)]
        return np.tensordot(self.weights_, np.stack(scores), axes=1)

    def _contributions(self, bags: Bags) -> NDArray[np.float64]:
        bag = np.repeat(np.arange(len(bags)), bags.sizes)
        result = np.zeros((len(bag), len(self.intercept_)))
        for (model, own), weight in zip(self._seen(bags), self.weights_, strict=True):
            scores, start = model.decision_function(own), np.asarray(model.intercept_)
            slopes = _mean_slopes(lambda s, model=model: self._common(model, s), start, scores)
            parts = np.einsum("mk,mkc->mc", model.contributions(own), slopes[bag])
            wanted = self._common(model, scores) - self._common(model, start[None])
            # What a sum over few places leaves of the way goes evenly to all cells.
            rest = wanted - np.add.reduceat(parts, bags.indptr[:-1], axis=0)
            result = result + weight * (parts + (rest / bags.sizes[:, None])[bag])
        return result

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        content: dict[str, Any] = {"temperature": self.temperature_, "reasons": self.reasons_, "members": []}
        arrays: dict[str, NDArray[Any]] = {"weights": self.weights_}
        if self.axes_ is not None:
            arrays |= above(self.axes_.arrays, "axes.")
        for number, (name, model) in enumerate(self.members_):
            description, parts = packed(model)
            content["members"].append({"name": name, "model": description})
            arrays |= above(parts, f"member {number}.")
        return content, arrays

    def _restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        check_values(content, _STORED, "ensemble")
        self.temperature_, self.reasons_ = float(content["temperature"]), list(content["reasons"])
        self.members_ = [
            (entry["name"], unpacked(entry["model"], under(arrays, f"member {number}."), self.device))
            for number, entry in enumerate(content["members"])
        ]
        of_axes = under(arrays, "axes.")
        self.axes_ = PrincipalAxes.of_arrays(of_axes, self.n_features_in_) if of_axes else None
        self.weights_ = array_of(arrays, "weights", len(self.members_))
        if (self.weights_ < 0).any() or not np.isclose(self.weights_.sum(), 1.0):
            msg = f"'weights' are 0 or more and sum to 1, not {self.weights_}."
            raise ValueError(msg)
        nobody = Bags(np.zeros((1, self.n_features_in_), np.float32), np.array([0]), np.array([0, 1]))
        for (name, model), (_, own) in zip(self.members_, self._seen(nobody), strict=True):
            same = self.outcome == "continuous" or np.array_equal(model.classes_, self.classes_)
            if model.outcome != self.outcome or not same or model.n_features_in_ != own.X.shape[1]:
                msg = f"`members`: {name!r} is of another outcome, other classes or other features than the rest."
                raise ValueError(msg)

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        """Members learn by themselves, see ``fit``."""
        raise NotImplementedError

    def _scores_of_passes(self, bags: Bags, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Members pass by themselves, see ``predict_proba_mc``."""
        raise NotImplementedError


def _mean_slopes(function: Any, start: Array, end: Array) -> NDArray[np.float64]:
    """Mean slope (B, K, outputs) of a function of scores on the straight way from ``start`` (K,) to ``end`` (B, K)."""
    places, weights = np.polynomial.legendre.leggauss(N_PLACES)
    steps = STEP * np.eye(end.shape[1])
    slopes = []
    for place in (places + 1) / 2:
        way = start + place * (end - start)
        differences = [function(way + step) - function(way - step) for step in steps]
        slopes.append(np.stack(differences, axis=1) / (2 * STEP))
    return np.tensordot(weights / 2, np.stack(slopes), axes=1)
