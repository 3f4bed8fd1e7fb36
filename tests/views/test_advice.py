"""Which representation is taken, and when something simpler is said to do as well."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from repatient.views import advise, simpler_warning


def frame(**errors):
    rows = [
        {"arm": arm, "seed": seed, "metric": "linear", "value": value}
        for arm, values in errors.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_the_representation_that_is_ahead_of_all_is_taken_with_certainty():
    errors = {"raw": [0.4, 0.42, 0.41], "translation": [0.3, 0.31, 0.33], "spi": [0.2, 0.21, 0.22], "random": [0, 0, 0]}
    advice = advise(frame(**errors), "linear")
    assert (advice.take, advice.certain) == ("spi", True)
    logs = np.log(errors["translation"]) - np.log(errors["spi"])
    bound = logs.mean() - stats.t.ppf(1 - 0.05 / 2, 2) * logs.std(ddof=1) / np.sqrt(3)
    row = advice.table.set_index("arm").loc["translation"]
    assert row["lower"] == pytest.approx(np.exp(bound))
    assert row["ratio"] == pytest.approx(np.exp(logs.mean()))
    assert "with 95 % certainty" in advice.sentence
    more = advise(frame(**errors), "linear", n_comparisons=60)
    assert more.table.set_index("arm").loc["translation", "lower"] < row["lower"]


def test_of_equals_the_simpler_is_taken():
    advice = advise(frame(spi=[0.2, 0.21, 0.3], translation=[0.205, 0.212, 0.3], raw=[0.3, 0.2, 0.5]), "linear")
    assert (advice.take, advice.certain) == ("translation", False)
    assert "is not certain" in advice.sentence


def test_one_seed_gives_no_certainty():
    advice = advise(frame(spi=[0.2], raw=[0.4]), "linear")
    assert (advice.take, advice.certain) == ("spi", False)
    assert "one seed gives no certainty" in advice.sentence
    with pytest.raises(ValueError, match="two or more are compared"):
        advise(frame(spi=[0.2], random=[0.4]), "linear")


def test_simpler_representations_are_named_where_they_do_as_well():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    good, poor = 3 * y[:, None] + rng.standard_normal((400, 1)), 0.3 * y[:, None] + rng.standard_normal((400, 1))
    training = np.arange(400) < 200
    errors, warning = simpler_warning({"raw": poor, "spi": good}, y, training=training, test=~training, reference="spi")
    assert errors["spi"] < 0.15 < errors["raw"]
    assert warning is None
    _, warning = simpler_warning({"raw": good, "spi": poor}, y, training=training, test=~training, reference="spi")
    assert "the primary view itself" in warning
    nothing = np.zeros(400, dtype=bool)
    assert simpler_warning({"raw": good, "spi": poor}, y, training=training, test=nothing, reference="spi") == (
        {},
        None,
    )
