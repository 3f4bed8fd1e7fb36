from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from repatient import mixing
from repatient.mil import Bags, MILClassifier
from repatient.mixing import (
    Alternating,
    InsMix,
    Mixup,
    Oversampling,
    PseMix,
    RankMix,
    RecipeMix,
    ReMix,
    SameClassMixing,
)

NAMES = ["Oversampling", "SameClassMixing", "InsMix", "Mixup", "RankMix", "PseMix", "RecipeMix", "Alternating"]
NAMES += [f"ReMix {mode}" for mode in ("replace", "append", "interpolate", "covary", "joint")]


def build(name, components):
    if name == "RecipeMix":
        return RecipeMix(components)
    if name == "Alternating":
        return Alternating(PseMix(), RecipeMix(components))
    kind, _, mode = name.partition(" ")
    return getattr(mixing, kind)(*([mode] if mode else []))


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_of_another_bag_is_ever_used(cohort, name):
    sampler = cohort.bind(build(name, cohort.components))
    rng, order = np.random.default_rng(0), np.random.default_rng(1)
    for _ in range(30):
        bags, _ = sampler(order.permutation(20)[: order.integers(1, 17)], rng, cohort.score)
        if bags.X is cohort.bags.X:
            assert cohort.sources(bags).min() >= 0
    # Nothing depends on the cells of other bags, for those that make cells of their own.
    other = cohort.everyone.X.copy()
    other[cohort.everyone.take(np.arange(20, 26)).rows] = np.nan
    poisoned = build(name, cohort.components).bind(
        Bags(other, cohort.bags.rows, cohort.bags.indptr), cohort.y, cohort.classes, cohort.groups
    )
    bags, _ = poisoned(np.arange(16), np.random.default_rng(0), cohort.score)
    assert np.isfinite(bags.X[bags.rows]).all()


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_probabilities_and_bags_are_not_empty(cohort, name):
    sampler = cohort.bind(build(name, cohort.components))
    rng = np.random.default_rng(0)
    for n in (1, 2, 16, 20):
        bags, targets = sampler(rng.permutation(20)[:n], rng, cohort.score)
        assert len(bags) == n
        assert bags.sizes.min() > 0
        assert targets.dtype == np.float32
        assert targets.min() >= 0
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_class_shares_are_the_mean_targets(cohort, name):
    sampler = cohort.bind(build(name, cohort.components))
    rng = np.random.default_rng(0)
    targets = [sampler(rng.permutation(20)[:10], rng, cohort.score)[1] for _ in range(400)]
    np.testing.assert_allclose(np.concatenate(targets).mean(axis=0), sampler.class_shares, atol=0.03)
    assert sampler.class_shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_everything(cohort, name):
    def steps(seed):
        sampler, rng = cohort.bind(build(name, cohort.components)), np.random.default_rng(seed)
        made = [sampler(np.arange(12), rng, cohort.score) for _ in range(3)]
        return [np.concatenate([bags.X[bags.rows].ravel(), targets.ravel()]) for bags, targets in made]

    first, again, other = steps(0), steps(0), steps(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[2])


@pytest.mark.parametrize("name", NAMES)
def test_bags_of_one_cell_can_be_mixed(name):
    X = np.random.default_rng(0).normal(size=(8, 3))
    bags = Bags.from_codes(X, [0, 1, 2, 3, 4, 4, 5, 5], 6)
    y = np.array([0, 0, 0, 1, 1, 1])
    sampler = build(name, np.arange(8) % 2).bind(bags, y, np.arange(2), np.arange(6))
    rng = np.random.default_rng(0)
    for _ in range(50):
        made, targets = sampler(rng.permutation(6), rng, lambda some: np.zeros(len(some.rows), np.float32))
        assert made.sizes.min() > 0
        assert targets.shape == (6, 2)


def planted(seed, n_bags=40):
    rng = np.random.default_rng(seed)
    y = np.arange(n_bags) % 2
    X = rng.normal(size=(n_bags * 30, 4)).astype(np.float32)
    codes = np.repeat(np.arange(n_bags), 30)
    kind = rng.random(len(X)) < np.where(y[codes] == 1, 0.6, 0.2)
    X[kind, 0] += 4
    return Bags.from_codes(X, codes, n_bags), y, kind.astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_learns_with_it(name):
    bags, y, components = planted(0)
    test, y_test, _ = planted(1)
    model = MILClassifier(max_epochs=20, validation_fraction=0.0).fit(bags, y, augment=build(name, components))
    assert roc_auc_score(y_test, model.predict_proba(test)[:, 1]) > 0.9


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: InsMix(alpha=0), ValueError, "`alpha`.*0.*0"),
        (lambda: Mixup(alpha="much"), TypeError, "`alpha`.*0"),
        (lambda: RankMix(beta=-1), ValueError, "`beta`"),
        (lambda: RankMix(warm_up=1.5), TypeError, "`warm_up`.*0"),
        (lambda: ReMix("swap"), ValueError, "`mode`.*'covary'.*'swap'"),
        (lambda: ReMix(n_prototypes=0), ValueError, "`n_prototypes`.*1"),
        (lambda: ReMix(rate=1.2), ValueError, "`rate`.*0"),
        (lambda: PseMix(n_pseudo_bags=True), TypeError, "`n_pseudo_bags`"),
        (lambda: PseMix(mixing_probability="often"), TypeError, "`mixing_probability`"),
        (lambda: RecipeMix([0, 1], share=2), ValueError, "`share`"),
        (lambda: RecipeMix([0.5, 1.0]), ValueError, "`components`.*4"),
        (lambda: RecipeMix([0, 1], kind="soup"), ValueError, "`kind`"),
        (lambda: RecipeMix([0, 1], shrinkage=-1), ValueError, "`shrinkage`"),
        (lambda: RecipeMix([0, 1], pool="b"), ValueError, "`pool`"),
        (lambda: RecipeMix([0, 1], n_donors=0), ValueError, "`n_donors`"),
        (lambda: RecipeMix([0, 1], recipes={}), TypeError, "`recipes`"),
        (lambda: RecipeMix([0, 1], pool="same", label_mixing=0.5), ValueError, "`label_mixing`.*`pool='all'`"),
        (Alternating, ValueError, "`augmenters`"),
    ],
)
def test_bad_settings_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_settings_are_part_of_the_name():
    assert repr(Alternating(PseMix(), Oversampling())) == f"Alternating({PseMix()!r}, Oversampling())"
    assert repr(RecipeMix(np.zeros(5, int))).startswith("RecipeMix(n_components=None, share=None, kind=")
    assert SameClassMixing() == SameClassMixing()
