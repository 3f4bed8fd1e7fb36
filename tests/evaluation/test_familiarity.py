"""Patients of the kind that was trained on are familiar, anything else is not."""

from __future__ import annotations

import io

import numpy as np
import pytest

from repatient.evaluation import Familiarity

WIDTH = 10
CENTRES = np.random.default_rng(0).normal(size=(4, WIDTH)) * np.linspace(4, 1, WIDTH)


def cohort(n_patients, seed, n_cells=200):
    """Patients that differ in composition and a little in where their cells lie."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(n_cells // 2, n_cells + 1, n_patients)
    codes = np.repeat(np.arange(n_patients), sizes)
    shares = rng.dirichlet([8, 6, 4, 2], n_patients)
    kinds = (rng.random(len(codes))[:, None] > shares.cumsum(axis=1)[codes]).sum(axis=1).clip(max=3)
    X = CENTRES[kinds] + rng.normal(size=(len(codes), WIDTH)) + 0.2 * rng.normal(size=(n_patients, WIDTH))[codes]
    return X.astype(np.float32), codes


def own_components(X):
    centred = X - X.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2].T


FOREIGN = {
    "other units": lambda X, rng: X * 1000,
    "smaller units": lambda X, rng: X / 1000,
    "untransformed": lambda X, rng: np.sinh(X),
    "noise": lambda X, rng: rng.normal(size=X.shape) * 100,
    "small noise": lambda X, rng: rng.normal(size=X.shape),
    "permuted features": lambda X, rng: X[:, ::-1],
    "its own components": lambda X, rng: own_components(X),
    "nothing": lambda X, rng: np.zeros_like(X),
}


@pytest.fixture(scope="module")
def fitted():
    return Familiarity.fit(*cohort(16, 1))


def test_right_patients_are_familiar(fitted):
    X, codes = cohort(200, 2)
    scores = fitted.score(X, codes)
    assert np.mean(scores.p < 0.002) <= 0.02
    assert not scores.foreign
    assert 0.85 < np.median(scores.inside) < 0.99
    # Uniform p-values of right patients, but for what 16 patients can tell of the tail.
    assert np.all(np.abs(np.quantile(scores.p_values, 0.5, axis=0) - 0.5) < 0.2)
    assert list(scores.table()) == [
        "inside",
        "p_inside",
        "p_mean",
        "p_composition",
        "p_spread",
        "p_structure",
        "p_coherence",
        "doubtful",
    ]


def shuffled(X, codes, rng):
    """Each feature over the cells of its patient: means and spreads stay, what goes together does not."""
    order = np.stack([np.lexsort((rng.random(len(X)), codes)) for _ in range(X.shape[1])], axis=1)
    return np.take_along_axis(X, order, axis=0)


@pytest.mark.parametrize("what", ["shuffled", "reflected"])
def test_features_that_go_together_in_another_way(what, fitted):
    X, codes = cohort(10, 3)
    mean = fitted.arrays["location"]
    signs = np.where(np.arange(WIDTH) % 2, -1, 1)
    other = shuffled(X, codes, np.random.default_rng(0)) if what == "shuffled" else (X - mean) * signs + mean
    scores = fitted.score(other.astype(np.float32), codes)
    assert scores.foreign
    assert scores.p_cohort[fitted.measures.index("structure")] < 1e-5


def test_patients_of_few_cells_tell_together_that_features_were_shuffled():
    """Five cells a patient, features that vary together: no patient alone is unusual."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 60))
    X = (rng.normal(size=(700, 3)) @ loadings + rng.normal(size=(700, 60))).astype(np.float32)
    codes = np.repeat(np.arange(140), 5)
    fitted = Familiarity.fit(X[:400], codes[:400])
    assert not fitted.score(X[400:], codes[400:]).foreign
    other = shuffled(X[400:], codes[400:] - 80, rng)
    scores = fitted.score(other, codes[400:])
    assert scores.incoherent
    assert scores.foreign
    assert "vary less together" in scores.reason()


