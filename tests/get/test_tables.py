from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import repatient as rp


def test_compositions_of_real_and_generated(generated):
    table = rp.get.compositions(generated, generated_key="generated")
    assert table.index.names == ["label", "is_generated", "patient"]
    cells = rp.get.generated(generated)
    expected = pd.crosstab(cells.obs["patient"], cells.obs["gmm"])
    fakes = table.xs(key=True, level="is_generated").droplevel("label")
    np.testing.assert_array_equal(fakes, expected.loc[fakes.index])
    real = table.xs(key=False, level="is_generated").droplevel("label")
    np.testing.assert_array_equal(real, generated.uns["recipes"]["counts"])
    assert len(rp.get.compositions(generated)) == 16


def test_recipes_are_a_tidy_table(generated):
    table = rp.get.recipes(generated, interval=0.9)
    assert len(table) == 12
    entry = generated.uns["recipes"]
    mean = entry["mean"].loc["disease"].to_numpy()
    rows = table[table["class"] == "disease"].set_index("component")
    np.testing.assert_array_equal(rows["mean"], mean)
    concentration = entry["concentration"][list(entry["classes"]).index("disease")]
    low, high = stats.beta.interval(0.9, concentration * mean, concentration * (1 - mean))
    np.testing.assert_allclose(rows["low"], low, atol=0.01)
    np.testing.assert_allclose(rows["high"], high, atol=0.01)
    np.testing.assert_allclose(rows["sd"], np.sqrt(mean * (1 - mean) / (concentration + 1)), rtol=0.08)
    with pytest.raises(ValueError, match="interval"):
        rp.get.recipes(generated, interval=2)
