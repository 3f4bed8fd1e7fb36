from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from repatient.mil import epistemic, margin, total_entropy


@pytest.fixture
def passes() -> np.ndarray:
    return np.random.default_rng(0).dirichlet([0.5, 1.0, 2.0], size=(20, 30))


def test_total_entropy_is_that_of_the_mean(passes):
    np.testing.assert_allclose(total_entropy(passes), entropy(passes.mean(axis=0), axis=1))


def test_epistemic_is_the_information_between_prediction_and_pass(passes):
    # The mutual information as the mean divergence of each pass from the mean prediction.
    expected = np.mean([entropy(p, passes.mean(axis=0), axis=1) for p in passes], axis=0)
    np.testing.assert_allclose(epistemic(passes), expected)
    assert np.all(epistemic(passes) <= total_entropy(passes))


def test_extremes_in_nats():
    certain = np.tile([[[1.0, 0.0]]], (4, 1, 1))
    undecided = np.full((4, 1, 2), 0.5)
    split = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    for measure in (total_entropy, epistemic, margin):
        np.testing.assert_allclose(measure(certain), 0.0)
    np.testing.assert_allclose(total_entropy(undecided), np.log(2))
    np.testing.assert_allclose(epistemic(undecided), 0.0, atol=1e-12)
    np.testing.assert_allclose(epistemic(split), np.log(2))
    np.testing.assert_allclose(margin(undecided), 1.0)


def test_margin_is_of_the_two_highest():
    np.testing.assert_allclose(margin([[[0.2, 0.5, 0.3]], [[0.0, 0.7, 0.3]]]), [1 - (0.6 - 0.3)])


@pytest.mark.parametrize("measure", [total_entropy, epistemic, margin])
def test_what_is_no_probability_is_refused(measure):
    with pytest.raises(ValueError, match="shape"):
        measure(np.full((4, 2), 0.5))
    with pytest.raises(ValueError, match="sum"):
        measure(np.full((1, 4, 2), 0.6))
    with pytest.raises(ValueError, match="non-negative"):
        measure(np.array([[[1.5, -0.5]]]))
