from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from repatient._files._sealed_json import SEAL, write_sealed
from repatient.mil import MILClassifier

QUICK = {"max_epochs": 2, "hidden": 8, "attention_hidden": 4, "random_state": np.int64(3)}


@pytest.fixture(scope="module")
def model(planted) -> MILClassifier:
    return MILClassifier(**QUICK).fit(*planted)


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **changes) -> None:
    description = json.loads((folder / "model.json").read_text())
    write_sealed(folder / "model.json", {name: v for name, v in description.items() if name != SEAL} | changes)


@pytest.mark.parametrize(
    "labels",
    [np.array(["b", "ä/1"]), np.array([7, -3], dtype=np.int32), np.array([True, False]), np.array([0.1, 2.5])],
    ids=["str", "int", "bool", "float"],
)
@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_a_model_survives_the_round_trip(planted, tmp_path, labels, fraction):
    bags, y = planted
    model = MILClassifier(**QUICK, validation_fraction=fraction).fit(bags, labels[(y == "case").astype(int)])
    model.save(str(tmp_path / "deep" / "model"))
    loaded = MILClassifier.load(tmp_path / "deep" / "model", device="cpu")
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.predict(bags).tolist() == model.predict(bags).tolist()
    np.testing.assert_array_equal(loaded.predict_proba_mc(bags), model.predict_proba_mc(bags))
    np.testing.assert_array_equal(loaded.attention(bags), model.attention(bags))
    assert loaded.get_params() == model.get_params() | {"device": "cpu"}
    np.testing.assert_equal(loaded.history_, model.history_)
    np.testing.assert_array_equal(loaded.validation_bags_, model.validation_bags_)
    for name in ("temperature_", "n_epochs_", "best_epoch_", "early_stopped_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(model, name)


def test_the_folder_holds_strict_json_and_arrays_without_pickle(saved):
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "weights.npz"]
    assert [p.name for p in saved.parent.iterdir()] == ["model"]

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((saved / "model.json").read_text(), parse_constant=refuse)
    with np.load(saved / "weights.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fi" for name in arrays.files)


def test_an_earlier_model_is_replaced_and_anything_else_is_left(planted, saved, model, tmp_path):
    bags, y = planted
    other = MILClassifier(**QUICK | {"hidden": 12}).fit(bags, y)
    other.save(saved)
    np.testing.assert_array_equal(MILClassifier.load(saved).predict_proba(bags), other.predict_proba(bags))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "model.json").write_text('{"format": "thesis"}')
    with pytest.raises(ValueError, match="model"):
        model.save(thesis)
    assert (thesis / "model.json").read_text() == '{"format": "thesis"}'
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ValueError, match="model"):
        model.save(tmp_path / "file")


def test_a_failed_save_leaves_the_earlier_model(planted, saved, model):
    broken = MILClassifier(**QUICK | {"progress": True}).fit(*planted)
    broken.progress = object()
    with pytest.raises(TypeError):
        broken.save(saved)
    np.testing.assert_array_equal(MILClassifier.load(saved).predict(planted[0]), model.predict(planted[0]))
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


def test_missing_parts_are_named(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MILClassifier.load(tmp_path / "nowhere")
    (saved / "weights.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.npz"):
        MILClassifier.load(saved)


def test_damage_is_reported(saved):
    content = (saved / "weights.npz").read_bytes()
    (saved / "weights.npz").write_bytes(content[:-10])
    with pytest.raises(ValueError, match="digest"):
        MILClassifier.load(saved)
    (saved / "weights.npz").write_bytes(content)
    (saved / "model.json").write_text("{")
    with pytest.raises(ValueError, match="JSON"):
        MILClassifier.load(saved)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": "pickle"}, "does not describe a repatient-predictor model"),
        ({"format_version": 99}, r"\b99\b"),
        ({"format_version": None}, "format version None"),
        ({"shapes": {}}, "shapes"),
        ({"classes": {}}, "no complete model"),
        ({"fitted": {}}, "no complete model"),
        ({"kind": "linear"}, "load_model"),
        ({"params": {"hidden": 9}}, "size mismatch"),
        ({"params": {"wings": 2}}, "wings"),
        ({"classes": {"dtype": "<U1", "values": ["a", "b", "c"]}}, "size mismatch"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(saved, changes, match):
    edit(saved, **changes)
    with pytest.raises(ValueError, match=match):
        MILClassifier.load(saved)


def test_pickled_arrays_are_never_read(saved, tmp_path):
    import hashlib

    np.savez(tmp_path / "evil.npz", mean=np.array([{}], dtype=object))
    shutil.move(tmp_path / "evil.npz", saved / "weights.npz")
    edit(saved, weights_sha256=hashlib.sha256((saved / "weights.npz").read_bytes()).hexdigest())
    with pytest.raises(ValueError, match="pickle"):
        MILClassifier.load(saved)


def test_an_unfitted_model_has_nothing_to_save(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        MILClassifier().save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
