from __future__ import annotations

import warnings

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

QUICK = {
    "dim": 4,
    "n_steps": 4,
    "branches": 2,
    "device": "cpu",
    "progress": False,
    "encoder": {"width": 8, "projection": 8, "evaluate_every": 2},
}


class Doubler:
    """A translator of two features."""

    source_names_ = target_names_ = source_steps_ = target_steps_ = None

    def predict_features(self, rows):
        return 2 * rows[:, :2]

    def target_features(self, rows):
        return 2 * rows


@pytest.fixture
def mdata():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 6)).astype(np.float32)
    rna = ad.AnnData(X, obs=pd.DataFrame(index=[f"cell{i}" for i in range(120)]))
    rna.obs["half"] = np.arange(120) < 60
    rna.obs["patient"] = pd.Categorical([f"p{i // 10}" for i in range(120)])
    rna.obs["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "high", "low"))
    rna.obsm["X_protein_synthetic"] = X[:, :2] + 0.1 * rng.standard_normal((120, 2)).astype(np.float32)
    protein = ad.AnnData(X[40:100, :2] * 3, obs=pd.DataFrame(index=[f"cell{i}" for i in range(40, 100)]))
    return md.MuData({"rna": rna, "protein": protein})


@pytest.fixture
def fits(monkeypatch):
    calls = []
    fit = rp.views.Encoder.fit

    def note(self, X, partner=None, **kwargs):
        calls.append((X, partner, kwargs))
        return fit(self, X, partner, **kwargs)

    monkeypatch.setattr(rp.views.Encoder, "fit", note)
    return calls


def test_the_embedding_is_written_and_standardised_by_the_training_rows(mdata):
    encoder = rp.tl.distill(mdata, "rna", "protein", mask_obs="half", carry=False, **QUICK)
    embedding = mdata["rna"].obsm["X_spi"]
    assert embedding.shape == (120, 4)
    trained = np.setdiff1d(np.arange(60), encoder.encoder.held_out_)
    np.testing.assert_allclose(embedding[trained].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(embedding[trained].std(axis=0), 1, atol=1e-4)
    entry = mdata["rna"].uns["X_spi"]
    assert entry["params"]["n_trained"] == 60
    assert entry["params"]["partner"] == "synthetic"
    assert entry["history"]["step"].tolist() == [2, 4]
    rp.tl.gmm(mdata["rna"], 3, use_rep="X_spi", n_init=1)
    assert mdata["rna"].obs["gmm"].nunique() > 1


def test_partners(mdata, fits):
    rna, synthetic = mdata["rna"].X, mdata["rna"].obsm["X_protein_synthetic"]
    for partner in ("synthetic", "authentic", "both", "none"):
        rp.tl.distill(mdata, "rna", "protein", partner=partner, pairs="obs_names", **QUICK)
    for call, rows in zip(fits, (slice(None), slice(40, 100), slice(None), slice(None)), strict=True):
        np.testing.assert_array_equal(call[0], rna[rows])
    np.testing.assert_array_equal(fits[0][1], synthetic)
    np.testing.assert_array_equal(fits[1][1], mdata["protein"].X)
    np.testing.assert_array_equal(fits[2][1][40:100], mdata["protein"].X)
    np.testing.assert_array_equal(np.delete(fits[2][1], np.s_[40:100], 0), np.delete(synthetic, np.s_[40:100], 0))
    assert fits[3][1] is None


def test_a_table_of_pairs_and_a_translator(mdata, fits):
    table = np.array([[100, 3], [7, 50], *([i, i] for i in range(10, 30))])
    rp.tl.distill(mdata, "rna", "protein", partner="authentic", pairs=table, translator=Doubler(), **QUICK)
    order = np.argsort(table[:, 0])
    np.testing.assert_array_equal(fits[0][0], mdata["rna"].X[table[order, 0]])
    np.testing.assert_array_equal(fits[0][1], 2 * mdata["protein"].X[table[order, 1]])
    rp.tl.distill(mdata["rna"], "rna", "protein", translator=Doubler(), **QUICK)
    np.testing.assert_array_equal(fits[1][1], 2 * mdata["rna"].X[:, :2])


def test_features_of_a_teacher_in_place_of_the_partner(mdata, fits):
    rna = mdata["rna"]
    rna.obsm["X_other"] = np.random.default_rng(1).standard_normal((120, 7)).astype(np.float32)
    rp.tl.distill(mdata, "rna", "protein", teacher="X_other", mask_obs="half", **QUICK)
    np.testing.assert_array_equal(fits[0][2]["teacher"], rna.obsm["X_other"][:60])
    assert rna.uns["X_spi"]["params"]["teacher"] == "X_other"
    taught = rna.obsm["X_spi"].copy()
    rp.tl.distill(mdata, "rna", "protein", mask_obs="half", **QUICK)
    assert not np.allclose(taught, rna.obsm["X_spi"])
    rp.tl.distill(mdata, "rna", "protein", partner="none", teacher="X_other", **QUICK)
    assert fits[2][1] is None


def test_a_counted_target_is_learnt_from_as_logarithms(mdata, fits):
    mdata["protein"].X = np.random.default_rng(0).poisson(20, mdata["protein"].shape).astype(np.float32)
    mdata["rna"].obsm["X_protein_synthetic"] = np.abs(mdata["rna"].obsm["X_protein_synthetic"])
    rp.tl.distill(mdata, "rna", "protein", partner="both", pairs="obs_names", **QUICK)
    np.testing.assert_allclose(fits[0][1][40:100], np.log1p(mdata["protein"].X))
    np.testing.assert_allclose(fits[0][1][:40], np.log1p(mdata["rna"].obsm["X_protein_synthetic"][:40]))


def test_patients_of_a_modality_or_of_the_whole_are_held_out_whole(mdata, fits):
    settings = QUICK | {"encoder": QUICK["encoder"] | {"validation_fraction": 0.25}}
    encoder = rp.tl.distill(mdata, "rna", "protein", patient_key="patient", **settings)
    of_patients = mdata["rna"].obs["patient"].to_numpy()
    held_out = of_patients[encoder.encoder.held_out_]
    assert len(held_out) == 30
    assert not set(held_out) & set(np.delete(of_patients, encoder.encoder.held_out_))
    mdata.obs["person"] = mdata["rna"].obs["patient"].reindex(mdata.obs_names)
    del mdata["rna"].obs["patient"]
    again = rp.tl.distill(mdata, "rna", "protein", patient_key="person", **settings)
    np.testing.assert_array_equal(again.encoder.held_out_, encoder.encoder.held_out_)


@pytest.mark.parametrize(("fidelity", "branches"), [({"foscttm": 0.1}, 2), ({"foscttm": 0.4}, 3)])
def test_branches_follow_the_fidelity(mdata, fidelity, branches):
    mdata["rna"].uns["X_protein_synthetic"] = {"fidelity": fidelity}
    encoder = rp.tl.distill(mdata, "rna", "protein", **QUICK | {"branches": None})
    assert encoder.encoder.branches == branches
    assert mdata["rna"].uns["X_spi"]["params"]["branches"] == branches


def test_unknown_fidelity_is_said_aloud(mdata):
    with pytest.warns(UserWarning, match="nothing is known of how good the synthetic partners are.*three branches"):
        encoder = rp.tl.distill(mdata, "rna", "protein", **QUICK | {"branches": None})
    assert encoder.encoder.branches == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.distill(mdata, "rna", "protein", partner="none", **QUICK | {"branches": None})


def test_the_synthetic_view_follows_an_embedding_that_loses_it(mdata, tmp_path):
    encoder = rp.tl.distill(mdata, "rna", "protein", mask_obs="half", **QUICK)
    rna = mdata["rna"]
    entry = rna.uns["X_spi"]
    assert entry["params"]["kept"] < 0.95
    assert entry["params"]["carried"]
    trained = np.setdiff1d(np.arange(60), encoder.encoder.held_out_)
    made = rna.obsm["X_protein_synthetic"]
    expected = (made - made[trained].mean(axis=0)) / made[trained].std(axis=0)
    np.testing.assert_allclose(rna.obsm["X_spi"][:, 4:], expected, atol=1e-5)
    np.testing.assert_array_equal(rna.obsm["X_spi"][:, :4], encoder.encoder.embed(rna.X))
    encoder.save(tmp_path / "encoder")
    loaded = rp.tl.ViewEncoder.load(tmp_path / "encoder", device="cpu")
    np.testing.assert_array_equal(loaded.embed(mdata), rna.obsm["X_spi"])
    bare = rna.copy()
    bare.obsm.clear()
    with pytest.raises(KeyError, match="no 'X_protein_synthetic' in `obsm`.*Pass `translator`"):
        loaded.embed(bare)


def test_an_embedding_that_keeps_its_partner_goes_alone(mdata, monkeypatch):
    monkeypatch.setattr(rp.views.Encoder, "carries_", False)
    rp.tl.distill(mdata, "rna", "protein", **QUICK)
    assert mdata["rna"].obsm["X_spi"].shape == (120, 4)
    rp.tl.distill(mdata, "rna", "protein", carry=True, **QUICK)
    assert mdata["rna"].obsm["X_spi"].shape == (120, 6)


def test_a_translator_is_kept_with_the_encoder_that_carries_its_view(mdata, tmp_path):
    rna = mdata["rna"]
    translator = rp.views.Translator("regression", n_steps=5, device="cpu", progress=False)
    translator.fit(rna.X, mdata["protein"].X, pairs=np.column_stack([np.arange(40, 100), np.arange(60)]))
    rna.obsm.clear()
    encoder = rp.tl.distill(rna, "rna", "protein", translator=translator, **QUICK)
    assert rna.obsm["X_spi"].shape == (120, 6)
    encoder.save(tmp_path / "encoder")
    new = rna[:, ::-1].copy()
    new.obsm.clear()
    loaded = rp.tl.ViewEncoder.load(tmp_path / "encoder", device="cpu")
    np.testing.assert_array_equal(loaded.embed(new), rna.obsm["X_spi"])


def test_something_simpler_that_does_as_well_is_named(mdata):
    with pytest.warns(UserWarning, match="held-out rows, a linear reader errs with .*synthetic view as features"):
        rp.tl.distill(mdata, "rna", "protein", label_key="kind", carry=False, **QUICK)
    errors = mdata["rna"].uns["X_spi"]["held_out_errors"]
    assert set(errors) == {"raw", "translation", "spi"}
    assert all(0 <= error < 0.5 for error in errors.values())


def test_new_data_needs_the_primary_view_alone(mdata, tmp_path):
    encoder = rp.tl.distill(mdata, "rna", "protein", carry=False, **QUICK)
    expected = mdata["rna"].obsm["X_spi"]
    new = mdata["rna"][:, ::-1].copy()
    new.obsm.clear()
    np.testing.assert_array_equal(encoder.embed(new), expected)
    np.testing.assert_array_equal(encoder.embed(md.MuData({"rna": new})), expected)
    encoder.save(tmp_path / "encoder")
    loaded = rp.tl.ViewEncoder.load(tmp_path / "encoder", device="cpu")
    np.testing.assert_array_equal(loaded.embed(new), expected)
    assert (loaded.primary, loaded.use_rep, loaded.features) == ("rna", None, list(mdata["rna"].var_names))
    with pytest.raises(KeyError, match=r"1 of the 6 features of training are not in it: \['0'\]"):
        encoder.embed(mdata["rna"][:, 1:])
    with pytest.raises(KeyError, match="no modality 'rna'"):
        encoder.embed(md.MuData({"protein": mdata["protein"]}))
    (tmp_path / "encoder" / "modality.json").write_text("{}")
    with pytest.raises(ValueError, match="does not describe"):
        rp.tl.ViewEncoder.load(tmp_path / "encoder")
    with pytest.raises(FileNotFoundError, match=r"encoder\.json is missing.*modality\.json"):
        rp.tl.ViewEncoder.load(tmp_path)


def test_images_in_obsm(mdata):
    rng = np.random.default_rng(0)
    mdata["rna"].obsm["tiles"] = rng.random((120, 3, 8, 8), dtype=np.float32)
    mdata["rna"].obsm["X_protein_synthetic"] = rng.random((120, 1, 8, 8), dtype=np.float32)
    encoder = rp.tl.distill(mdata, "rna", "protein", primary_rep="tiles", carry=False, **QUICK)
    new = ad.AnnData(np.zeros((5, 0)), obsm={"tiles": mdata["rna"].obsm["tiles"][:5]})
    np.testing.assert_allclose(encoder.embed(new), mdata["rna"].obsm["X_spi"][:5], atol=1e-5)
    with pytest.raises(ValueError, match=r"rows of shape \(3, 8, 7\)|divisible"):
        encoder.embed(ad.AnnData(np.zeros((5, 0)), obsm={"tiles": new.obsm["tiles"][:, :, :, :7]}))


def test_round_trip(mdata, read_back, same_content):
    rp.tl.distill(mdata, "rna", "protein", mask_obs="half", **QUICK)
    for storage in ("h5mu", "zarr"):
        same_content(read_back(mdata, storage), mdata)


def test_copy_touches_nothing(mdata, untouched):
    with untouched(mdata):
        encoder, written = rp.tl.distill(mdata, "rna", "protein", copy=True, **QUICK)
    np.testing.assert_array_equal(written["rna"].obsm["X_spi"], encoder.embed(mdata))


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (KeyError, "`primary`: no modality 'atac'; there are", {"primary": "atac"}),
        (KeyError, "`privileged`: no modality 'atac'", {"privileged": "atac"}),
        (ValueError, "'rna' is the primary modality itself", {"privileged": "rna"}),
        (TypeError, "`privileged` is a string", {"privileged": 3}),
        (KeyError, "`synthetic_key`: no 'X_other' in `obsm` of 'rna'.*rp.tl.synthesize", {"synthetic_key": "X_other"}),
        (ValueError, "`partner` is one of", {"partner": "imaginary"}),
        (ValueError, "needs `pairs`.*Equal names alone prove nothing", {"partner": "authentic"}),
        (ValueError, "`pairs` is one of", {"partner": "authentic", "pairs": "names"}),
        (ValueError, "`pairs` is 'obs_names' or a table", {"partner": "authentic", "pairs": [1, 2]}),
        (ValueError, "`pairs` has 1 rows outside", {"partner": "authentic", "pairs": [[0, 0], [120, 0]]}),
        (ValueError, "more than one partner", {"partner": "authentic", "pairs": [[0, 0], [0, 1]]}),
        (KeyError, "`primary_rep`: no view 'X_pca'", {"primary_rep": "X_pca"}),
        (KeyError, "`teacher`: no view 'X_pca'", {"teacher": "X_pca"}),
        (ValueError, "`teacher` has NaN or infinity", {"teacher": "missing"}),
        (TypeError, "`primary_rep` is the name of a view", {"primary_rep": 1}),
        (ValueError, r"shape \(120, 3, 4\); vectors", {"primary_rep": "cube"}),
        (ValueError, "channels last", {"primary_rep": "last"}),
        (ValueError, "NaN or infinity in 120 of 120", {"primary_rep": "missing"}),
        (ValueError, "1 rows; 2 or more", {"mask_obs": np.arange(120) == 3}),
        (ValueError, "`mask_obs` selects no cell", {"mask_obs": np.zeros(120, dtype=bool)}),
        (KeyError, "`patient_key`: no column 'donor'", {"patient_key": "donor"}),
        (ValueError, "`key_added` is a name without '/'", {"key_added": "a/b"}),
        (ValueError, "branches must be 2 or 3", {"branches": 1}),
        (TypeError, "`carry` is True, False or None", {"carry": "yes"}),
        (ValueError, "`carry=True` is for synthetic partners", {"carry": True, "partner": "none"}),
        (KeyError, "`label_key`: no column 'gate'", {"label_key": "gate"}),
        (ValueError, r"`encoder` names \['dim'\], which are arguments of their own", {"encoder": {"dim": 3}}),
    ],
)
def test_bad_input_leaves_the_object_as_it_was(mdata, untouched, error, match, arguments):
    mdata["rna"].obsm["cube"] = np.zeros((120, 3, 4))
    mdata["rna"].obsm["last"] = np.zeros((120, 8, 8, 3))
    mdata["rna"].obsm["missing"] = np.full((120, 3), np.nan)
    settings = {"primary": "rna", "privileged": "protein", **QUICK, **arguments}
    with untouched(mdata), pytest.raises(error, match=match):
        rp.tl.distill(mdata, **settings)


def test_names_that_occur_twice_are_refused(mdata):
    rna = mdata["rna"].copy()
    rna.obs_names = ["cell"] * rna.n_obs
    with pytest.raises(ValueError, match="`obs_names` are not unique"):
        rp.tl.distill(rna, "rna", "protein", **QUICK)
    with pytest.raises(ValueError, match="needs the measured view; pass a MuData"):
        rp.tl.distill(mdata["rna"], "rna", "protein", partner="both", pairs="obs_names", **QUICK)
