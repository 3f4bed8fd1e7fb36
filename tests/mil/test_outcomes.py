from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax
from scipy.stats import norm

from repatient.mil import predictive_sd
from repatient.mil._outcomes import ClassOutcome, ContinuousOutcome, OrdinalOutcome, probabilities_of_grades
from repatient.mil._split import groups_needed, ranges_of_values
from repatient.mil._train import fit_temperature


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_losses_of_classes_are_the_cross_entropy_with_soft_targets(rng):
    logits = rng.normal(size=(5, 3)).astype(np.float32)
    targets = rng.dirichlet(np.ones(3), size=5).astype(np.float32)
    expected = -(targets * log_softmax(logits, axis=1)).sum(axis=1)
    losses = ClassOutcome(3).losses(*map(torch.from_numpy, (logits, targets)))
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)


def test_losses_of_grades_are_those_of_the_cumulative_logit_model(rng):
    ordinal_model = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    x, y = rng.normal(size=(60, 1)), rng.integers(0, 4, size=60)
    model = ordinal_model.OrderedModel(y, x, distr="logit")
    # First threshold, then logarithms of the distances to the next.
    parameters = np.array([0.7, -1.2, 0.3, -0.4])
    thresholds = np.cumsum(np.r_[parameters[1], np.exp(parameters[2:])])
    outputs = torch.from_numpy(thresholds - parameters[0] * x)
    losses = OrdinalOutcome(np.full(4, 0.25)).losses(outputs, torch.from_numpy(y))
    np.testing.assert_allclose(losses.numpy(), -model.loglikeobs(parameters), rtol=1e-8)
    soft = torch.from_numpy(rng.dirichlet(np.ones(4), size=60))
    certain = [OrdinalOutcome(np.full(4, 0.25)).losses(outputs, torch.full((60,), k)) for k in range(4)]
    expected = (soft * torch.stack(certain, dim=1)).sum(dim=1)
    np.testing.assert_allclose(OrdinalOutcome(np.full(4, 0.25)).losses(outputs, soft), expected, rtol=1e-8)


def test_grades_far_from_the_score_have_a_finite_loss_and_gradient():
    outputs = torch.tensor([[-90.0, -89.0], [90.0, 91.0]], requires_grad=True)
    losses = OrdinalOutcome(np.full(3, 1 / 3)).losses(outputs, torch.tensor([0, 2]))
    np.testing.assert_allclose(losses.detach(), [90.0, 91.0], rtol=1e-5)
    losses.sum().backward()
    assert torch.isfinite(outputs.grad).all()


def test_a_score_of_zero_predicts_the_shares_at_the_start():
    shares = np.array([0.1, 0.5, 0.15, 0.25])
    outputs = OrdinalOutcome(shares)(torch.zeros(1, 1)).detach().numpy()
    np.testing.assert_allclose(probabilities_of_grades(outputs)[0], shares, rtol=1e-5)
    np.testing.assert_allclose(expit(outputs[0]), np.cumsum(shares)[:-1], rtol=1e-5)


def test_thresholds_rise_and_probabilities_are_coherent_whatever_is_learnt(rng):
    outcome = OrdinalOutcome(rng.dirichlet(np.ones(6)))
    torch.nn.init.normal_(outcome.moved, std=3.0, generator=torch.Generator().manual_seed(0))
    thresholds = outcome.thresholds().detach().numpy()
    assert (np.diff(thresholds) > 0).all()
    scores = torch.from_numpy(rng.normal(size=(200, 1), scale=20).astype(np.float32))
    probabilities = probabilities_of_grades(outcome(scores).detach().numpy().astype(np.float64))
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
    above = 1 - np.cumsum(probabilities, axis=1)[np.argsort(scores[:, 0].numpy())]
    assert (np.diff(above, axis=0) >= -1e-12).all()


