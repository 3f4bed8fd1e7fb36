from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from repatient.views._spaces import VectorSpace
from repatient.views._transport import LinkedFeatures, barycentric_targets, linked_features

pytest.importorskip("ot")


def sinkhorn(costs, regularisation):
    """The plan in the logarithmic domain, by its textbook iterations."""
    n, m = costs.shape
    kernel, f, g = -costs / regularisation, np.zeros(n), np.zeros(m)
    for _ in range(3000):
        f = -np.log(n) - logsumexp(kernel + g, axis=1)
        g = -np.log(m) - logsumexp(kernel + f[:, None], axis=0)
    return np.exp(kernel + f[:, None] + g)


def test_barycentric_targets_follow_the_entropic_plan():
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=(30, 2)), rng.normal(size=(40, 2)), rng.normal(size=(40, 3)).astype(np.float32)
    costs = cdist(a, b, "sqeuclidean")
    plan = sinkhorn(costs, 0.1 * costs.mean())
    found = barycentric_targets(LinkedFeatures(a, b), y, 0.1)
    np.testing.assert_allclose(found, plan / plan.sum(axis=1, keepdims=True) @ y, atol=2e-3)


def test_with_little_entropy_rows_find_their_partners():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(50, 3))
    order = rng.permutation(50)
    y = rng.normal(size=(50, 2)).astype(np.float32)
    found = barycentric_targets(LinkedFeatures(a, a[order]), y, 0.002)
    np.testing.assert_allclose(found, y[np.argsort(order)], atol=1e-2)


def test_linked_columns_are_averaged_smoothed_and_standardised():
    rng = np.random.default_rng(2)
    source, target = (rng.normal(size=(60, d)).astype(np.float32) for d in (4, 3))
    spaces = VectorSpace.fit(source, 0), VectorSpace.fit(target, 0)
    links = np.array([[0, 2], [1, 2], [3, 0]])
    linked = linked_features(source, target, links, spaces, 3)
    expected = np.column_stack([source[:, 3], source[:, [0, 1]].mean(axis=1)])
    np.testing.assert_allclose(
        linked.source, (expected - expected.mean(axis=0)) / expected.std(axis=0), rtol=1e-4, atol=1e-5
    )
    assert linked_features(source, target, links, spaces, 30).target.shape == (60, 2)


def test_what_smoothing_leaves_of_rounding_is_no_signal():
    """The mean of all rows is the same for each row, but for the order in which it is summed."""
    rng = np.random.default_rng(3)
    views = [rng.normal(size=(9, 2)).astype(np.float32) for _ in range(2)]
    spaces = VectorSpace.fit(views[0], 0), VectorSpace.fit(views[1], 0)
    linked = linked_features(*views, np.array([[0, 0], [1, 1]]), spaces, 30)
    assert not linked.source.any()
    assert not linked.target.any()
    with pytest.raises(ValueError, match="no linked feature varies"):
        barycentric_targets(linked, views[1], 0.02)