@pytest.mark.parametrize("what", ["other units", "noise", "permuted features"])
def test_few_donors_suffice_for_what_is_far_off(what):
    """Five donors make no small p-value, and units are still other ones."""
    fitted = Familiarity.fit(*cohort(5, 1))
    X, codes = cohort(4, 3)
    assert not fitted.score(X, codes).foreign
    assert fitted.score(FOREIGN[what](X, np.random.default_rng(4)).astype(np.float32), codes).foreign


def test_patients_of_a_donor_are_no_independent_witnesses():
    """Twelve images of three donors who are all a little off say less than twelve donors would."""
    X, codes = cohort(24, 1)
    clustered = X + np.random.default_rng(0).normal(size=(6, WIDTH))[codes // 4] * 0.5
    fitted = Familiarity.fit(clustered, codes, groups=codes // 4)
    alone = Familiarity.fit(clustered, codes)
    new, own = cohort(4, 9)
    new = new + np.random.default_rng(5).normal(size=WIDTH) * 0.5
    assert fitted.score(new, own).p_cohort.min() > alone.score(new, own).p_cohort.min()


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("n_patients", [3, 20])
def test_foreign_input_is_recognised(what, n_patients, fitted):
    X, codes = cohort(n_patients, 3)
    scores = fitted.score(FOREIGN[what](X, np.random.default_rng(4)).astype(np.float32), codes)
    assert scores.doubtful.all()
    assert scores.foreign
    assert "training" in scores.reason()
    if what == "other units":
        assert "CD" in scores.reason([f"CD{i}" for i in range(WIDTH)])


def test_cells_centred_on_themselves():
    """A PCA of the new cells looks much like that of the training cells; but their mean is 0."""
    X, codes = cohort(14, 1)
    train = codes < 10
    mean = X[train].mean(axis=0)
    axes = np.linalg.svd(X[train] - mean, full_matrices=False)[2]
    embedded = (X - mean) @ axes.T
    fitted = Familiarity.fit(embedded[train], codes[train])
    assert not fitted.score(embedded[train], codes[train]).centred
    assert not fitted.score(embedded[~train], codes[~train]).foreign
    scores = fitted.score(own_components(X[~train]), codes[~train])
    assert scores.centred
    assert scores.foreign
    assert "of their own" in scores.reason()


def test_one_odd_patient_is_told_apart(fitted):
    X, codes = cohort(8, 5)
    X[codes == 3] *= 3
    scores = fitted.score(X, codes)
    assert scores.doubtful[3]
    assert not scores.foreign
    assert np.flatnonzero(fitted.score(X, np.array([f"p{i}" for i in codes])).p < 0.002).tolist() == [3]


def test_the_same_from_a_file_and_by_seed(fitted):
    X, codes = cohort(4, 6)
    buffer = io.BytesIO()
    np.savez(buffer, **fitted.to_arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as arrays:
        read = Familiarity.from_arrays(dict(arrays))
    again = Familiarity.fit(*cohort(16, 1))
    for other in (read, again):
        np.testing.assert_array_equal(other.score(X, codes).p_values, fitted.score(X, codes).p_values)


def test_wide_and_tiny_bags(fitted):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(240, 300)).astype(np.float32) @ (rng.normal(size=(300, 300)) * 0.1).astype(np.float32)
    codes = np.repeat(np.arange(60), 4)
    wide = Familiarity.fit(X[:200], codes[:200])
    assert not wide.score(X[200:], codes[200:]).foreign
    assert wide.score(X[200:] * 1000, codes[200:]).foreign


def test_donors_are_left_out_as_a_whole():
    X, codes = cohort(16, 1)
    same = Familiarity.fit(X, codes, groups=codes)
    pairs = Familiarity.fit(X, codes, groups=codes // 2)
    np.testing.assert_array_equal(same.to_arrays()["mean"], pairs.to_arrays()["mean"])
    assert not np.array_equal(same.to_arrays()["held_out"], pairs.to_arrays()["held_out"])


def test_a_thousand_donors_say_what_is_usual():
    X, codes = cohort(2_400, 1, n_cells=20)
    donors = codes // 2
    some = Familiarity.fit(X, codes, groups=donors)
    kept = some.to_arrays()
    assert kept["n_donors"] == 1_000
    assert len(kept["held_out"]) == 2_000
    np.testing.assert_array_equal(kept["held_out"], Familiarity.fit(X, codes, groups=donors).to_arrays()["held_out"])
    scores = some.score(*cohort(200, 2, n_cells=20))
    assert not scores.foreign
    assert np.mean(scores.p < 0.01) <= 0.03
    assert some.score(X[codes < 5] * 1000, codes[codes < 5]).foreign


def test_bad_input(fitted):
    X, codes = cohort(3, 1)
    with pytest.raises(ValueError, match="`patients`"):
        Familiarity.fit(X, codes)
    X, codes = cohort(6, 1)
    for change, match in (
        ({"patients": codes[:5]}, r"`patients` has the shape \(5,\)"),
        ({"groups": codes[:5]}, r"`groups` has the shape \(5,\)"),
        ({"X": np.where(np.arange(len(X))[:, None] == 3, np.nan, X)}, "`X` has NaN"),
    ):
        with pytest.raises(ValueError, match=match):
            Familiarity.fit(**{"X": X, "patients": codes, "groups": None} | change)
    with pytest.raises(ValueError, match="features"):
        fitted.score(X[:, 1:], codes)
    arrays = fitted.to_arrays()
    with pytest.raises(ValueError, match="axes"):
        Familiarity.from_arrays(arrays | {"axes": arrays["axes"][:, 1:]})
    with pytest.raises(ValueError, match="products"):
        Familiarity.from_arrays(arrays | {"products": arrays["products"] + WIDTH})
    with pytest.raises(ValueError, match="scale"):
        Familiarity.from_arrays(arrays | {"scale": -arrays["scale"]})
    with pytest.raises(ValueError, match="missing"):
        Familiarity.from_arrays({})


def test_real_patients(read_cohort):
    """A fifth of a real cohort is familiar to the rest, and is not in other units or another order of the markers."""
    adata = read_cohort("aml_flowcap2_tube4.h5ad")
    X = np.asarray(adata.X, dtype=np.float32)
    codes = adata.obs["patient"].astype("category").cat.codes.to_numpy()
    test = codes % 5 == 0
    fitted = Familiarity.fit(X[~test], codes[~test])
    assert not fitted.score(X[test], codes[test]).doubtful.any()
    assert fitted.score(X[test][:, [3, 4, 5, 6, 0, 1, 2]], codes[test]).foreign
    assert fitted.score(10 ** X[test], codes[test]).foreign


def test_many_features_in_single_precision_say_what_they_say_in_double():
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(6, 400))

    def cells(n_patients: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        patients = np.repeat(np.arange(n_patients), 80)
        hidden = rng.normal(size=(len(patients), 6)) + 0.3 * rng.normal(size=(n_patients, 6))[patients] + shift
        return 50.0 + hidden @ axes + rng.normal(size=(len(patients), 400)), patients

    X, patients = cells(20)
    new, of_new = [np.concatenate(parts) for parts in zip(cells(10), cells(10, 3.0), strict=True)]
    of_new[len(of_new) // 2 :] += 10
    found = [Familiarity.fit(X.astype(dtype), patients).score(new.astype(dtype), of_new) for dtype in ("f4", "f8")]
    np.testing.assert_allclose(found[0].p, found[1].p, atol=0.01)
    np.testing.assert_allclose(found[0].inside, found[1].inside, atol=0.03)
    assert found[0].p[10:].max() < 0.01 < np.median(found[0].p[:10])


@pytest.mark.parametrize("n_features", [20, 300])
def test_large_finite_values_are_no_infinite_ones(n_features):
    patients = np.repeat(np.arange(10), 40)
    X = np.random.default_rng(0).normal(size=(len(patients), n_features)).astype(np.float32)
    small, large = (Familiarity.fit(scale * X, patients).score(scale * X, patients) for scale in np.float32([1, 1e25]))
    assert np.isfinite(large.p).all()
    np.testing.assert_allclose(large.p, small.p, atol=0.05)
