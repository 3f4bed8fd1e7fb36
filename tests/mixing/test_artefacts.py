from __future__ import annotations

import numpy as np
import pytest

from repatient.mil import Bags, Linear
from repatient.mixing import Alternating, Artefact, PseMix, RecipeMix, Standardized, artefacts, concern, draw_generated

CLASSES = np.array(["ill", "well"])


def cohort(seed: int, shift: float = 0.0, n_patients: int = 24):
    """Patients whose classes differ in the share of a kind of cells; ``shift`` moves all cells in the last feature."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_patients) % 2
    codes = np.repeat(np.arange(n_patients), 60)
    X = rng.normal(size=(len(codes), 4)) + 0.4 * rng.normal(size=(n_patients, 4))[codes]
    X[:, 0] += 6.0 * (rng.random(len(codes)) < np.where(y[codes] == 1, 0.6, 0.3))
    X[:, 3] += shift
    return Bags.from_codes(X.astype(np.float32), codes, n_patients), y


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (3.0, True)])
def test_a_model_that_looks_at_how_patients_were_made_is_found_out(shift, told):
    bags, y = cohort(0)
    ill = bags.take(np.flatnonzero(y == 0))
    made, made_y = cohort(1, shift)
    well = made.take(np.flatnonzero(made_y == 1))
    both = Bags(
        np.concatenate([bags.X, made.X]),
        np.append(ill.rows, well.rows + len(bags.X)),
        np.append(ill.indptr, well.indptr[1:] + ill.indptr[-1]),
    )
    model = Linear().fit(both, np.repeat(CLASSES, [len(ill), len(well)]))
    (found,) = artefacts(model, ill, np.zeros(len(ill), dtype=int), made, made_y, CLASSES.tolist())
    assert (found.name, found.n_real, found.n_generated) == ("ill", 12, 12)
    assert found.told_apart == told
    assert not told or found.auroc < 0.1


def test_it_is_said_only_where_a_class_has_nobody_else():
    apart, alike = Artefact("ill", 8, 32, 0.05, 1e-4), Artefact("ill", 8, 32, 0.6, 0.3)
    assert concern([apart], []) is None
    assert concern([alike], ["well"]) is None
    said = concern([apart], ["well"])
    assert "'ill'" in said
    assert "0.05" in said
    assert "'well'" in said


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: Alternating(PseMix(), a), Standardized])
def test_what_was_generated_for_training_is_drawn_again(wrap):
    bags, y = cohort(2)
    augmenter = wrap(RecipeMix(n_components=3))
    drawn, drawn_y = draw_generated(augmenter, bags, y, CLASSES, np.arange(len(y)), random_state=0)
    assert np.bincount(drawn_y).min() >= 10
    assert len(drawn) == len(drawn_y)
    # Their cells are cells of the cohort, in its own units.
    real = {row.tobytes() for row in np.round(bags.X, 3)}
    assert all(row.tobytes() in real for row in np.round(drawn.X[drawn.rows[:200]], 3))


def test_mixing_real_patients_generates_none():
    bags, y = cohort(3)
    assert draw_generated(PseMix(), bags, y, CLASSES, np.arange(len(y)), random_state=0) is None
