"""Files that declare more than they hold, under a fitting seal: refused before anything of that size is made."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from repatient._files._read import MOST_BYTES_OF_JSON, parse_arrays, parse_json
from repatient._files._sealed_json import SEAL, write_sealed
from repatient.evaluation._checkpoint import Checkpoint
from repatient.mil import Bags, MILClassifier
from repatient.views import Encoder, Translator


def header(shape, dtype="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def archive(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


BOMBS = {
    "compressed": lambda: archive({"x": header((2**24,)) + bytes(2**26)}, zipfile.ZIP_DEFLATED),
    "larger than it is": lambda: archive({"x": header((2**40,)) + bytes(8)}),
    "an overflow": lambda: archive({"x": header((2**62, 4)) + bytes(8)}),
    "negative": lambda: archive({"x": header((-1,)) + bytes(8)}),
    "wide text": lambda: archive({"x": header((1,), "<U500000000") + bytes(8)}),
    "objects": lambda: archive({"x": header((1,), "|O") + bytes(8)}),
    "a record": lambda: archive({"x": header((1,), [("a", "<f4")]) + bytes(4)}),
    "many": lambda: archive(dict.fromkeys(map(str, range(20_000)), header((0,)))),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_archives(bomb, tmp_path):
    content = BOMBS[bomb]()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="no numpy archive"):
            parse_arrays(content, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_whole_archives_come_back(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "f": np.asfortranarray(rng.random((3, 4))),
        "none": np.zeros((0, 3)),
        "number": np.array(2.5),
        "text": np.array(["a", "bcd"]),
        "flags": rng.random(5) < 0.5,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    found = parse_arrays(buffer.getvalue(), tmp_path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("part", ['{"":0}', "[[[0]]]"])
def test_json_takes_less_than_half_a_gigabyte(part, tmp_path):
    """The parts that take most memory for their length."""
    n_parts = 2**19 // (len(part) + 1)
    content = ('{"a":[' + ",".join([part] * n_parts) + "]}").encode()
    tracemalloc.start()
    parse_json(content, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / len(content) * MOST_BYTES_OF_JSON < 400e6
    with pytest.raises(ValueError, match="bytes"):
        parse_json(content + bytes(MOST_BYTES_OF_JSON), tmp_path)


def bag_model():
    bags = Bags.from_codes(
        np.random.default_rng(0).standard_normal((240, 4)).astype(np.float32), np.arange(240) % 12, 12
    )
    return MILClassifier(max_epochs=1, hidden=4, attention_hidden=4).fit(bags, np.arange(12) % 2)


def translator():
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    return Translator(n_steps=2, device="cpu", progress=False).fit(X, X[:, :3], np.stack([np.arange(60)] * 2, axis=1))


def encoder():
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    settings = {"dim": 4, "width": 8, "projection": 8, "n_steps": 2, "evaluate_every": 1, "progress": False}
    return Encoder(**settings, device="cpu").fit(X, X[:, :3])


def edited(content, place, value):
    *way, last = place.split("/")
    inner = content
    for name in way:
        inner = inner[name]
    inner[last] = value
    return content


HUGE = 100_000
CASES = [
    *((bag_model, place, HUGE) for place in ("params/hidden", "params/n_layers", "params/attention_hidden")),
    *((bag_model, "fitted/temperature_", value) for value in (-1.0, float("inf"), float("nan"), [1, 2], "x", None)),
    (bag_model, "fitted/n_features_in_", HUGE),
    (bag_model, "fitted/n_epochs_", -1),
    (bag_model, "fitted/history", {"epoch": ["a"]}),
    (bag_model, "classes/dtype", "<U100000000"),
    (bag_model, "classes/values", [0, 0]),
    *((encoder, f"params/{name}", HUGE) for name in ("dim", "width")),
    (encoder, "primary/shape", [3, HUGE, HUGE]),
    (encoder, "fitted/trust_", -0.5),
    (encoder, "fitted/kind_", "anything"),
    *((translator, f"params/{name}", HUGE) for name in ("n_members", "hidden")),
    (translator, "network/target", [HUGE, HUGE, HUGE]),
    (translator, "fitted/n_pairs_", -3),
    (translator, "fitted/source_names_", [1, 2]),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {}
    for make in (bag_model, translator, encoder):
        folders[make] = tmp_path_factory.mktemp("models") / "model"
        make().save(folders[make])
    return folders


@pytest.mark.parametrize(("make", "place", "value"), CASES)
def test_values_of_models(saved, make, place, value):
    (path,) = saved[make].glob("*.json")
    text = path.read_text()
    content = {name: part for name, part in json.loads(text).items() if name != SEAL}
    cls = {bag_model: MILClassifier, translator: Translator, encoder: Encoder}[make]
    tracemalloc.start()
    try:
        write_sealed(path, edited(content, place, value))
        with pytest.raises(ValueError, match="model"):
            cls.load(saved[make], device="cpu")
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
        path.write_text(text)
    cls.load(saved[make], device="cpu")


@pytest.mark.parametrize(
    "values", [{}, {"auroc": None}, {"auroc": "x"}, {"auroc": float("inf")}, {"brier": 0.1}, {"auroc": 7.0}]
)
def test_results_without_a_metric(tmp_path, values):
    path = tmp_path / "results.json"
    content = {"format": "repatient evaluation", "version": 2, "params": {}, "methods": {"none": {}}}
    write_sealed(path, content | {"results": {"0": {"none": values}}})
    with pytest.raises(ValueError, match="`checkpoint`"):
        Checkpoint(path, {}, {"none": {}}, ["auroc"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_read(saved, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_bytes((saved[bag_model] / "model.json").read_bytes())
    os.mkfifo(folder / "weights.npz")
    with pytest.raises(ValueError, match="no regular file"):
        MILClassifier.load(folder)


def test_arrays_that_do_not_fit(saved):
    (path,) = saved[encoder].glob("*.json")
    weights = saved[encoder] / "weights.npz"
    before = path.read_text(), weights.read_bytes()
    with np.load(weights) as stored:
        arrays = dict(stored)
    content = {name: part for name, part in json.loads(before[0]).items() if name != SEAL}
    for name, array in {"scale": -arrays["scale"], "mean": np.zeros(1), "primary.scale": np.ones(99)}.items():
        changed = arrays | {name: array}
        np.savez(weights, **changed)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        shapes = {key: list(value.shape) for key, value in changed.items()}
        write_sealed(path, content | {"weights_sha256": digest, "shapes": shapes})
        with pytest.raises(ValueError, match="no complete encoder"):
            Encoder.load(saved[encoder])
    path.write_text(before[0])
    weights.write_bytes(before[1])
