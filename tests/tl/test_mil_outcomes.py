from __future__ import annotations

import warnings

import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient import mixing
from repatient.mil import MILOrdinalClassifier, MILRegressor

VALUES = {"patient_key": "patient", "label_key": "score", "outcome": "continuous"}
GRADES = {"patient_key": "patient", "label_key": "grade", "outcome": "ordinal"}
QUICK = {"model": rp.mil.Attention(n_steps=4, validation_fraction=0.2)}


@pytest.fixture(autouse=True)
def _few_patients():
    """Sixteen patients of three grades have none to spare for a validation set, which is said."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No validation set")
        yield


def test_grades_are_predicted_in_their_order(valued):
    model = rp.tl.mil(valued, **GRADES, model=rp.mil.Attention(n_steps=30, validation_fraction=0.2))
    predictions = valued.uns["mil"]["predictions"]
    columns = ["probability_none", "probability_mild", "probability_severe"]
    assert [name for name in predictions if name.startswith("probability_")] == columns
    for column in ("label", "predicted"):
        assert predictions[column].cat.ordered
        assert predictions[column].cat.categories.tolist() == ["none", "mild", "severe"]
    probabilities = predictions[columns].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(predictions["expected_grade"], probabilities @ [0, 1, 2])
    assert predictions.groupby("label", observed=True)["expected_grade"].mean().is_monotonic_increasing
    assert (predictions["epistemic"] <= predictions["uncertainty"] + 1e-9).all()
    assert isinstance(model.classifier.network_, MILOrdinalClassifier)
    assert (model.outcome, model.classes) == ("ordinal", ["none", "mild", "severe"])
    assert valued.uns["mil"]["params"]["outcome"] == "ordinal"


def test_values_are_predicted_in_their_unit(judged):
    adata, model = judged
    predictions = adata.uns["mil"]["predictions"]
    scores = adata.obs.groupby("patient", observed=True)["score"].first()
    np.testing.assert_array_equal(predictions["label"], scores.loc[predictions.index])
    assert list(predictions) == ["label", "split", "predicted", "uncertainty", "epistemic", "aleatoric"]
    squares = predictions[["uncertainty", "epistemic", "aleatoric"]] ** 2
    np.testing.assert_allclose(squares["uncertainty"], squares["epistemic"] + squares["aleatoric"])
    assert scores.min() - scores.std() < predictions["predicted"].mean() < scores.max() + scores.std()
    assert np.corrcoef(predictions["predicted"], predictions["label"])[0, 1] > 0.5
    assert set(predictions["split"]) == {"train", "validation"}
    assert "validation_mean_absolute_error" in adata.uns["mil"]["history"]
    assert adata.uns["mil"]["params"]["n_generated"] == 25
    assert isinstance(model.classifier.network_, MILRegressor)
    assert (model.outcome, model.classes) == ("continuous", [])
    assert "continuous" in repr(model)


def test_it_does_what_the_array_models_do(valued):
    codes = valued.obs["patient"].cat.codes.to_numpy()
    bags = rp.mil.Bags.from_codes(valued.obsm["X_pca"], codes, 16)
    first = valued.obs.groupby("patient", observed=True)[["score", "grade"]].first()
    model = rp.tl.mil(valued, **VALUES, augment="psemix", **QUICK)
    expected = MILRegressor(n_steps=4).fit(bags, first["score"], augment=mixing.PseMix())
    np.testing.assert_array_equal(model.classifier.predict(bags), expected.predict(bags))
    model = rp.tl.mil(valued, **GRADES, **QUICK)
    expected = MILOrdinalClassifier(n_steps=4).fit(bags, first["grade"].astype(str), classes=["none", "mild", "severe"])
    np.testing.assert_array_equal(model.classifier.predict_proba(bags), expected.predict_proba(bags))


def test_patients_without_a_value_are_predicted_and_not_trained_on(valued):
    unknown = valued.obs["patient"].cat.categories[:2]
    other = valued.copy()
    valued.obs["score"] = valued.obs["score"].where(~valued.obs["patient"].isin(unknown))
    rp.tl.mil(valued, **VALUES, **QUICK)
    predictions = valued.uns["mil"]["predictions"]
    assert (predictions.loc[unknown, "split"] == "not trained on").all()
    assert predictions.loc[unknown, "label"].isna().all()
    assert predictions["predicted"].notna().all()
    # Values outside the mask are not looked at either.
    train = ~other.obs["patient"].isin(unknown).to_numpy()
    other.obs["score"] = np.where(train, other.obs["score"], -1e9)
    rp.tl.mil(other, **VALUES, mask_obs=train, **QUICK)
    pd.testing.assert_frame_equal(valued.uns["mil"]["history"], other.uns["mil"]["history"])


@pytest.mark.parametrize("outcome", [VALUES, GRADES], ids=["values", "grades"])
def test_models_on_a_new_cohort_and_from_disk(valued, outcome, tmp_path):
    model = rp.tl.mil(valued, **outcome, **QUICK)
    new = valued[valued.obs["patient"].cat.codes < 5].copy()
    new.obs = new.obs[["patient"]].rename(columns={"patient": "sample"})
    frame = model.predict(new, patient_key="sample")
    expected = valued.uns["mil"]["predictions"].drop(columns=["label", "split"]).iloc[:5]
    pd.testing.assert_frame_equal(frame[expected.columns], expected, check_names=False, atol=1e-6)
    model.save(tmp_path / "model")
    loaded = rp.tl.PatientClassifier.load(tmp_path / "model")
    assert loaded.outcome == outcome["outcome"]
    pd.testing.assert_frame_equal(loaded.predict(new, patient_key="sample"), frame)


def test_results_survive_the_disk(judged, read_back, same_content):
    adata, model = judged
    rp.tl.select(adata, model, generated_key="valued")
    rp.tl.mil(adata, **GRADES, key_added="ordered", **QUICK)
    for form in ("h5ad", "zarr"):
        back = read_back(adata, form)
        same_content(adata, back)
        assert back.uns["ordered"]["predictions"]["predicted"].cat.ordered


def test_mudata(valued, tmp_path, same_content):
    mdata = md.MuData({"rna": valued[:, :3].copy()})
    for column in ("patient", "score", "grade", "gmm"):
        mdata.obs[column] = valued.obs[column]
    mdata.uns["gmm"] = valued.uns["gmm"]
    mdata.obsm["X_pca"] = valued.obsm["X_pca"]
    rp.tl.recipes(mdata, **VALUES)
    rp.tl.generate(mdata, 6)
    model = rp.tl.mil(mdata, **VALUES, generated_key="generated", **QUICK)
    rp.tl.select(mdata, model)
    rp.tl.mil(mdata, **GRADES, key_added="ordered", **QUICK)
    mdata.write_h5mu(tmp_path / "cohort.h5mu")
    same_content(mdata, md.read_h5mu(tmp_path / "cohort.h5mu"))


def test_generated_grades_are_trained_on_as_classes_are(valued):
    keys = {"patient_key": "patient", "label_key": "grade"}
    rp.tl.recipes(valued, **keys, outcome="ordinal")
    rp.tl.generate(valued, 4)
    model = rp.tl.mil(valued, **GRADES, generated_key="generated", **QUICK)
    assert valued.uns["mil"]["params"]["n_generated"] == 12
    rp.tl.select(valued, model, fraction=0.5)
    table = valued.uns["generated"]["patients"]
    assert table.groupby("label", observed=True)["selected"].sum().tolist() == [2, 2, 2]
    assert table["predicted"].cat.ordered
    rp.tl.mil(valued, **GRADES, augment="recipe+psemix", **QUICK)
    joined = rp.get.augmented(valued)
    assert joined.obs["grade"].cat.categories.tolist() == ["none", "mild", "severe"]
    assert joined.obs["grade"].cat.ordered
    rp.tl.mil(joined, **GRADES, **QUICK)


def test_a_generated_grade_needs_a_place_in_the_order(valued):
    keys = {"patient_key": "patient", "label_key": "grade"}
    mild = valued[valued.obs["grade"] != "severe"].copy()
    mild.obs["grade"] = mild.obs["grade"].cat.remove_unused_categories()
    rp.tl.recipes(mild, **keys, reference=_with_recipes(valued, keys))
    rp.tl.generate(mild, 3)
    with pytest.raises(ValueError, match=r"generated grades \['severe'\] have no place among .*set_categories"):
        rp.tl.mil(mild, **GRADES, generated_key="generated", **QUICK)
    mild.obs["grade"] = mild.obs["grade"].cat.set_categories(["none", "mild", "severe"], ordered=True)
    assert rp.tl.mil(mild, **GRADES, generated_key="generated", **QUICK).classes == ["none", "mild", "severe"]


def _with_recipes(adata, keys):
    adata = adata.copy()
    rp.tl.recipes(adata, **keys)
    return adata


def test_selection_of_patients_with_values(judged):
    adata, model = judged
    rp.tl.select(adata, [model, model], generated_key="valued", fraction=0.4)
    table = adata.uns["valued"]["patients"]
    assert table["predicted"].dtype == np.float64
    assert table["selected"].sum() == 10
    # Two of each fifth of the values, and those of the lowest spread.
    fifths = table["label"].rank(method="first").sub(1).floordiv(5)
    assert table.groupby(fifths)["selected"].sum().tolist() == [2] * 5
    for _, some in table.groupby(fifths):
        assert some.loc[some["selected"], "uncertainty"].max() <= some.loc[~some["selected"], "uncertainty"].min()
    total = table["uncertainty"].copy()
    rp.tl.select(adata, model, by="epistemic", keep="all", generated_key="valued")
    assert (adata.uns["valued"]["patients"]["uncertainty"] < total).all()
    rp.tl.select(adata, model, by="random", keep="high", generated_key="valued")
    rp.tl.mil(adata, **VALUES, generated_key="valued", **QUICK)
    assert adata.uns["mil"]["params"]["n_generated"] == 10


def test_selection_that_needs_classes(judged, generated, trained, untouched):
    adata, model = judged
    for options, match in (
        ({"keep": "correct"}, "keeps the patients predicted as their label, which a predicted value is never exactly"),
        ({"by": "margin"}, "compares two classes, and values have none"),
        ({"generated_key": "generated"}, "have classes as labels, and `outcome='continuous'` needs values"),
    ):
        with untouched(adata), pytest.raises(ValueError, match=match):
            rp.tl.select(adata, model, **({"generated_key": "valued"} | options))
    with pytest.raises(ValueError, match="have values as labels, and `outcome='class'` needs classes"):
        rp.tl.select(adata, trained[1], generated_key="valued")
    with pytest.raises(ValueError, match=r"different outcomes: \['continuous', 'class'\]"):
        rp.tl.select(adata, [model, trained[1]], generated_key="valued")


def test_bad_input_is_named_and_nothing_is_written(valued, keys, untouched):
    valued.obs["unordered"] = valued.obs["grade"].cat.as_unordered()
    patient = {"patient_key": "patient"}
    wrong = (
        ({**keys, "outcome": "grade"}, ValueError, r"`outcome` is one of \['class', 'ordinal', 'continuous'\]"),
        (
            {**patient, "label_key": "unordered", "outcome": "ordinal"},
            ValueError,
            r"'unordered' has no order.*pd.Categorical\(data.obs\['unordered'\], categories=.*ordered=True.*'mild'",
        ),
        ({**patient, "label_key": "score", "outcome": "ordinal"}, ValueError, "'score' has no order"),
        ({**keys, "outcome": "continuous"}, ValueError, "'label' is of type category"),
        ({**VALUES, "augment": "recipe"}, ValueError, "'recipe' needs classes.*outcome='continuous'.*`generated_key`"),
        ({**VALUES, "augment": "psemix+oversampling"}, ValueError, "'psemix[+]oversampling' needs classes"),
        ({**VALUES, "generated_key": "generated"}, ValueError, "have classes as labels"),
        ({**GRADES, "generated_key": "valued"}, ValueError, "have values as labels"),
    )
    with untouched(valued):
        for options, error, match in wrong:
            with pytest.raises(error, match=match):
                rp.tl.mil(valued, **options, **QUICK)


@pytest.mark.parametrize("name", ["psemix", "rankmix", "mixup", "insmix", "psemix+insmix"])
def test_methods_that_mix_values(valued, name):
    rp.tl.mil(valued, **VALUES, augment=name, **QUICK)
    assert np.isfinite(valued.uns["mil"]["history"]["train_loss"]).all()


def test_grades_of_a_real_cohort(read_cohort):
    adata = read_cohort("igan_glomeruli_pathomics.h5ad")
    adata = adata[adata.obs["patient"].astype("category").cat.codes % 3 == 0].copy()
    adata.obs["grade"] = pd.Categorical(
        adata.obs["label"], categories=["eGFR>60", "eGFR30-60", "eGFR<30"], ordered=True
    )
    train = (adata.obs["patient"].astype("category").cat.codes % 2 == 0).to_numpy()
    rp.tl.mil(adata, **GRADES, use_rep="X", mask_obs=train, model=rp.mil.Attention(n_steps=30, validation_fraction=0.2))
    unseen = adata.uns["mil"]["predictions"].query("split == 'not trained on'")
    assert unseen["expected_grade"].corr(pd.Series(unseen["label"].cat.codes, index=unseen.index), "spearman") > 0.2
