from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling import draw_gaussians

MEANS = np.array([[0.0, 10.0, -3.0], [1e3, 0.0, 2.0], [5.0, 5.0, 5.0]])
FULL = np.stack(
    [
        np.array([[4.0, 1.5, 0.0], [1.5, 2.0, -0.3], [0.0, -0.3, 0.25]]),
        np.diag([1e4, 1.0, 1e-4]),
        np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 9.0]]),
    ]
)
COUNTS = np.tile([200, 100, 0], (40, 1))


def draw(covariance_type="full", covariances=FULL, counts=COUNTS, seed=0):
    return draw_gaussians(counts, MEANS, covariances, covariance_type, seed=seed)


@pytest.mark.parametrize(
    ("covariance_type", "stored", "of_component"),
    [
        ("full", FULL, FULL),
        ("tied", FULL[0], np.stack([FULL[0]] * 3)),
        ("diag", np.array([[4.0, 1, 9], [1e4, 1, 1e-4], [1, 1, 1]]), [np.diag([4.0, 1, 9]), np.diag([1e4, 1, 1e-4])]),
    ],
)
def test_each_component_has_its_distribution(covariance_type, stored, of_component):
    points = draw(covariance_type, stored)
    for k, number in ((0, 8000), (1, 4000)):
        cells = points.embedding[points.components == k].astype(np.float64)
        assert len(cells) == number
        white = np.linalg.solve(np.linalg.cholesky(of_component[k]), (cells - MEANS[k]).T).T
        for column in white.T:
            assert stats.kstest(column, "norm").pvalue > 1e-3
        # Squared lengths of white rows are chi-squared only if the directions are uncorrelated.
        assert stats.kstest((white**2).sum(axis=1), stats.chi2(3).cdf).pvalue > 1e-3
        np.testing.assert_allclose(np.corrcoef(white.T), np.eye(3), atol=0.06)


def test_patients_have_the_cells_that_were_asked_for():
    counts = np.random.default_rng(0).integers(0, 4, size=(30, 3))
    counts[7] = 0
    points = draw(counts=counts)
    assert points.embedding.dtype == np.float32
    np.testing.assert_array_equal(np.diff(points.indptr), counts.sum(axis=1))
    for i, asked in enumerate(counts):
        own = points.components[points.indptr[i] : points.indptr[i + 1]]
        np.testing.assert_array_equal(np.bincount(own, minlength=3), asked)


def test_the_seed_decides_the_bits_and_no_cell_comes_twice():
    first, again, other = draw(), draw(), draw(seed=1)
    np.testing.assert_array_equal(first.embedding, again.embedding)
    assert not (first.embedding == other.embedding).any(axis=1).all()
    assert len(np.unique(first.embedding, axis=0)) == len(first.embedding)


def test_a_patient_does_not_depend_on_those_after_it():
    np.testing.assert_allclose(draw(counts=COUNTS[:3]).embedding, draw().embedding[:900], rtol=1e-5, atol=1e-5)


def test_no_patients_and_no_cells():
    assert draw(counts=np.zeros((2, 3), dtype=int)).embedding.shape == (0, 3)
    assert draw(counts=np.zeros((0, 3), dtype=int)).indptr.tolist() == [0]


def test_errors():
    with pytest.raises(ValueError, match="component 1"):
        draw(covariances=FULL * np.array([1, -1, 1])[:, None, None])
    with pytest.raises(ValueError, match="component 0"):
        draw("diag", np.zeros((3, 3)))
    with pytest.raises(ValueError, match="'spherical'"):
        draw("spherical")
