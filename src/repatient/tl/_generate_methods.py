"""Patients by each method of :func:`repatient.tl.generate`, and what these begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import listed
from repatient.sampling import Draw, can_fit_donor_effects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repatient.mil import Augmenter
    from repatient.mixing import DrawnPatients, Gaussians, PatientGenerator
    from repatient.tl._generate_inputs import SourceCells


def counterfactual(
    entry: Mapping[str, Any],
    recipes_key: str,
    source: SourceCells,
    numbers: Mapping[str, int],
    n_cells: int | None,
    rng: np.random.Generator,
) -> tuple[list[DrawnPatients], dict[str, Any]]:
    """Real patients moved into each class, and what moves their cells."""
    from repatient.mixing import CounterfactualGenerator, DrawnPatients

    names = list(dict.fromkeys([*source.classes, *numbers]))
    own, _ = _store.read_recipes_entry(dict(entry), recipes_key)
    reference = _store.read_reference_recipes(entry, recipes_key)
    present = set(entry["patients"]["label"].dropna().astype(str))
    candidates = [(own, _store.read_offsets(entry, own.mean.shape[1]))] if set(names) <= present else []
    candidates += [] if reference is None else [reference]
    found = [(r, o) for r, o in candidates if o is not None and set(names) <= set(r.classes) & set(o.classes)]
    if not found:
        msg = (
            f"`method='counterfactual'` needs recipes and offsets of {listed(names)} that were learnt in one cohort, this one "
            "or the `reference` of `rp.tl.recipes`, and there are none."
        )
        raise ValueError(msg)
    recipes, offsets = found[0]
    shape = (len(names), len(names), *offsets.means.shape[1:])
    values = np.zeros(shape, dtype=np.float32)
    for a, of in enumerate(names):
        for b, to in enumerate(names):
            if a != b:
                values[a, b] = offsets.delta(of, to)
    inside = np.flatnonzero(source.components >= 0)
    patients, codes = np.unique(source.patients[inside], return_inverse=True)
    y = np.zeros(len(patients), dtype=np.int64)
    y[codes] = source.labels[inside]
    generator = CounterfactualGenerator(
        recipes=recipes.take(names),
        movable=np.ones((len(names), len(names)), dtype=bool),
        shifts=values,
        components=source.components[inside],
        patients=codes,
        y=y,
    )
    made = []
    for name, number in numbers.items():
        moves = generator.draw(np.full(number, names.index(name)), rng, n_cells)
        rows, n_components = inside[moves.rows], recipes.mean.shape[1]
        patient = np.repeat(np.arange(number), np.diff(moves.indptr))
        component = source.components[rows]
        cell = patient * n_components + component
        others = codes[moves.rows] != moves.sources[patient]
        again = np.ones(len(rows), dtype=bool)
        again[np.unique(np.stack([patient, rows]), axis=1, return_index=True)[1]] = False
        moved, repeated = (
            np.bincount(cell[which], minlength=number * n_components).reshape(number, -1) for which in (others, again)
        )
        none = np.zeros((number, 0), dtype=np.float32)
        made.append(DrawnPatients(Draw(rows, moves.indptr, moved, repeated), none, [], patients[moves.sources]))
    return made, {"classes": np.array(names, dtype=object), "values": values}


def gaussians(mixture: Mapping[str, Any]) -> Gaussians:
    """The components that points are drawn from."""
    from repatient.mixing import Gaussians

    means, covariances = (np.asarray(mixture[name], dtype=np.float64) for name in ("means", "covariances"))
    return Gaussians(means, covariances, str(mixture["params"]["covariance_type"]))


def strengths(
    source: SourceCells, generator: PatientGenerator, codes: Mapping[str, int], n_components: int
) -> list[float]:
    """All of the offsets where the pool of every class has the cells to measure them on, else none.

    None either for a class without a patient: those of other classes would come with its recipe.
    """
    pools = (generator.pool_of(c) for c in codes.values())
    enough = all(can_fit_donor_effects(components, source.patients, n_components) for components in pools)
    present = {source.classes[code] for code in np.unique(source.labels[source.labels >= 0])}
    own = {codes[name] for name in codes if name in present}
    return [float(enough and c in own) for c in range(len(generator.recipes))]


def rivals(
    n_obs: int, source: SourceCells, method: str, name: str, number: int, n_components: int, rng: np.random.Generator
) -> DrawnPatients:
    """Patients of a class as another method of training makes them of its real ones."""
    from repatient.mil import Bags
    from repatient.mixing import DrawnPatients, Oversampling, SameClassMixing, draw_by

    label = source.classes.index(name) if name in source.classes else -2
    codes, patients = np.full(n_obs, -1), np.unique(source.patients[source.labels == label])
    if len(patients) < 1 + (method == "same_class"):
        msg = (
            f"`method={method!r}` needs {1 + (method == 'same_class')} patients of a class, and {name!r} has "
            f"{len(patients)} here; classes with patients are {listed(source.classes)}."
        )
        raise ValueError(msg)
    inside = source.labels == label
    codes[inside] = np.searchsorted(patients, source.patients[inside])
    # Rows are all that is asked of the bags, whose cells need no coordinates.
    bags = Bags.from_codes(np.broadcast_to(np.zeros((1, 1), dtype=np.float32), (n_obs, 1)), codes, len(patients))
    augmenter: Augmenter = Oversampling() if method == "oversampling" else SameClassMixing()
    return DrawnPatients(
        draw_by(augmenter, bags, number, n_components, rng), np.zeros((number, 0), dtype=np.float32), [], None
    )
