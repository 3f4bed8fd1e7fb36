from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from repatient.recipe._ordination import ordinate


@pytest.fixture
def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.multinomial(200, rng.dirichlet(np.array([8.0, 4, 2, 1, 0.3]), size=12))


def centred_log_ratios(counts: np.ndarray) -> np.ndarray:
    logarithms = np.log(counts + 0.5)
    return logarithms - logarithms.mean(axis=1, keepdims=True)


def test_principal_components_of_centred_log_ratios(counts):
    fitted, others = counts[:8], counts[8:]
    pca = PCA(3).fit(centred_log_ratios(fitted))
    ordination = ordinate(fitted, others, n_axes=3)
    expected = pca.transform(centred_log_ratios(fitted))
    signs = np.sign((expected * ordination.fitted).sum(axis=0))
    np.testing.assert_allclose(ordination.fitted, expected * signs, atol=1e-10)
    np.testing.assert_allclose(ordination.projected, pca.transform(centred_log_ratios(others)) * signs, atol=1e-10)
    np.testing.assert_allclose(ordination.explained, pca.explained_variance_ratio_)


def test_other_patients_do_not_move_the_axes(counts):
    alone = ordinate(counts[:8], counts[:0])
    np.testing.assert_array_equal(alone.fitted, ordinate(counts[:8], counts[8:]).fitted)
    assert alone.projected.shape == (0, 2)


def test_order_of_the_components_does_not_matter(counts):
    a, b = (ordinate(part, part) for part in (counts, counts[:, ::-1]))
    np.testing.assert_allclose(a.fitted, b.fitted, atol=1e-10)


def test_axes_point_to_the_furthest_patient(counts):
    fitted = ordinate(counts, counts).fitted
    assert (fitted.max(axis=0) >= -fitted.min(axis=0)).all()


@pytest.mark.parametrize("shape", [(2, 5), (12, 2)])
def test_too_few_patients_or_components(counts, shape):
    part = counts[: shape[0], : shape[1]]
    with pytest.raises(ValueError, match=rf"there are {shape[0]} patients and {shape[1]} components"):
        ordinate(part, part)


def test_patients_that_are_all_alike():
    with pytest.raises(ValueError, match="composition"):
        ordinate(np.full((5, 4), 7), np.full((1, 4), 7))
