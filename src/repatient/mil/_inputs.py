"""What a classifier is given, checked and put into the form that training wants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_integer, check_number, check_option
from repatient._device import find_device
from repatient._files._scratch import blocks, filled, is_in_file, rows_of_blocks
from repatient.mil._bags import Bags, used_rows
from repatient.mil._persistence import array_of
from repatient.mil._shared import once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._augment import Augmenter


# Standard deviations: far enough for heavy tails, near enough that one cell cannot drive the logits anywhere.
CLIP = 10.0
# Standard deviations: below what single precision resolves of a value of 1.
NEGLIGIBLE = 1e-8
# Values of cells whose moments are taken at a time.
_VALUES_AT_ONCE = 2**18


def check_bags(bags: Any, name: str, *, n_features: int | None = None) -> Bags:
    """Bags without an empty one, over finite values of the features that the model knows."""
    if not isinstance(bags, Bags):
        msg = f"{name} must be a repatient.mil.Bags, found {type(bags).__name__}."
        raise ValueError(msg)
    if np.any(bags.sizes == 0):
        msg = f"{name} has {np.count_nonzero(bags.sizes == 0)} empty bags, the first is bag {bags.sizes.argmin()}."
        raise ValueError(msg)
    if n_features is not None and bags.X.shape[1] != n_features:
        msg = f"{name} has {bags.X.shape[1]} features, the model was fitted on {n_features}."
        raise ValueError(msg)
    used, _ = used_rows(bags)
    finite = once("finite", (bags,), lambda: _finite_rows(bags.X, used))
    if not finite.all():
        msg = f"X of {name} has NaN or infinite values in {np.count_nonzero(~finite)} rows, the first is row {used[~finite][0]}."
        raise ValueError(msg)
    return bags


def _finite_rows(X: NDArray[Any], used: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether all values of the used rows are finite: only then do they give 0 times 0."""
    finite = np.ones(len(used), dtype=bool)
    if X.dtype.kind == "f":
        nothing = np.zeros(X.shape[1], dtype=X.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for part in blocks(len(used), width=X.shape[1]):
                rows = X[part] if len(used) == len(X) else X[used[part]]
                values = rows.ravel()
                # A finite sum of squares is the cheaper proof; one that overflows proves nothing.
                if not np.isfinite(values @ values):
                    finite[part] = rows @ nothing == 0.0
    return finite


@dataclass(frozen=True)
class TrainingBags:
    """Real and generated bags with their classes as codes, and who gave each cell."""

    real: Bags
    y: NDArray[np.int64]
    groups: NDArray[Any]
    generated: Bags
    generated_y: NDArray[np.int64]
    sources: NDArray[Any] | None
    classes: NDArray[Any]

    def training_real(self, held_out: NDArray[np.int64]) -> Bags:
        """Real bags that are not held out."""
        return self.real.take(_complement(held_out, len(self.real)))

    def training_groups(self, held_out: NDArray[np.int64]) -> NDArray[Any]:
        """Donors of these bags."""
        return self.groups[_complement(held_out, len(self.real))]

    def training_bags(self, held_out: NDArray[np.int64]) -> tuple[Bags, NDArray[np.int64]]:
        """Real bags that are not held out, and generated ones without any cell of the donors that are.

        Generated bags that this empties are dropped.
        """
        forbidden = np.zeros(len(self.real.X), dtype=bool)
        if self.sources is not None:
            forbidden = np.isin(self.sources, self.groups[held_out])
        forbidden[self.real.take(held_out).rows] = True
        cleaned = self.generated.drop_rows(forbidden)
        kept = cleaned.sizes > 0
        y = np.concatenate([self.y[_complement(held_out, len(self.real))], self.generated_y[kept]])
        return Bags.concatenate(self.training_real(held_out), cleaned.take(kept)), y


@dataclass(frozen=True)
class Given:
    """What ``fit`` is given, as it came; see :meth:`repatient.mil.BasePredictor.fit`."""

    bags: Any
    y: ArrayLike
    groups: ArrayLike | None = None
    generated: Any = None
    generated_y: ArrayLike | None = None
    source_groups: ArrayLike | None = None
    augment: Augmenter | None = None
    classes: ArrayLike | None = None

    def checked(self, outcome: str) -> TrainingBags:
        """All of it checked, for any outcome; every value is a class of its own."""
        check_augmenter(self.augment, self.generated, outcome)
        if outcome == "class":
            return _read_cohort(self)
        if outcome == "continuous":
            if self.classes is not None:
                msg = f"`classes` is for classes and grades, and values have none, found {self.classes!r}."
                raise ValueError(msg)
            drawn = None if self.generated_y is None else check_values(self.generated_y, "generated_y")
            return _read_cohort(replace(self, y=check_values(self.y, "y"), generated_y=drawn))
        grades = read_grades(self.classes, self.y, self.generated_y)
        codes = codes_of(self.y, grades, "y")
        of_generated = None if self.generated_y is None else codes_of(self.generated_y, grades, "generated_y")
        cohort = _read_cohort(replace(self, y=codes, generated_y=of_generated, classes=np.arange(len(grades))))
        # Augmenters know recipes of grades by their names.
        return replace(cohort, classes=grades)


def _read_cohort(given: Given) -> TrainingBags:
    """Check all of it where labels are classes."""
    bags, y, groups, generated = given.bags, given.y, given.groups, given.generated
    generated_y, source_groups, classes = given.generated_y, given.source_groups, given.classes
    real = check_bags(bags, "bags")
    if len(real) < 2:
        msg = f"bags must hold at least two bags to learn from, found {len(real)}."
        raise ValueError(msg)
    labels = check_labels(y, len(real), "y")
    if (generated is None) != (generated_y is None):
        msg = "generated and generated_y must be given together."
        raise ValueError(msg)
    drawn = real.take([]) if generated is None else check_bags(generated, "generated")
    if drawn.X is not real.X:
        msg = "generated must be bags over the same array X as bags, found a different array."
        raise ValueError(msg)
    drawn_labels = labels[:0] if generated_y is None else check_labels(generated_y, len(drawn), "generated_y")
    if drawn_labels.dtype.kind != labels.dtype.kind:
        msg = f"y and generated_y must be of one type, found {labels.dtype} and {drawn_labels.dtype}."
        raise ValueError(msg)
    names, codes = _encode_labels(np.concatenate([labels, drawn_labels]), classes)
    if len(names) < 2:
        msg = f"A classifier needs at least two classes, found only {names[0]!s}."
        raise ValueError(msg)
    if source_groups is not None and groups is None:
        msg = "source_groups needs groups, the donor of each real bag in the same words."
        raise ValueError(msg)
    donors = np.arange(len(real)) if groups is None else _check_vector(groups, len(real), "groups", "bags")
    sources = None if source_groups is None else _check_vector(source_groups, len(real.X), "source_groups", "rows of X")
    if sources is not None and np.any(sources[real.rows] != np.repeat(donors, real.sizes)):
        msg = "source_groups must give every cell of a real bag the donor that groups gives the bag; they differ."
        raise ValueError(msg)
    return TrainingBags(real, codes[: len(real)], donors, drawn, codes[len(real) :], sources, names)


def read_grades(classes: ArrayLike | None, *labels: ArrayLike | None) -> NDArray[Any]:
    """All grades in their order."""
    if classes is not None:
        grades = check_labels(classes, np.size(classes), "classes")
        if len(np.unique(grades)) != len(grades):
            msg = f"`classes` holds all grades, each once and the lowest first, not {classes}."
            raise ValueError(msg)
        return grades
    checked = [check_labels(some, np.size(some), "y") for some in labels if some is not None]
    found = np.unique(np.concatenate(checked))
    if found.dtype.kind not in "biuf":
        msg = (
            f"`classes` gives the order of the grades, the lowest first, as names have none of their own; found the "
            f"labels {found}."
        )
        raise ValueError(msg)
    return found


def codes_of(labels: ArrayLike, grades: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Place of each label among the grades."""
    values = check_labels(labels, np.size(labels), name)
    unknown = ~np.isin(values, grades)
    if unknown.any():
        found = np.unique(values[unknown]).tolist()
        msg = f"`{name}` has labels that are not among the grades {grades.tolist()}: {found}."
        raise ValueError(msg)
    order = np.argsort(grades, kind="stable")
    return order[np.searchsorted(grades[order], values)]


def check_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Finite numbers, for ``y`` more than one."""
    array = np.asarray(values)
    try:
        numbers = array.astype(np.float64) if array.dtype.kind in "iufO" else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or not np.isfinite(numbers).all():
        wrong = [v for v in array.ravel().tolist() if not isinstance(v, int | float) or not np.isfinite(v)]
        msg = f"`{name}` is of finite numbers, found {array.dtype} with {', '.join(repr(v) for v in wrong[:3])}."
        raise ValueError(msg)
    if name == "y" and len(numbers) and np.ptp(numbers) == 0.0:
        msg = f"`y`: all bags have the value {numbers.flat[0]:g}; there is nothing to learn."
        raise ValueError(msg)
    return numbers


def check_augmenter(augment: Any, generated: Any, outcome: str) -> None:
    """Raise on something that cannot augment, or beside generated bags, or that needs classes where there are none."""
    if augment is None:
        return
    if not callable(getattr(augment, "bind", None)):
        msg = f"`augment` has a method bind, as the classes of repatient.mixing do; found {augment!r}."
        raise TypeError(msg)
    if generated is not None:
        msg = "`augment` makes its bags from the real ones alone; give either `augment` or `generated`."
        raise ValueError(msg)
    if outcome == "continuous" and getattr(augment, "needs_classes", False):
        msg = f"`augment`: {augment!r} mixes bags of one class, and values have none; PseMix, for one, mixes values."
        raise ValueError(msg)


def check_drawn(bags: Bags, targets: NDArray[np.floating], bound: Bags, n_classes: int) -> None:
    """Raise on bags of a sampler that break its contract."""
    if targets.shape != (len(bags), n_classes) or len(bags) == 0 or np.any(bags.sizes == 0):
        msg = (
            f"`augment`: the sampler gives bags, none of them empty, with targets (bags, classes) "
            f"{(len(bags), n_classes)}; found targets {targets.shape} and {np.count_nonzero(bags.sizes == 0)} empty bags."
        )
        raise ValueError(msg)
    if bags.X.shape[1] != bound.X.shape[1]:
        msg = f"`augment`: the sampler gave bags of {bags.X.shape[1]} features, X has {bound.X.shape[1]}."
        raise ValueError(msg)
    if bags.X is bound.X:
        known = np.zeros(len(bound.X), dtype=bool)
        known[bound.rows] = True
        foreign = bags.rows[~known[bags.rows]]
        if len(foreign):
            msg = (
                f"`augment`: the sampler gave {len(foreign)} rows of X that are in no training bag, the first is row "
                f"{foreign[0]}; it may use rows of the bags that it was bound to only."
            )
            raise ValueError(msg)


def _encode_labels(labels: NDArray[Any], classes: ArrayLike | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Names of the classes, rising, and the class of each label."""
    if classes is None:
        return np.unique(labels, return_inverse=True)
    names = np.unique(check_labels(classes, np.size(classes), "classes"))
    if names.dtype.kind != labels.dtype.kind or not np.isin(labels, names).all():
        msg = f"classes must hold all labels of the bags, found {names} for the labels {np.unique(labels)}."
        raise ValueError(msg)
    return names, np.searchsorted(names, labels)


def stored_scaler(arrays: Mapping[str, NDArray[Any]], n_features: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and scale of cells among arrays that may be anything."""
    return array_of(arrays, "mean", n_features), array_of(arrays, "scale", n_features, above=0.0)


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise on a parameter of the network that is out of its range."""
    find_device(parameters["device"])
    for name in ("hidden", "attention_hidden", "n_layers", "batch_size", "n_steps", "patience", "n_passes"):
        check_integer(parameters[name], name)
    for name in ("max_epochs", "cells_per_step"):
        if parameters[name] is not None:
            check_integer(parameters[name], name)
    for name in ("dropout", "validation_fraction"):
        check_number(parameters[name], name, minimum=0.0, below=1.0)
    check_number(parameters["weight_decay"], "weight_decay", minimum=0.0)
    check_number(parameters["learning_rate"], "learning_rate", above=0.0)
    check_class_weight(parameters["class_weight"])


def check_class_weight(value: Any) -> None:
    """Raise unless classes are weighted in a way that is known."""
    if value is not None:
        check_option(value, "class_weight", ["balanced"])


def check_labels(values: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """One label a bag, as an array of strings, integers, booleans or floats."""
    labels = _check_vector(values, n, name, "bags")
    if labels.dtype == object:
        # What pandas hands over; numpy finds the type that the values have in common.
        kinds = {type(label) for label in labels}
        labels = np.array(labels.tolist()) if len(kinds) == 1 else labels
    if labels.dtype.kind not in "biufU" or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
        msg = f"{name} must be strings, integers, booleans or finite floats, without missing values or mixed types."
        raise ValueError(msg)
    return labels


def _check_vector(values: ArrayLike, n: int, name: str, of: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (n,):
        msg = f"{name} must have one entry for each of the {n} {of}, found shape {array.shape}."
        raise ValueError(msg)
    return array


def fit_scaler(bags: Bags, *, standardize: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each feature over the entries of some bags; the scale of a constant feature is 1."""
    if not standardize:
        return np.zeros(bags.X.shape[1]), np.ones(bags.X.shape[1])
    return once("scaler", (bags,), lambda: _fit_scaler(bags))


def _fit_scaler(bags: Bags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Moments of blocks that stay in the cache, in the precision of the cells, put together in double precision.

    The scaler of scikit-learn takes every block to double precision, which is several times slower.
    """
    X, n, d = bags.X, 0, bags.X.shape[1]
    mean, squares = np.zeros(d), np.zeros(d)
    for part in blocks(len(bags.rows), max(_VALUES_AT_ONCE // d, 1)):
        cells = X[bags.rows[part]].astype(np.result_type(X.dtype, np.float32), copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            of_block = _moments(cells)
        if not np.isfinite(of_block).all():
            # Squares that overflow in single precision.
            of_block = _moments(cells.astype(np.float64))
        # Chan, Golub and LeVeque (1983).
        n_block, step = len(cells), of_block[0] - mean
        mean += step * (n_block / (n + n_block))
        squares += of_block[1] + step**2 * (n * n_block / (n + n_block))
        n += n_block
    variance, unit = squares / n, np.finfo(np.float64).eps
    # As scikit-learn has it: what varies less than rounding does not vary.
    constant = variance <= n * unit * variance + (n * mean * unit) ** 2
    return mean, np.where(constant, 1.0, np.sqrt(variance))


def _moments(cells: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of each feature, and sum of the squared distances from it, (2, d)."""
    ones, first = np.ones(len(cells), cells.dtype), cells[0]
    rest = cells - first
    centre = ones @ rest / len(cells)
    rest -= centre
    return np.stack([first.astype(np.float64) + centre, ones @ np.square(rest, out=rest)])


def apply_scaler(
    X: NDArray[Any], mean: NDArray[np.float64], scale: NDArray[np.float64], *, clip: bool
) -> NDArray[np.float32]:
    """Standardised values, within ``CLIP`` if wished; single precision stays single, with the mean in two parts."""
    scaled: NDArray[Any]
    if X.dtype == np.float32:
        high = mean.astype(np.float32)
        scaled = X - high
        if np.any(np.abs(mean - high) > NEGLIGIBLE * scale):
            scaled -= (mean - high).astype(np.float32)
        scaled *= (1.0 / scale).astype(np.float32)
    else:
        scaled = (X - mean) / scale
    return (np.clip(scaled, -CLIP, CLIP, out=scaled) if clip else scaled).astype(np.float32, copy=False)


def compact(
    parts: list[Bags], standardize: Callable[[NDArray[Any]], NDArray[np.float32]], *, width: int | None = None
) -> list[Bags]:
    """The same bags over one standardised array, ``width`` wide if not as before, of only the cells that they use.

    Cells stand in the order in which the bags name them, so that those of a bag that comes first stand beside each other.
    The array lies in memory where that of the bags does, else in a temporary file.
    """
    X = parts[0].X
    named = np.concatenate([part.rows for part in parts])
    first = np.full(len(X), len(named))
    np.minimum.at(first, named, np.arange(len(named)))
    order = np.sort(first[first < len(named)])
    used = named[order]
    place = np.empty(len(X), dtype=np.int64)
    place[used] = np.arange(len(used))
    d = X.shape[1]
    cells = filled(
        lambda part: standardize(X[used[part]]),
        (len(used), d if width is None else width),
        np.float32,
        in_file=is_in_file(X),
        rows_of_a_block=rows_of_blocks(d),
    )
    return [Bags(cells, place[part.rows], part.indptr) for part in parts]


def _complement(indices: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(n), indices)
