from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient import mixing
from repatient.mil import MILClassifier

QUICK = {"model": rp.mil.Attention(n_steps=4, validation_fraction=0.2)}


class Watched:
    """An augmenter that keeps what it was bound to and what it gave."""

    def __init__(self, augmenter):
        self.augmenter, self.given = augmenter, []

    def __repr__(self):
        return "Watched"

    def bind(self, bags, y, classes, groups):
        self.bound = (bags, y, classes, groups)
        self.sampler = self.augmenter.bind(bags, y, classes, groups)
        self.class_shares = self.sampler.class_shares
        return self

    def __call__(self, chosen, rng, score):
        bags, targets = self.sampler(chosen, rng, score)
        self.given.append((bags, targets))
        return bags, targets


@pytest.fixture
def passed(monkeypatch):
    """What the classifier is given to augment with."""
    seen = {}
    original = rp.mil.Attention.fit

    def spy(self, bags, y, **kwargs):
        seen.update(kwargs, bags=bags)
        return original(self, bags, y, **kwargs)

    monkeypatch.setattr(rp.mil.Attention, "fit", spy)
    return seen


def code(adata):
    return adata.obs["gmm"].cat.codes.to_numpy()


@pytest.mark.parametrize("name", mixing.augmenters())
def test_every_name_is_its_augmenter_with_default_settings(generated, keys, passed, name):
    rp.tl.mil(generated, **keys, augment=name, **QUICK)
    factory = mixing.augmenters()[name].factory
    assert type(passed["augment"]) is factory
    if name not in ("recipe", "counterfactual"):
        assert passed["augment"] == factory()
    assert generated.uns["mil"]["params"]["augment"] == name


def test_recipe_reads_a_mixture_that_is_named_and_the_kind_of_the_stored_recipes(generated, keys, passed):
    rp.tl.recipes(generated, **keys, kind="dirichlet", shrinkage=0.5, key_added="others")
    rp.tl.mil(generated, **keys, augment="recipe", gmm_key="gmm", recipes_key="others", **QUICK)
    augment = passed["augment"]
    np.testing.assert_array_equal(augment.components, code(generated))
    assert (augment.n_components, augment.kind, augment.shrinkage) == (6, "dirichlet", 0.5)
    assert augment.recipes is None
    assert generated.uns["mil"]["params"]["gmm_key"] == "gmm"
    del generated.uns["recipes"]
    rp.tl.mil(generated, **keys, augment="recipe", **QUICK)
    assert passed["augment"].kind == mixing.RecipeMix([0, 1]).kind
    assert passed["augment"].components is None


@pytest.mark.parametrize("augment", ["recipe+psemix", ["recipe", mixing.PseMix()]])
def test_several_take_turns(generated, keys, passed, augment):
    rp.tl.mil(generated, **keys, augment=augment, **QUICK)
    turns = passed["augment"].augmenters
    assert [type(turn).__name__ for turn in turns] == ["PseMix", "RecipeMix"] * 2
    assert [(turn.n_components, turn.label_mixing) for turn in turns[1::2]] == [(3, 0.5), (8, 0.5)]
    assert generated.uns["mil"]["params"]["augment"].startswith("recipe+")


def test_an_object_of_mixing_serves_with_its_settings(generated, keys):
    augment = Watched(mixing.RecipeMix(code(generated), share=1.0))
    rp.tl.mil(generated, **keys, augment=augment, **QUICK)
    assert len(augment.given) == 4
    assert all((np.bincount(targets.argmax(axis=1)) == [6, 6]).all() for _, targets in augment.given)
    assert generated.uns["mil"]["params"]["augment"] == "Watched"


def test_it_does_what_the_array_classifier_does(generated, keys):
    model = rp.tl.mil(generated, **keys, augment="psemix", **QUICK)
    plain = rp.tl.mil(generated, **keys, **QUICK)
    bags = rp.mil.Bags.from_codes(generated.obsm["X_pca"], generated.obs["patient"].cat.codes.to_numpy(), 16)
    y = generated.obs.groupby("patient", observed=True)["label"].first().astype(str).to_numpy()
    expected = QUICK["model"].fit(bags, y, augment=mixing.PseMix())
    np.testing.assert_array_equal(model.classifier.predict_proba(bags), expected.predict_proba(bags))
    assert (plain.classifier.predict_proba(bags) != expected.predict_proba(bags)).any()


