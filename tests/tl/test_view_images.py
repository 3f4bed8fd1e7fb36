"""Images from one view to the embedding: end to end, what is refused, and what a target without some kinds does."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

import repatient as rp

KEY = "X_clean_synthetic"
TRANSLATOR = {
    "source_rep": "images",
    "target_rep": "images",
    "n_steps": 3,
    "settings": {"width": 4, "batch_size": 4},
    "device": "cpu",
    "progress": False,
}
ENCODER = {
    "dim": 4,
    "n_steps": 4,
    "branches": 2,
    "batch_size": 16,
    "device": "cpu",
    "progress": False,
    "encoder": {"width": 8, "projection": 8, "evaluate_every": 2},
}


def modality(images, **obs):
    names = [f"tile{i}" for i in range(len(images))]
    frame = pd.DataFrame({name: np.asarray(values) for name, values in obs.items()}, index=names)
    return ad.AnnData(obs=frame, obsm={"images": images})


@pytest.fixture
def large():
    """40 images of 64 × 64 pixels in three channels, and 30 of other tiles."""
    rng = np.random.default_rng(0)
    a, b = (zoom(rng.random((n, 3, 8, 8)), (1, 1, 8, 8), order=1).astype(np.float32) for n in (40, 30))
    stained, clean = modality(a), modality(1 - b)
    clean.obs_names = "other_" + clean.obs_names
    return md.MuData({"stained": stained, "clean": clean})


# Three steps teach a translator too little for its images to be like those of the target.
@pytest.mark.filterwarnings("ignore:The views differ in composition:UserWarning")
def test_images_of_64_pixels_from_view_to_mixture(large, read_back, same_content):
    rp.tl.synthesize(large, "stained", "clean", store=True, **TRANSLATOR)
    encoder = rp.tl.distill(large, "stained", "clean", primary_rep="images", **ENCODER)
    stained = large["stained"]
    assert stained.obsm[KEY].shape == (40, 3, 64, 64)
    assert stained.obsm["X_spi"].shape == (40, 4)
    rp.tl.gmm(stained, 2, use_rep="X_spi", n_init=1)
    for form in ("h5mu", "zarr"):
        back = read_back(large, form)
        same_content(back["stained"], stained)
        np.testing.assert_array_equal(encoder.embed(back["stained"]), stained.obsm["X_spi"])


@pytest.mark.filterwarnings("ignore:The views differ in composition:UserWarning")
def test_a_translator_makes_images_on_the_fly(large):
    translator = rp.tl.synthesize(large, "stained", "clean", **TRANSLATOR)
    assert KEY not in large["stained"].obsm
    rp.tl.distill(large, "stained", "clean", primary_rep="images", translator=translator, **ENCODER)
    first = large["stained"].obsm["X_spi"].copy()
    rp.tl.distill(large, "stained", "clean", primary_rep="images", translator=translator, **ENCODER)
    np.testing.assert_array_equal(large["stained"].obsm["X_spi"], first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.where(np.arange(len(x)) == 7, np.nan, x.T).T, "NaN or infinity in 1 of 40 rows"),
        (lambda x: x[:, 0], r"has shape \(40, 64, 64\); vectors .* or images"),
        (lambda x: np.moveaxis(x, 1, -1), "channels last"),
        (lambda x: x[:, :, :62], "62 × 64 pixels; both sides must be divisible by 4"),
        (lambda x: np.ones_like(x), "constant"),
    ],
)
def test_images_that_nothing_can_be_learnt_from(large, untouched, change, message):
    large["stained"].obsm["images"] = change(large["stained"].obsm["images"])
    large["stained"].obsm[KEY] = np.zeros((40, 1, 64, 64), dtype=np.float32)
    with untouched(large), pytest.raises(ValueError, match=message):
        rp.tl.synthesize(large, "stained", "clean", **TRANSLATOR)
    large["stained"].obsm[KEY][0] = 1
    with untouched(large), pytest.raises(ValueError, match=message.replace("; both sides", ".*")):
        rp.tl.distill(large, "stained", "clean", primary_rep="images", **ENCODER)


def test_one_row_names_that_occur_twice_and_one_view_alone(large, untouched):
    with untouched(large), pytest.raises(ValueError, match="1 rows; 2 or more"):
        rp.tl.synthesize(large, "stained", "clean", mask_obs=np.arange(70) == 3, **TRANSLATOR)
    with untouched(large), pytest.raises(ValueError, match="'stained' is the source itself"):
        rp.tl.synthesize(large, "stained", "stained", **TRANSLATOR)
    stained, clean = large["stained"].copy(), large["clean"].copy()
    stained.obs_names = ["tile"] * 40
    with untouched(stained), pytest.raises(ValueError, match="`obs_names` are not unique"):
        rp.tl.synthesize(stained, "stained", "clean", target_data=clean, **TRANSLATOR)


def test_digits_that_the_target_lacks_are_warned_of_and_shown():
    rng = np.random.default_rng(0)
    digits = load_digits()
    clean = np.kron(digits.images / 16, np.ones((2, 2))).astype(np.float32)[:, None]
    cluttered = clean + rng.normal(scale=0.3, size=(len(clean), 3, 16, 16)).astype(np.float32)
    kinds = digits.target.astype(str)
    source = modality(cluttered[:900], digit=kinds[:900], training=np.arange(900) < 600)
    target = modality(clean[:900], digit=kinds[:900], training=(np.arange(900) < 600) & (digits.target[:900] < 5))
    pairs = np.column_stack([np.flatnonzero(target.obs["training"])] * 2)
    with pytest.warns(UserWarning, match=r"composition by groups: '5' .*'9' .*made up"):
        rp.tl.synthesize(
            source,
            "cluttered",
            "clean",
            target_data=target,
            pairs=pairs,
            mask_obs="training",
            evaluation_pairs=np.column_stack([np.arange(600, 900)] * 2),
            groupby="digit",
            **{**TRANSLATOR, "n_steps": 150, "settings": {"width": 8}},
        )
    table = source.uns[KEY]["by_group"]
    there, missing = table[~table["missing"]], table[table["missing"]]
    assert missing.index.tolist() == list("56789")
    assert missing["read_as_own"].max() == 0
    assert set(missing["most_read_as"]) <= set("01234")
    assert there["read_as_own"].mean() > 0.7
    # What all rows together do not show.
    assert source.uns[KEY]["fidelity"]["foscttm"] < 0.1
