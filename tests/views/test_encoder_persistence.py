from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from repatient._files._sealed_json import SEAL, write_sealed
from repatient.views import CountAugmentation, Encoder, ImageAugmentation

QUICK = {"dim": 4, "width": 8, "projection": 8, "n_steps": np.int64(2), "evaluate_every": 1, "progress": False}


def make(kind):
    rng = np.random.default_rng(0)
    if kind == "images":
        return rng.random((60, 2, 8, 8)), {"augmentation": ImageAugmentation(flip=False)}
    if kind == "counts":
        return rng.poisson(2.0, (60, 210)), {"augmentation": CountAugmentation(keep=0.5)}
    return rng.standard_normal((60, 6)), {"validation_fraction": 0.0}


@pytest.fixture(scope="module")
def model():
    X, settings = make("vectors")
    return Encoder(**QUICK, **settings, device="cpu").fit(X, X[:, :2])


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "encoder")
    return tmp_path / "encoder"


def edit(folder, **changes):
    description = json.loads((folder / "encoder.json").read_text())
    write_sealed(folder / "encoder.json", {name: v for name, v in description.items() if name != SEAL} | changes)


@pytest.mark.parametrize("kind", ["images", "vectors", "counts"])
def test_an_encoder_survives_the_round_trip(kind, tmp_path):
    X, settings = make(kind)
    model = Encoder(**QUICK, **settings, device="cpu").fit(X, X.reshape(60, -1)[:, :3])
    model.save(str(tmp_path / "deep" / "encoder"))
    loaded = Encoder.load(tmp_path / "deep" / "encoder", device="cpu")
    np.testing.assert_array_equal(loaded.embed(X), model.embed(X))
    assert loaded.get_params(deep=False) == model.get_params(deep=False)
    np.testing.assert_equal(loaded.history_, model.history_)
    np.testing.assert_array_equal(loaded.held_out_, model.held_out_)
    for name in ("n_steps_", "best_step_", "early_stopped_", "kind_", "partner_kind_", "shape_in_"):
        assert getattr(loaded, name) == getattr(model, name)


def test_the_folder_holds_strict_json_and_arrays_without_pickle(saved):
    assert sorted(p.name for p in saved.iterdir()) == ["encoder.json", "weights.npz"]
    assert [p.name for p in saved.parent.iterdir()] == ["encoder"]

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((saved / "encoder.json").read_text(), parse_constant=refuse)
    with np.load(saved / "weights.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fi" for name in arrays.files)
        assert not any("projector" in name or "privileged" in name for name in arrays.files)


def test_an_earlier_encoder_is_replaced_and_anything_else_is_left(saved, model, tmp_path):
    X, _ = make("vectors")
    other = Encoder(**QUICK | {"dim": 5}, validation_fraction=0.0).fit(X)
    other.save(saved)
    np.testing.assert_array_equal(Encoder.load(saved).embed(X), other.embed(X))
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ValueError, match="holds no encoder"):
        model.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_failed_save_leaves_the_earlier_encoder(saved, model):
    X, _ = make("vectors")
    broken = Encoder(**QUICK, validation_fraction=0.0).fit(X)
    broken.progress = object()
    with pytest.raises(TypeError, match="cannot be saved"):
        broken.save(saved)
    np.testing.assert_array_equal(Encoder.load(saved).embed(X), model.embed(X))


def test_missing_parts_and_damage_are_named(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Encoder.load(tmp_path / "nowhere")
    content = (saved / "weights.npz").read_bytes()
    (saved / "weights.npz").write_bytes(content[:-10])
    with pytest.raises(ValueError, match="digest does not fit"):
        Encoder.load(saved)
    (saved / "weights.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.npz is missing"):
        Encoder.load(saved)
    (saved / "encoder.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        Encoder.load(saved)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": "pickle"}, "does not describe a repatient-encoder model"),
        ({"format_version": 99}, "format version 99.*Update"),
        ({"shapes": {}}, "shapes"),
        ({"fitted": {}}, "no complete encoder"),
        ({"params": {"width": 9}}, "size mismatch"),
        ({"params": {"wings": 2}}, "wings"),
        ({"params": {"augmentation": {"type": "Evil", "settings": {}}}}, "no complete encoder"),
        ({"primary": {"shape": [7]}}, "no complete encoder"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(saved, changes, match):
    edit(saved, **changes)
    with pytest.raises(ValueError, match=match):
        Encoder.load(saved)


def test_pickled_arrays_are_never_read(saved):
    np.savez(saved / "weights.npz", mean=np.array([{}], dtype=object))
    edit(saved, weights_sha256=hashlib.sha256((saved / "weights.npz").read_bytes()).hexdigest())
    with pytest.raises(ValueError, match="without pickled objects"):
        Encoder.load(saved)


def test_an_encoder_that_is_not_fitted(tmp_path):
    with pytest.raises(NotFittedError):
        Encoder().save(tmp_path / "encoder")
    with pytest.raises(NotFittedError):
        Encoder().embed(np.eye(3))
    assert list(tmp_path.iterdir()) == []
