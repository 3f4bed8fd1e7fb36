"""Files whose checksums fit, but whose contents a stranger made: refused by a ValueError, or read and of use.

`make trust` reads 3,000 of them, each within 500 MB and 30 s of processor time.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from functools import partial

import anndata as ad
import numpy as np
import pytest

import repatient as rp
from repatient._files._sealed_json import SEAL, write_sealed
from repatient.evaluation._checkpoint import Checkpoint
from repatient.io._seal import BLOCK_SIZE, seal

# Names under which descriptions have the digest of a file of arrays.
DIGESTS = {"weights.npz": "weights_sha256", "cohort.npz": "arrays_sha256"}
KEYS = {"patient_key": "patient", "label_key": "label"}
OUTCOMES = {"class": "label", "ordinal": "grade", "continuous": "age"}
# Without `make trust`, one predictor of a kind and outcome; "auto" is in the model of a cohort, too.
ALL = "REPATIENT_TRUST" in os.environ
PREDICTORS = [
    name
    for name in rp.mil.PREDICTORS
    if name not in ("moments", "extremes", "quantiles") and (ALL or name not in ("auto", "prototypes"))
]


def cohort():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(rng.poisson(3, (240, 6)).astype(np.float32))
    patient = np.repeat(np.arange(12), 20)
    adata.obs["patient"] = [f"p{i}" for i in patient]
    adata.obs["label"] = np.where(patient % 2, "a", "b")
    adata.obs["grade"], adata.obs["age"] = patient % 3, 20.0 + patient
    adata.X[patient % 2 == 1, 0] += 4
    rp.pp.embed(adata, kind="counts", n_components=3)
    return adata


def odd_value(value, rng):
    """What is not what it was: another type, or a number out of any range."""
    odd = [None, True, -1, 0, 2.5, 10**7, 10**30, 1e300, float("nan"), float("inf"), "text", "", [], {}, [1, "a"]]
    odd += [[0] * 3000, {"a": {"b": []}}, "<U99999999", "O", "x" * 100_000]
    if isinstance(value, int | float) and not isinstance(value, bool):
        odd += [-value, value + 1, value * 1e6]
    return odd[rng.integers(len(odd))]


def changed(value, rng):
    """JSON with one value somewhere in it replaced, left out, or twice there."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        name = str(rng.choice(sorted(value)))
        if rng.random() < 0.05:
            return {key: part for key, part in value.items() if key != name}
        return value | {name: changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        i = int(rng.integers(len(value)))
        more = [value[i]] * int(rng.choice([1, 1, 2, 500])) if rng.random() < 0.1 else [changed(value[i], rng)]
        return [*value[:i], *more, *value[i + 1 :]]
    return odd_value(value, rng)


def other(array, rng):
    """An array of another shape, type or content."""
    numbers = array.dtype.kind in "biuf"
    odd = [
        lambda: array.astype(rng.choice(["f8", "f2", "i8", "u1", "?"])) if numbers else array.astype("U1"),
        lambda: array.ravel()[: rng.integers(array.size + 1)],
        lambda: np.zeros((0, *array.shape), array.dtype),
        lambda: np.broadcast_to(array, (2, *array.shape)).copy(),
        lambda: np.concatenate([array.ravel()] * 3).reshape(-1, *array.shape[1:]) if array.ndim else array[None],
        lambda: np.zeros((300_000, 0), np.float32),
        lambda: np.zeros(300_000, np.float32),
        lambda: array.T.copy(),
        lambda: -np.abs(array) - 1 if numbers and array.dtype.kind != "b" else array[::-1].copy(),
        lambda: (
            np.full_like(array, rng.choice([0, 1e30, 1e-40, np.nan, np.inf])) if array.dtype.kind == "f" else array[:0]
        ),
        lambda: np.full_like(array, rng.choice([-1, 127, 0])) if array.dtype.kind == "i" else array * 1,
        lambda: np.array(["text"]),
    ]
    try:
        return np.asarray(odd[rng.integers(len(odd))]())
    except (IndexError, TypeError, ValueError):
        return np.zeros(7)


class SealedFolder:
    """The files of a model, and its variants with checksums that fit."""

    def __init__(self, folder):
        self.folder, self.before = folder, {path.name: path.read_bytes() for path in folder.iterdir()}
        self.descriptions = {name: json.loads(text) for name, text in self.before.items() if name.endswith(".json")}
        self.arrays = {}
        for name in self.before:
            if name.endswith(".npz"):
                with np.load(folder / name) as stored:
                    self.arrays[name] = dict(stored)

    def restore(self):
        for name, content in self.before.items():
            (self.folder / name).write_bytes(content)

    def change(self, rng, damaged):
        """Write a variant: a value, an array, or bytes of an archive."""
        self.restore()
        descriptions = {name: {k: v for k, v in d.items() if k != SEAL} for name, d in self.descriptions.items()}
        kind = rng.choice(["value", "value", "array", "bytes"])
        if kind == "value":
            name = str(rng.choice(sorted(descriptions)))
            descriptions[name] = changed(descriptions[name], rng)
        else:
            name = str(rng.choice(sorted(self.arrays)))
            path = self.folder / name
            if kind == "array":
                key = str(rng.choice(sorted(self.arrays[name])))
                arrays = self.arrays[name] | {key: other(self.arrays[name][key], rng)}
                np.savez(path, allow_pickle=False, **arrays)
                if name == "weights.npz":
                    (main,) = (d for d in descriptions.values() if "weights_sha256" in d)
                    main["shapes"] = {k: list(v.shape) for k, v in arrays.items()}
            else:
                path.write_bytes(damaged(self.before[name], rng))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            for description in descriptions.values():
                if DIGESTS[name] in description:
                    description[DIGESTS[name]] = digest
        for name, content in descriptions.items():
            if isinstance(content, dict):
                write_sealed(self.folder / name, content)
            else:
                (self.folder / name).write_text(json.dumps(content))


def fuzzed(folder, load, use, fuzz, damaged, read_or_refuse, tmp_path, few, most=100):
    model = SealedFolder(folder)

    def attempt(seed):
        model.change(np.random.default_rng(seed), damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_or_refuse(lambda: load(folder), folder.name, use)

    use(load(folder))
    fuzz(few, attempt, tmp_path, most=most)


def check_predictions(model, bags):
    """What was read can be used, and says what can be."""
    p = model.predict_proba(bags)
    assert not np.isnan(p).any()
    if model.outcome != "continuous":
        np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-6)
        assert p.min() >= -1e-9


@pytest.mark.parametrize("outcome", list(OUTCOMES) if ALL else ["class"])
@pytest.mark.parametrize("name", PREDICTORS)
def test_predictors(name, outcome, fuzz, damaged, read_or_refuse, tmp_path):
    adata = cohort()
    bags = rp.mil.Bags.from_codes(adata.obsm["X_embedded"], np.arange(240) // 20, 12)
    y = adata.obs[OUTCOMES[outcome]].to_numpy()[::20]
    settings = {"n_steps": 2} if name in ("attention", "cloudpred") else {}
    model = rp.mil.make_predictor(name, outcome=outcome, progress=False, device="cpu", **settings).fit(bags, y)
    folder = tmp_path / "model"
    model.save(folder)
    use = partial(check_predictions, bags=bags)
    fuzzed(folder, partial(rp.mil.load_model, device="cpu"), use, fuzz, damaged, read_or_refuse, tmp_path, 3, most=50)


def test_models_of_cohorts(fuzz, damaged, read_or_refuse, tmp_path):
    """With members, projection and familiarity."""
    adata = cohort()
    model = rp.tl.mil(adata, **KEYS, use_rep="X_embedded", progress=False)
    folder = tmp_path / "model"
    model.save(folder)
    load = partial(rp.tl.load_model, device="cpu")

    def use(read):
        p = (
            read.predict(adata, check="none", n_passes=2, patient_key="patient", use_rep="X_embedded")
            .filter(like="probability_")
            .to_numpy()
        )
        assert ((p >= -1e-9) & (p <= 1 + 1e-9)).all()

    fuzzed(folder, load, use, fuzz, damaged, read_or_refuse, tmp_path, 6, most=400)


def translator(X):
    pairs = np.stack([np.arange(60)] * 2, axis=1)
    return rp.views.Translator(n_steps=2, device="cpu", progress=False).fit(X, X[:, :3], pairs)


def encoder(X):
    return rp.views.Encoder(**ENCODER, device="cpu").fit(X, X[:, :3])


ENCODER = {"dim": 4, "width": 8, "projection": 8, "n_steps": 4, "evaluate_every": 1, "progress": False}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("make", "use"), [(translator, "translate"), (encoder, "embed")])
def test_views(make, use, fuzz, damaged, read_or_refuse, tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    model, folder = make(X), tmp_path / "model"
    model.save(folder)
    load = partial(type(model).load, device="cpu")
    fuzzed(folder, load, lambda read: getattr(read, use)(X), fuzz, damaged, read_or_refuse, tmp_path, 10)


def test_a_translator_of_features_writes_no_images(tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    translator(X).save(tmp_path / "model")
    description = next(path for path in (tmp_path / "model").glob("*.json"))
    content = {name: value for name, value in json.loads(description.read_text()).items() if name != SEAL}
    content["network"]["target"] = [3, 3]
    write_sealed(description, content)
    with pytest.raises(ValueError, match="features or images"):
        rp.views.Translator.load(tmp_path / "model", device="cpu")


def test_trainings_of_encoders(fuzz, damaged, read_or_refuse, tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    path = tmp_path / "training.npz"

    def train(n_steps=4):
        return rp.views.Encoder(**ENCODER | {"n_steps": n_steps}, device="cpu").fit(X, X[:, :3], checkpoint=path)

    train()
    before = path.read_bytes()
    with np.load(path) as stored:
        arrays = dict(stored)

    def attempt(seed):
        rng = np.random.default_rng(seed)
        kind = rng.choice(["header", "array", "bytes"])
        if kind == "bytes":
            path.write_bytes(damaged(before, rng))
        else:
            name = "header" if kind == "header" else str(rng.choice(sorted(arrays)))
            new = other(arrays[name], rng)
            if kind == "header":
                new = np.array(json.dumps(changed(json.loads(str(arrays["header"])), rng)))
            np.savez(path, allow_pickle=False, **arrays | {name: new})
        read_or_refuse(train, path.name, lambda read: read.embed(X))

    fuzz(6, attempt, tmp_path, most=100)


def test_results_of_evaluations(fuzz, read_or_refuse, tmp_path):
    path, params, methods = tmp_path / "results.json", {"seed": 0}, {"none": {"epochs": 3}}
    kept = Checkpoint(path, params, methods)
    for split in range(3):
        kept.add(split, {"none": {"auroc": 0.1 * split, "probabilities": [[0.5, 0.5], [0.25, 0.75]]}})
    content = json.loads(path.read_text())
    del content[SEAL]

    def use(found):
        for split, of in found.results.items():
            assert split >= 0
            for values in of.values():
                assert isinstance(values["auroc"], int | float)

    def attempt(seed):
        new = changed(content, np.random.default_rng(seed))
        if isinstance(new, dict):
            write_sealed(path, new)
        else:
            path.write_text(json.dumps(new))
        read_or_refuse(lambda: Checkpoint(path, params, methods, ["auroc"]), path.name, use)

    fuzz(40, attempt, tmp_path, most=250)


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning", "ignore::RuntimeWarning")
def test_bytes_of_recipes_files(generated, fuzz, damaged, read_or_refuse, tmp_path):
    """HDF5 sees damaged bytes where the checksum was made of them."""
    path = tmp_path / "mutant.h5"
    rp.io.write_recipes(generated, path)
    content = path.read_bytes()

    def use(found):
        assert np.isfinite(found["gmm"]["means"]).all()

    def attempt(seed):
        block, rest = content[:BLOCK_SIZE], content[BLOCK_SIZE:]
        path.write_bytes(block + damaged(rest, np.random.default_rng(seed)))
        seal(path)
        read_or_refuse(lambda: rp.io.read_recipes(path), path.name, use)

    fuzz(60, attempt, tmp_path, most=600)
