from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import repatient as rp


@pytest.fixture
def halves(plain):
    first = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[:8]).to_numpy()
    return plain[first].copy(), plain[~first].copy()


def test_own_mixture_gives_the_same_assignment(generated):
    again = rp.tl.assign(generated, generated, key_added="again", copy=True)
    assert (again.obs["again"].astype(str) == generated.obs["gmm"].astype(str)).all()
    np.testing.assert_array_equal(again.obs["again_log_density"], generated.obs["gmm_log_density"])


def test_unshifted_cohort_is_covered(halves):
    reference, target = halves
    rp.tl.gmm(reference, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.assign(target, reference)
    report = target.uns["gmm"]["reference"]
    assert report["alignment"] == "raw"
    assert report["coverage"] > 0.95
    np.testing.assert_array_equal(target.uns["gmm"]["means"], reference.uns["gmm"]["means"])


def test_shift_is_noticed(halves):
    reference, target = halves
    rp.tl.gmm(reference, 5)
    target.obsm["X_pca"] = target.obsm["X_pca"] * 1.5 + 10
    with pytest.warns(UserWarning, match="Only .* Recipes should not be exchanged like this: pass `patient_key`"):
        rp.tl.assign(target, reference)
    assert target.uns["gmm"]["reference"]["coverage"] < 0.5


def test_reference_as_file_entry_or_object(halves, tmp_path, keys):
    reference, target = halves
    rp.tl.gmm(reference, 5)
    rp.tl.recipes(reference, **keys)
    rp.io.write_recipes(reference, tmp_path / "a.recipes.h5")
    sources = [reference, tmp_path / "a.recipes.h5", str(tmp_path / "a.recipes.h5"), reference.uns["gmm"]]
    found = [rp.tl.assign(target, source, copy=True).obs["gmm"].astype(str).tolist() for source in sources]
    assert all(labels == found[0] for labels in found)


def test_missing_class_from_another_cohort(plain, keys):
    """The first of the three scarcities: recipes of a class that the cohort does not have."""
    external = plain.copy()
    target = plain[plain.obs["label"] == "healthy"].copy()
    rp.tl.gmm(target, 6)
    with pytest.raises(ValueError, match="'disease'.*have no patient here"):
        rp.tl.recipes(target, **keys, labels=["healthy", "disease"])
    rp.tl.assign(external, target)
    rp.tl.recipes(external, **keys)
    rp.tl.recipes(target, **keys, labels=["healthy", "disease"], reference=external)
    entry = target.uns["recipes"]
    assert list(entry["classes"]) == ["healthy", "disease"]
    assert list(entry["origin"]) == ["cohort", "reference"]
    np.testing.assert_array_equal(entry["mean"].loc["disease"], external.uns["recipes"]["mean"].loc["disease"])
    rp.tl.generate(target, {"disease": 30})
    assert set(target.uns["generated"]["patients"]["recipe"]) == {"dirichlet_multinomial (reference)"}
    model = rp.tl.mil(target, **keys, generated_key="generated", model="attention")
    assert set(model.classes) == {"healthy", "disease"}
    predictions = model.predict(plain)
    label = plain.obs.groupby("patient", observed=True)["label"].first().loc[predictions.index]
    assert roc_auc_score(label == "disease", predictions["probability_disease"]) > 0.75


def test_errors(halves, untouched):
    reference, target = halves
    with untouched(target), pytest.raises(KeyError, match="'gmm'.*rp.tl.gmm"):
        rp.tl.assign(target, reference)
    rp.tl.gmm(reference, 4)
    target.obsm["X_pca"] = target.obsm["X_pca"][:, :4]
    with untouched(target), pytest.raises(ValueError, match="4 dimensions .* 10"):
        rp.tl.assign(target, reference)
    with pytest.raises(TypeError, match="reference.*int"):
        rp.tl.assign(target, 3)
    with pytest.raises(KeyError, match="no 'gmm' in it"):
        rp.tl.assign(target, {"a": 1})
    with pytest.raises(FileNotFoundError):
        rp.tl.assign(target, "nowhere.recipes.h5")
