from __future__ import annotations

import numpy as np
import pytest

from repatient.sampling import Moments, class_moments, moment_map


def cohort(rng, n_patients=6, d=4, n_classes=2):
    """Cells, their classes and patients; sizes of patients differ by class."""
    sizes = rng.integers(20, 60, size=n_patients * n_classes)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    classes = patients % n_classes
    mixing = rng.normal(size=(d, d))
    cells = (
        rng.normal(size=(len(patients), d)) @ mixing + 3 * classes[:, None] + rng.normal(size=(len(sizes), d))[patients]
    )
    return cells, classes, patients


def test_moments_are_weighted_by_patients():
    rng = np.random.default_rng(0)
    cells, classes, patients = cohort(rng)
    found = class_moments(cells, classes, patients, ["a", "b"])
    for i in range(2):
        of_class = [cells[patients == p] for p in np.unique(patients[classes == i])]
        mean = np.mean([part.mean(axis=0) for part in of_class], axis=0)
        np.testing.assert_allclose(found.means[i], mean)
        second = np.mean([(part - mean).T @ (part - mean) / len(part) for part in of_class], axis=0)
        np.testing.assert_allclose(found.covariances[i], second)
    np.testing.assert_array_equal(found.n_cells, np.bincount(classes))


def test_cells_left_out_and_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    cells, classes, patients = cohort(rng)
    classes = np.where(patients < 3, -1, classes)
    kept = classes >= 0
    whole = class_moments(cells[kept] + 1e4, classes[kept], patients[kept], ["a", "b"])
    monkeypatch.setattr("repatient.sampling._alignment._BLOCK_ROWS", 37)
    blocks = class_moments(cells + 1e4, classes, patients, ["a", "b"])
    np.testing.assert_allclose(whole.means, blocks.means)
    np.testing.assert_allclose(whole.covariances, blocks.covariances, rtol=1e-7, atol=1e-9)


def test_a_class_without_cells():
    with pytest.raises(ValueError, match=r"\['b'\]"):
        class_moments(np.zeros((3, 2)), np.zeros(3, dtype=int), np.arange(3), ["a", "b"])


def test_gain_and_offset_are_undone_exactly():
    """And so are they for cells of a class that the map was not fitted on."""
    rng = np.random.default_rng(2)
    cells, classes, patients = cohort(rng, n_classes=3)
    gain, offset = rng.uniform(0.5, 2, size=4), rng.normal(size=4)
    shifted = cells * gain + offset
    names = ["a", "b"]
    labels = np.where(classes == 2, -1, classes)
    move = moment_map(
        class_moments(shifted, labels, patients, names), class_moments(cells, labels, patients, names), names
    )
    np.testing.assert_allclose(move(shifted), cells, atol=1e-8)
    np.testing.assert_allclose(move.matrix, np.diag(1 / gain), atol=1e-9)


def test_moments_of_the_shared_classes_match_whatever_the_share_of_patients():
    """Class a is three times as frequent in the source: matched are the classes, not the cohorts."""
    rng = np.random.default_rng(3)
    cells, classes, patients = cohort(rng, n_patients=12)
    few = ~((classes == 1) & (patients > 8))
    names = ["a", "b"]
    source, target = (
        class_moments(cells[few] * 2 + 1, classes[few], patients[few], names),
        class_moments(*cohort(rng), names),
    )
    move = moment_map(source, target, names)
    moved = class_moments(move(cells[few] * 2 + 1), classes[few], patients[few], names)
    for found, expected in zip(moved.over(names), target.over(names), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-8)


def test_only_the_names_asked_for_count():
    rng = np.random.default_rng(4)
    cells, classes, patients = cohort(rng)
    target = class_moments(cells, classes, patients, ["a", "b"])
    other = np.where(classes[:, None] == 1, cells * 5 - 30, cells)
    source = class_moments(other, classes, patients, ["a", "b"])
    move = moment_map(source, target, ["a"])
    np.testing.assert_allclose(move.matrix, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(move.offset, 0, atol=1e-7)


def test_collinear_and_constant_features():
    """One feature is the sum of two others, as total and parts often are, and one is constant."""
    rng = np.random.default_rng(5)
    raw, classes, patients = cohort(rng, d=2, n_classes=1)

    def features(x):
        return np.column_stack([x, x.sum(axis=1), np.full(len(x), 7.0)])

    target = features(raw)
    source = features(rng.normal(size=(len(raw), 2)) * 3 + 1) * [1, 1, 1, 2]
    moments = [class_moments(x, classes, patients, ["a"]) for x in (source, target)]
    moved = moment_map(*moments, ["a"])(source)
    np.testing.assert_allclose(moved[:, 2], moved[:, 0] + moved[:, 1], atol=1e-7)
    np.testing.assert_allclose(moved[:, 3], 7, atol=1e-9)
    np.testing.assert_allclose(
        class_moments(moved, classes, patients, ["a"]).covariances[0], moments[1].covariances[0], atol=1e-6
    )


def test_few_cells_do_not_blow_up_directions_they_never_saw():
    rng = np.random.default_rng(6)
    target = rng.normal(size=(500, 20))
    source = rng.normal(size=(12, 20)) + 5
    moments = [class_moments(x, np.zeros(len(x), dtype=int), np.arange(len(x)) % 4, ["a"]) for x in (source, target)]
    move = moment_map(*moments, ["a"])
    others = rng.normal(size=(300, 20)) + 5
    assert 0.3 < move(others).std(axis=0).mean() < 3
    assert moments[0].uncertainty(["a"]) == pytest.approx(1 - 12 / 200)
    assert moments[1].uncertainty(["a"]) == 0


def test_moments_of_several_classes_are_those_of_a_balanced_mixture():
    rng = np.random.default_rng(7)
    means, roots = rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 3))
    covariances = roots @ roots.transpose(0, 2, 1)
    draws = np.concatenate(
        [rng.multivariate_normal(m, c, size=200_000) for m, c in zip(means, covariances, strict=True)]
    )
    mean, covariance = Moments(("a", "b"), means, covariances, np.array([1, 9])).over(["b", "a"])
    np.testing.assert_allclose(mean, draws.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(covariance, np.cov(draws.T), atol=0.1)
