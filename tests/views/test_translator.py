from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch

from repatient import views
from repatient.views import Translator
from repatient.views._generators import forth_of, members_of

LINKS = [[i, i] for i in range(5)]
QUICK = {"n_steps": 60, "hidden": 16, "progress": False, "device": "cpu"}


def two_views(seed: int, n: int = 400):
    """Two noisy views of four kinds of rows, whose first five features rise together."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1])
    latent = np.random.default_rng(99).normal(scale=2.0, size=(4, 5))[kinds] + 0.5 * rng.normal(size=(n, 5))
    mix = np.random.default_rng(98).normal(size=(5, 4))
    source = np.hstack([latent + 0.3 * rng.normal(size=(n, 5)), rng.normal(size=(n, 3))])
    target = np.hstack([2 * latent + 1 + 0.3 * rng.normal(size=(n, 5)), latent @ mix])
    return source.astype(np.float32), target.astype(np.float32), kinds


@pytest.fixture(scope="module")
def data():
    (a, _, _), (_, b, _), (test_a, test_b, _) = (two_views(seed) for seed in range(3))
    return a, b, test_a, test_b


def fidelity(translator, a, b):
    return views.foscttm(translator.predict_features(a), translator.target_features(b)).mean()


def test_links_suffice_without_pairs(data):
    a, b, test_a, test_b = data
    translator = Translator(**QUICK).fit(a, b, links=LINKS)
    assert translator.generator_ == "ot"
    assert "5 links" in translator.reason_
    assert fidelity(translator, test_a, test_b) < 0.1
    correlation = views.feature_correlation(translator.translate(test_a), test_b)
    assert correlation.min() > 0.7
    assert np.isnan(translator.cycle_error(test_a))


@pytest.mark.parametrize("curved", [False, True])
def test_transport_bends_its_map_only_where_much_is_gained(curved):
    rng = np.random.default_rng(4)
    a, b = (rng.normal(size=(600, 3)).astype(np.float32) for _ in range(2))
    b[:, 1] = b[:, 0] ** 2 if curved else -b[:, 0]
    translator = Translator("ot", **{**QUICK, "n_steps": 200}).fit(a, b[:, :2], links=[[0, 0]])
    one, other = a[:50], a[50:100]
    middle = translator.predict_features((one + other) / 2)
    ends = (translator.predict_features(one) + translator.predict_features(other)) / 2
    assert bool(np.abs(middle - ends).max() > 0.1) == curved


def test_regression_recovers_a_linear_map_in_the_units_of_the_target():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 4)).astype(np.float32)
    b = (a @ rng.normal(size=(4, 3)) * 50 + 7).astype(np.float32)
    pairs = np.column_stack([np.arange(200)] * 2)
    translator = Translator(**QUICK).fit(a, b, pairs=pairs)
    assert translator.generator_ == "regression"
    np.testing.assert_allclose(translator.translate(a[200:]), b[200:], atol=1.0)


def test_pairs_point_at_rows_in_any_order():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(150, 3)).astype(np.float32)
    order = rng.permutation(150)
    pairs = np.column_stack([np.arange(150), np.argsort(order)])
    translator = Translator(**QUICK).fit(a, (3 * a)[order], pairs=pairs)
    np.testing.assert_allclose(translator.translate(a), 3 * a, atol=0.2)


def test_counts_come_back_as_counts():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(400, 3)).astype(np.float32)
    rate = np.exp(1.5 + a @ np.array([[0.8, 0], [0, 0.8], [0.3, 0.3]]))
    b = rng.poisson(rate).astype(np.float32)
    translator = Translator(**QUICK).fit(a, b, pairs=np.column_stack([np.arange(400)] * 2))
    made = translator.translate(a)
    assert made.min() >= 0
    assert np.corrcoef(made[:, 0], rate[:, 0])[0, 1] > 0.9
    assert 0.7 < made.mean() / rate.mean() < 1.1


def test_wide_counts_do_not_depend_on_depth(data):
    rng = np.random.default_rng(3)
    profile = rng.gamma(1.0, size=(3, 220))
    kinds = rng.integers(3, size=200)
    a = rng.poisson(profile[kinds] * rng.uniform(20, 80, size=(200, 1))).astype(np.float32)
    b = np.eye(3, dtype=np.float32)[kinds] + rng.normal(scale=0.1, size=(200, 3)).astype(np.float32)
    translator = Translator(**QUICK).fit(a, b, pairs=np.column_stack([np.arange(200)] * 2))
    np.testing.assert_allclose(translator.translate(5 * a), translator.translate(a), atol=1e-3)
    assert (translator.translate(a).argmax(axis=1) == kinds).mean() > 0.95


def test_cyclegan_over_linked_vectors_beats_chance(data):
    a, b, test_a, test_b = data
    translator = Translator("cyclegan", **{**QUICK, "n_steps": 300}, batch_size=64).fit(a, b, links=LINKS)
    assert fidelity(translator, test_a, test_b) < 0.25
    assert translator.cycle_error(test_a) > 0
    assert translator.history_["step"][-1] == 300


def test_same_seed_same_bits_and_global_state_untouched(data):
    a, b, test_a, _ = data
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 # the legacy state must survive
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    first, second = (Translator(**QUICK).fit(a, b, links=LINKS).translate(test_a) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    gans = [Translator("cyclegan", **{**QUICK, "n_steps": 3}, random_state=i).fit(a, b, links=LINKS) for i in (0, 0, 1)]
    made = [gan.translate(test_a) for gan in gans]
    np.testing.assert_array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() > 0
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == torch.get_num_threads()


def test_torch_in_double_precision_elsewhere_changes_nothing(data, tmp_path):
    a, b, *_ = data
    pairs = np.stack([np.arange(100)] * 2, axis=1)

    def translated():
        translator = Translator(generator="regression", n_steps=5, device="cpu", progress=False)
        translator.fit(a, b, pairs=pairs).save(tmp_path / "translator")
        return Translator.load(tmp_path / "translator", device="cpu").translate(a[:50])

    expected = translated()
    torch.set_default_dtype(torch.float64)
    try:
        found = translated()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


def test_nothing_anchors_unpaired_vectors(data):
    a, b, *_ = data
    with pytest.raises(ValueError, match=r"FOSCTTM of \.42 to \.56, where \.5 is chance"):
        Translator(**QUICK).fit(a, b)
    translator = Translator(allow_unanchored=True, **{**QUICK, "n_steps": 2}).fit(a, b)
    assert translator.generator_ == "cyclegan"
    assert "not identified" in translator.reason_


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (np.where(np.arange(len(a))[:, None] == 3, np.nan, a), b), "NaN or infinity in 1 of 400 rows"),
        (lambda a, b: (a, np.where(np.arange(len(b))[:, None] == 3, 1e30, b)), "`B` has values beyond .* in 1 of 400"),
        (lambda a, b: (a[:, None, :], b), "vectors .* or images"),
        (lambda a, b: (np.ones_like(a), b), "`A` is constant"),
        (lambda a, b: (a, np.zeros_like(b)), "`B` is constant"),
        (lambda a, b: (a[:1], b), "`A` has 1 rows; 2 or more"),
        (lambda a, b: (a, a), "the same values"),
        (lambda a, b: (a, np.zeros((4, 1, 8, 8)) + np.arange(4)[:, None, None, None]), "vectors are translated"),
        (lambda a, b: (a[:, :0], b), "`A` has shape"),
    ],
)
def test_bad_views(data, change, message):
    with pytest.raises(ValueError, match=message):
        Translator(**QUICK).fit(*change(*data[:2]), links=LINKS)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"links": [[0, 40]]}, "outside the 8 columns of the source and the 9 of the target"),
        ({"links": [[0, 1], [0, 1]]}, "more than once"),
        ({"links": [0, 1]}, "integer table"),
        ({"pairs": [[0, 400]]}, "outside the 400 rows"),
        ({"pairs": [[0.5, 1.0]]}, "integer table"),
    ],
)
def test_bad_pairs_and_links(data, known, message):
    with pytest.raises(ValueError, match=message):
        Translator(**QUICK).fit(*data[:2], **known)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"generator": "gan"}, "`generator` is one of"),
        ({"generator": "regression"}, "learns from pairs"),
        ({"n_steps": 0}, "`n_steps`"),
        ({"n_members": 0}, "`n_members`"),
        ({"n_members": 1.5}, "`n_members`"),
        ({"batch_size": 1}, "`batch_size`"),
        ({"regularisation": 0}, "`regularisation`"),
        ({"cycle_weights": (1.0,)}, "`cycle_weights`"),
        ({"link_weight": np.nan}, "`link_weight`"),
        ({"networks": "resnet"}, "`networks`"),
    ],
)
def test_bad_parameters(data, parameters, message):
    with pytest.raises(ValueError, match=message):
        Translator(**{**QUICK, **parameters}).fit(*data[:2], links=LINKS)


def test_ot_needs_links(data):
    a, b, *_ = data
    with pytest.raises(ValueError, match="give `links`"):
        Translator("ot", **QUICK).fit(a, b, pairs=[[0, 0]])


def test_translate_takes_rows_as_fitted(data):
    a, b, *_ = data
    translator = Translator(**{**QUICK, "n_steps": 1}).fit(a, b, links=LINKS)
    assert translator.translate(a[:1]).shape == (1, 9)
    with pytest.raises(ValueError, match=r"fitted on rows of shape \(8,\)"):
        translator.translate(a[:, :4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(translator.translate(a)[:1], translator.translate(a[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("generator", ["ot", "cyclegan", "regression"])
def test_members_are_averaged(data, generator):
    a, b, test_a, _ = data
    quick = {**QUICK, "n_steps": 60}
    known = {"links": LINKS} if generator != "regression" else {"pairs": np.column_stack([np.arange(50)] * 2)}
    three, again = (Translator(generator, n_members=3, **quick).fit(a, b, **known) for _ in range(2))
    single = Translator(generator, **quick).fit(a, b, **known)
    made = three.predict_features(test_a)
    np.testing.assert_array_equal(made, again.predict_features(test_a))
    members = members_of(three._networks)
    assert len(members) == 3
    maps = [three._run(forth_of(m), three._spaces[0].inputs, test_a, three._shapes.target) for m in members]
    np.testing.assert_allclose(made, np.mean(maps, axis=0), atol=1e-5)
    np.testing.assert_array_equal(maps[0], single.predict_features(test_a))
    # Maps that stay linear have a closed form, the same for all members.
    assert all((np.abs(one - other).max() > 0) == (generator == "cyclegan") for one, other in pairwise(maps))
    assert three.history_["step"] == single.history_["step"]
    assert set(three.history_) == set(single.history_)
    assert np.isnan(three.cycle_error(test_a)) == (generator != "cyclegan")


def test_members_of_a_regression_on_few_pairs_err_less_together():
    a, b, _ = two_views(0)
    test_a, test_b, _ = two_views(1)
    few = np.column_stack([np.arange(20)] * 2)
    settings = {**QUICK, "n_steps": 200}
    five = Translator("regression", n_members=5, **settings).fit(a, np.sin(b), pairs=few)
    wanted = five.target_features(np.sin(test_b))
    maps = [
        five._run(forth_of(m), five._spaces[0].inputs, test_a, five._shapes.target) for m in members_of(five._networks)
    ]
    alone = np.mean([np.square(made - wanted).mean() for made in maps])
    assert np.square(five.predict_features(test_a) - wanted).mean() < alone


@pytest.mark.parametrize("n_members", [1, 2])
def test_save_and_load(data, tmp_path, n_members):
    a, b, test_a, _ = data
    for generator in ("ot", "cyclegan"):
        settings = {**QUICK, "n_steps": 3, "n_members": n_members}
        translator = Translator(generator, **settings).fit(a, b, links=LINKS)
        translator.save(tmp_path / generator)
        translator.save(tmp_path / generator)
        assert sorted(path.name for path in (tmp_path / generator).iterdir()) == ["translator.json", "weights.npz"]
        again = Translator.load(tmp_path / generator, device="cpu")
        np.testing.assert_array_equal(again.translate(test_a), translator.translate(test_a))
        assert again.generator_ == generator
        assert again.get_params() == translator.get_params()
        np.testing.assert_equal(again.cycle_error(test_a), translator.cycle_error(test_a))


def test_damaged_files_are_refused(data, tmp_path):
    a, b, *_ = data
    translator = Translator(**{**QUICK, "n_steps": 1}).fit(a, b, links=LINKS)
    translator.save(tmp_path / "model")
    weights = tmp_path / "model" / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged"):
        Translator.load(tmp_path / "model")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="missing"):
        Translator.load(tmp_path / "model")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").write_text("mine")
    with pytest.raises(ValueError, match="holds no translator"):
        translator.save(tmp_path / "other")
    (tmp_path / "other" / "translator.json").write_text("{}")
    with pytest.raises(ValueError, match="does not describe"):
        Translator.load(tmp_path / "other")