# Two that take turns draw as either does alone.
@pytest.mark.parametrize(
    "name", [name for name in mixing.augmenters() if name not in ("recipe", "psemix")] + ["recipe+psemix"]
)
def test_no_cell_outside_the_mask_or_of_a_validation_donor_is_drawn(generated, keys, name, passed, monkeypatch):
    patients = generated.obs["patient"]
    inside = patients.isin(patients.cat.categories[:14]).to_numpy()
    generated.obs["donor"] = pd.Categorical(patients.cat.codes // 2)
    watched = []
    original = rp.mil.Attention.fit

    def fit(self, bags, y, augment, **kwargs):
        watched.append(Watched(augment))
        return original(self, bags, y, augment=watched[0], **kwargs)

    monkeypatch.setattr(rp.mil.Attention, "fit", fit)
    rp.tl.mil(
        generated,
        **keys,
        donor_key="donor",
        mask_obs=inside,
        augment=name,
        model=rp.mil.Attention(n_steps=6, validation_fraction=0.3),
    )
    split = generated.uns["mil"]["predictions"]["split"]
    assert (split == "validation").sum() > 0
    donor_of_patient = generated.obs.groupby("patient", observed=True)["donor"].first()
    held_out = set(donor_of_patient[split.index[split == "validation"]])
    allowed = inside & ~generated.obs["donor"].isin(held_out).to_numpy()
    bound = watched[0].bound[0]
    assert allowed[bound.rows].all()
    assert not set(watched[0].bound[3]) & {str(donor) for donor in held_out}
    assert len(watched[0].given) > 0
    for bags, _ in watched[0].given:
        if bags.X is bound.X:
            assert allowed[bags.rows].all()


def test_cells_outside_the_mask_do_not_matter(generated, keys):
    train = generated.obs["patient"].isin(generated.obs["patient"].cat.categories[:12]).to_numpy()
    other = generated.copy()
    other.obsm["X_pca"][~train] *= -7
    other.obs["label"] = other.obs["label"].where(train)
    codes = np.where(train, code(other), 0)
    other.obs["gmm"] = pd.Categorical.from_codes(codes, other.obs["gmm"].cat.categories)
    for name in ("recipe+psemix", "remix", "mixup", "rankmix"):
        for data in (generated, other):
            rp.tl.mil(data, **keys, mask_obs=train, augment=name, **QUICK)
        pd.testing.assert_frame_equal(generated.uns["mil"]["history"], other.uns["mil"]["history"])


def test_a_class_without_a_patient_comes_from_a_reference(generated, keys):
    healthy = generated[generated.obs["label"] == "healthy"].copy()
    with pytest.raises(ValueError, match="augment='recipe'"):
        rp.tl.mil(healthy, **keys, augment="recipe", **QUICK)
    rp.tl.recipes(healthy, **keys, reference=generated)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = rp.tl.mil(healthy, **keys, augment="recipe", **QUICK)
    assert model.classes == ["disease", "healthy"]
    threshold = healthy.uns["mil"]["threshold"]
    assert threshold["class"].tolist() == ["disease"]
    assert (threshold["low"] < threshold["shift"]).all()
    assert (threshold["shift"] < threshold["high"]).all()
    with pytest.raises(ValueError, match="two or more are needed"):
        rp.tl.mil(healthy, **keys, augment="psemix", **QUICK)


def test_recipes_of_this_cohort_are_not_drawn_on_for_a_class_outside_the_mask(generated, keys):
    # They were learnt from patients that the mask leaves out.
    healthy = (generated.obs["label"] == "healthy").to_numpy()
    with pytest.raises(ValueError, match="two or more are needed"):
        rp.tl.mil(generated, **keys, augment="recipe", mask_obs=healthy, **QUICK)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"augment": "cutmix"}, ValueError, "`augment`"),
        ({"augment": "recipe+"}, ValueError, "`augment`"),
        ({"augment": 3}, TypeError, "`augment`"),
        ({"augment": mixing.PseMix}, TypeError, "`augment`"),
        ({"augment": []}, ValueError, "`augment`"),
        ({"augment": "psemix", "generated_key": "generated"}, ValueError, "give one of the two"),
        ({"augment": "recipe", "gmm_key": "other"}, KeyError, "`gmm_key`: no 'other' in `uns`"),
        ({"augment": "psemix", "model": rp.mil.Attention(n_steps=0)}, ValueError, "`n_steps`"),
        ({"augment": "psemix", "model": "forest"}, ValueError, "`model`"),
        ({"model": MILClassifier}, TypeError, "`model`"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(generated, keys, untouched, options, error, message):
    with untouched(generated), pytest.raises(error, match=message):
        rp.tl.mil(generated, **keys, **options)


def test_a_references_recipes_of_a_refitted_mixture_are_refused(generated, keys):
    healthy = generated[generated.obs["label"] == "healthy"].copy()
    rp.tl.recipes(healthy, **keys, reference=generated)
    rp.tl.gmm(healthy, 4)
    with pytest.raises(ValueError, match="The recipes belong to another mixture"):
        rp.tl.mil(healthy, **keys, augment="recipe", **QUICK)


def test_results_survive_the_disk(plain, keys, read_back, same_content):
    plain = plain[:, :5].copy()
    rp.tl.mil(plain, **keys, augment=["recipe", mixing.InsMix(alpha=0.5)], **QUICK)
    assert plain.uns["mil"]["params"]["augment"] == "recipe+InsMix(alpha=0.5)"
    for form in ("h5ad", "zarr"):
        same_content(plain, read_back(plain, form))


def test_the_same_seed_gives_the_same_bits(generated, keys):
    first = rp.tl.mil(generated, **keys, augment="recipe+psemix", **QUICK, copy=True)[1]
    again = rp.tl.mil(generated, **keys, augment="recipe+psemix", **QUICK, copy=True)[1]
    pd.testing.assert_frame_equal(first.uns["mil"]["predictions"], again.uns["mil"]["predictions"])
    other = rp.tl.mil(generated, **keys, augment="recipe+psemix", **QUICK, random_state=1, copy=True)[1]
    assert (first.uns["mil"]["history"] != other.uns["mil"]["history"]).any().any()