def test_losses_of_values_are_those_of_a_gaussian(rng):
    values = np.sort(rng.normal(size=7))
    outcome = ContinuousOutcome(values, unit=3.0)
    mean, log_variance, y = rng.normal(size=20), rng.normal(size=20), rng.integers(0, 7, size=20)
    outputs = torch.from_numpy(np.column_stack([mean, log_variance]).astype(np.float32))
    expected = -norm.logpdf(values[y], mean, np.exp(log_variance / 2))
    np.testing.assert_allclose(outcome.losses(outputs, torch.from_numpy(y)), expected, rtol=1e-4, atol=1e-5)
    # A bag of several values in some proportion has their mean.
    shares = rng.dirichlet(np.ones(7), size=20).astype(np.float32)
    expected = -norm.logpdf(shares @ values, mean, np.exp(log_variance / 2))
    np.testing.assert_allclose(outcome.losses(outputs, torch.from_numpy(shares)), expected, rtol=1e-4, atol=1e-5)
    assert outcome.score(outputs.numpy().astype(float), y) == pytest.approx(
        3 * np.abs(mean - values[y]).mean(), rel=1e-5
    )
    clamped = outcome(torch.tensor([[0.0, 1e6], [0.0, -1e6]]))
    assert (clamped[:, 1] == torch.tensor([4.0, -9.0])).all()


def test_the_temperature_of_values_is_the_factor_of_their_spread(rng):
    y = np.arange(3000)
    values = rng.normal(size=3000)
    outputs = np.column_stack([np.zeros(3000), np.full(3000, 2 * np.log(0.5))])
    assert fit_temperature(ContinuousOutcome(values, 1.0), outputs, y) == pytest.approx(2 * values.std(), rel=0.02)


def test_the_temperature_of_grades_divides_scores_and_thresholds(rng):
    outputs = np.sort(rng.normal(size=(4000, 3)) * 3, axis=1)
    y = np.array([rng.choice(4, p=p) for p in probabilities_of_grades(outputs / 1.7)])
    assert fit_temperature(OrdinalOutcome(np.full(4, 0.25)), outputs, y) == pytest.approx(1.7, rel=0.1)


def test_variances_of_passes_add_up(rng):
    means, sds = rng.normal(size=(400, 5)), rng.gamma(2.0, size=(400, 5))
    total, epistemic, aleatoric = predictive_sd(means, sds)
    np.testing.assert_allclose(total**2, epistemic**2 + aleatoric**2)
    draws = means[:, None] + sds[:, None] * rng.normal(size=(400, 500, 5))
    np.testing.assert_allclose(total, draws.reshape(-1, 5).std(axis=0), rtol=0.02)
    np.testing.assert_allclose(epistemic, means.std(axis=0))
    with pytest.raises(ValueError, match=r"\(passes, bags\)"):
        predictive_sd(means, sds[:5])


@pytest.mark.parametrize(("n", "n_ranges"), [(60, 5), (25, 5), (16, 3), (7, 1)])
def test_ranges_of_values_have_groups_to_spare_and_keep_the_order(rng, n, n_ranges):
    values = rng.lognormal(size=n)
    strata = ranges_of_values(values, np.arange(n), 0.2)
    assert len(strata.names) == n_ranges
    counts = np.bincount(strata.codes)
    assert counts.min() >= groups_needed(0.2) or n_ranges == 1
    assert counts.max() - counts.min() <= 2
    assert (np.diff(strata.codes[np.argsort(values)]) >= 0).all()
    np.testing.assert_array_equal(ranges_of_values(1e6 + 0.1 * values, np.arange(n), 0.2).codes, strata.codes)


def test_equal_values_are_of_one_range():
    values = np.repeat([0.0, 1.0, 5.0], [30, 20, 10])
    codes = ranges_of_values(values, np.arange(60), 0.2).codes
    assert all(len(np.unique(codes[values == value])) == 1 for value in np.unique(values))
    few = ranges_of_values(np.arange(20.0), np.arange(20) // 5, 0.2)
    assert few.names == ["0 to 19"]
