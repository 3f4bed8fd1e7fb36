"""A device on which nothing can be computed is refused before any work, by whatever takes one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repatient.mil import Bags, MILClassifier, load_model
from repatient.views import Encoder, Translator

ROWS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
BAGS, Y = Bags.from_codes(ROWS, np.arange(40) % 8, 8), np.arange(8) % 2
STEPS = {"n_steps": 1, "progress": False}
FITS = {
    "mil": lambda device: MILClassifier(device=device, max_epochs=1).fit(BAGS, Y),
    "encoder": lambda device: Encoder(device=device, dim=2, width=4, projection=4, batch_size=4, **STEPS).fit(ROWS),
    "translator": lambda device: Translator(device=device, **STEPS).fit(ROWS, ROWS + 1, links=[[0, 0]]),
}
LOADS = {"mil": load_model, "encoder": Encoder.load, "translator": Translator.load}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("name", ["nonsense", "meta", "cuda:99", *([] if torch.cuda.is_available() else ["cuda"])])
def test_fitting(fit, name):
    with pytest.raises(ValueError, match=rf"device='{name}' cannot be computed on here; there are \['cpu', 'auto'"):
        fit(name)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_no_name(fit):
    with pytest.raises(TypeError, match="device must be a string .* found 0"):
        fit(0)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", LOADS)
def test_loading(kind, tmp_path):
    FITS[kind]("cpu").save(tmp_path / "model")
    with pytest.raises(ValueError, match="device='nonsense' cannot be computed on"):
        LOADS[kind](tmp_path / "model", device="nonsense")
    LOADS[kind](tmp_path / "model", device="auto")
