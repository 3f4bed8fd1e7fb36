"""The mixture of a fold."""

from __future__ import annotations

import numpy as np
import pytest

from repatient.mixture import Components, GaussianMixture


@pytest.mark.parametrize("n_cells", [6, 40])
@pytest.mark.parametrize("n_features", [1, 2])
def test_half_precision_is_regularised_as_double(n_cells, n_features):
    rows = (np.random.default_rng(0).standard_normal((n_cells, n_features)) * 1e4).astype(np.float16)
    half, double = (Components.fit(rows.astype(kind), 2, random_state=0) for kind in (np.float16, np.float64))
    assert np.mean(half.assign(rows) == double.assign(rows.astype(np.float64))) > 0.9


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("name", ["tol", "reg_covar"])
def test_numbers_that_are_no_regularisation_are_refused(name, value):
    rows = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(ValueError, match=f"`{name}`"):
        GaussianMixture(2, **{name: value}).fit(rows)
