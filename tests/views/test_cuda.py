"""Networks of views that are trained on a GPU learn what they learn on the CPU, and read back anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repatient.views import Encoder, Translator, feature_correlation, probe_errors

DEVICE = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no CUDA device here")


def two_views(seed: int, n: int = 400):
    """Two views with four features in common, among six that only the first has, and the class that they tell."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    signal = np.eye(4)[y] + 0.3 * rng.standard_normal((n, 4))
    first = np.column_stack([signal, 1.5 * rng.standard_normal((n, 6))])
    return first.astype(np.float32), (2 * signal + 1).astype(np.float32), y


def two_images(seed: int, n: int = 120):
    """A bright square somewhere, over noise and without it."""
    rng = np.random.default_rng(seed)
    clean = np.zeros((n, 1, 16, 16), dtype=np.float32)
    for image, (x, y) in zip(clean, rng.integers(0, 8, (n, 2)), strict=True):
        image[0, x : x + 8, y : y + 8] = 1.0
    return (clean + 0.3 * rng.standard_normal((n, 3, 16, 16))).astype(np.float32), clean


def in_common(n: int) -> np.ndarray:
    return np.column_stack([np.arange(n)] * 2)


@pytest.mark.parametrize(
    ("generator", "given"),
    [("ot", {"links": in_common(4)}), ("regression", {"pairs": in_common(400)}), ("cyclegan", {"links": in_common(4)})],
)
def test_translators_of_vectors(generator, given, tmp_path):
    first, second, _ = two_views(0)
    new, measured, _ = two_views(1)
    quality = []
    for device in ("cpu", DEVICE):
        translator = Translator(generator, n_steps=150, hidden=32, progress=False, device=device)
        translator.fit(first, second, **given)
        quality.append(feature_correlation(translator.translate(new), measured).mean())
    assert quality[0] > 0.5
    assert quality[1] == pytest.approx(quality[0], abs=0.1)
    assert next(translator._networks.parameters()).device.type == DEVICE
    translator.save(tmp_path / "translator")
    again = Translator.load(tmp_path / "translator", device="cpu")
    np.testing.assert_allclose(again.translate(new), translator.translate(new), atol=1e-3)


@pytest.mark.parametrize(("generator", "pairs"), [("regression", in_common(120)), ("cyclegan", None)])
def test_translators_of_images(generator, pairs, tmp_path):
    seen, clean = two_images(0)
    settings = {"n_steps": 200, "width": 8, "progress": False, "device": DEVICE}
    translator = Translator(generator, **settings).fit(seen, clean, pairs=pairs)
    made = translator.translate(seen)
    assert made.shape == clean.shape
    if pairs is not None:
        assert np.abs(made - clean).mean() < 0.125
    translator.save(tmp_path / "translator")
    again = Translator.load(tmp_path / "translator", device="cpu")
    np.testing.assert_allclose(again.translate(seen), made, atol=5e-3)


@pytest.mark.parametrize("objective", ["infonce", "vicreg", "barlow"])
@pytest.mark.parametrize("branches", [2, 3])
def test_encoders_of_vectors(objective, branches, tmp_path):
    (first, second, y), (new, _, new_y) = two_views(0), two_views(1)
    settings = {"dim": 8, "width": 32, "projection": 16, "n_steps": 80, "learning_rate": 5e-3, "progress": False}
    errors = []
    for device in ("cpu", DEVICE):
        encoder = Encoder(objective=objective, branches=branches, distill=1.0, device=device, **settings)
        encoder.fit(first, second)
        errors.append(probe_errors(encoder.embed(first), y, encoder.embed(new), new_y, random_state=0)["linear"])
    assert errors[1] == pytest.approx(errors[0], abs=0.1)
    assert next(encoder._network.parameters()).device.type == DEVICE
    encoder.save(tmp_path / "encoder")
    again = Encoder.load(tmp_path / "encoder", device="cpu")
    np.testing.assert_allclose(again.embed(new), encoder.embed(new), atol=1e-3)


def test_encoders_of_images(tmp_path):
    seen, clean = two_images(0)
    encoder = Encoder(dim=4, width=8, projection=8, n_steps=5, batch_size=16, progress=False, device=DEVICE)
    encoder.fit(seen, clean)
    encoder.save(tmp_path / "encoder")
    again = Encoder.load(tmp_path / "encoder", device="cpu")
    np.testing.assert_allclose(again.embed(seen), encoder.embed(seen), atol=5e-3)
