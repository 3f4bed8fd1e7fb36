from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset

import repatient as rp


def test_an_item_is_a_patient(plain, keys):
    bags = rp.get.bags(plain, **keys)
    assert isinstance(bags, Dataset)
    assert isinstance(bags, rp.get.PatientBags)
    assert len(bags) == 16
    assert bags.patients == list(plain.obs["patient"].cat.categories)
    assert bags.classes == list(plain.obs["label"].cat.categories)
    for item, name, label, number in zip(bags, bags.patients, bags.labels, bags.y, strict=True):
        cells = plain[plain.obs["patient"] == name]
        np.testing.assert_array_equal(item["X"].numpy(), cells.obsm["X_pca"].astype(np.float32))
        assert item["X"].dtype == torch.float32
        assert item["Y"].dtype == torch.int64
        assert item["Y"].shape == ()
        assert bags.classes[int(item["Y"])] == label == str(cells.obs["label"].iloc[0])
        assert int(item["Y"]) == number
    assert torch.equal(bags[-1]["X"], bags[15]["X"])
    with pytest.raises(IndexError):
        bags[16]
    sizes = plain.obs["patient"].value_counts()
    np.testing.assert_array_equal(bags.table["n_cells"], sizes.loc[bags.patients])
    assert "16 patients, 10 features" in repr(bags)


def test_generated_patients_are_appended(generated, keys):
    bags = rp.get.bags(generated, **keys, generated_key="generated")
    assert len(bags) == 16 + 14
    np.testing.assert_array_equal(bags.table["is_generated"], [False] * 16 + [True] * 14)
    cells = rp.get.generated(generated)
    for item, name in list(zip(bags, bags.patients, strict=True))[16:]:
        rows = cells[cells.obs["patient"] == name]
        np.testing.assert_array_equal(item["X"].numpy(), rows.obsm["X_pca"].astype(np.float32))
        assert bags.classes[int(item["Y"])] == str(rows.obs["label"].iloc[0])
    assert "14 of them generated" in repr(bags)


def test_gaussian_patients(generated, keys):
    rp.tl.generate(generated, {"disease": 2}, draw="gaussian", key_added="points")
    bags = rp.get.bags(generated, **keys, generated_key="points")
    cells = generated.uns["points"]["cells"]
    joined = torch.cat([bags[16]["X"], bags[17]["X"]]).numpy()
    np.testing.assert_array_equal(joined, cells["embedding"])
    assert bags.labels[16:] == ["disease", "disease"]
    generated.obsm["other"] = generated.obsm["X_pca"][:, :3].copy()
    with pytest.raises(ValueError, match="`use_rep`.*'X_pca'.*'other'"):
        rp.get.bags(generated, **keys, generated_key="points", use_rep="other")


def test_selected_patients(selected_cohort, keys):
    adata = selected_cohort
    kept = adata.uns["generated"]["patients"].query("selected").index
    assert rp.get.bags(adata, **keys, generated_key="generated").patients[16:] == list(kept)
    assert len(rp.get.bags(adata, **keys, generated_key="generated", selected=False)) == 30


@pytest.fixture
def selected_cohort(generated):
    table = generated.uns["generated"]["patients"]
    table["selected"] = np.arange(len(table)) % 3 == 0
    return generated


def test_loaders_and_subsets(generated, keys):
    bags = rp.get.bags(generated, **keys, generated_key="generated")
    loader = DataLoader(Subset(bags, [3, 20]), batch_size=2, collate_fn=pad)
    (batch,) = loader
    assert batch["X"].shape[0] == batch["Y"].shape[0] == 2
    torch.testing.assert_close(batch["X"][1][batch["mask"][1]], bags[20]["X"])
    one = next(iter(DataLoader(bags, batch_size=1, shuffle=True)))
    assert one["X"].ndim == 3
    assert len(list(DataLoader(bags, batch_size=None))) == 30


def pad(items):
    """What a padding collate function does with items of unequal length."""
    X = torch.nn.utils.rnn.pad_sequence([item["X"] for item in items], batch_first=True)
    mask = torch.arange(X.shape[1]) < torch.tensor([len(item["X"]) for item in items])[:, None]
    return {"X": X, "Y": torch.stack([item["Y"] for item in items]), "mask": mask}


def test_torchmil_takes_them(generated, keys):
    data = pytest.importorskip("torchmil.data", reason="torchmil is not installed")
    from torchmil.models import ABMIL

    bags = rp.get.bags(generated, **keys, generated_key="generated")
    batch = next(iter(DataLoader(bags, batch_size=4, collate_fn=data.collate_fn)))
    predicted, losses = ABMIL(in_shape=bags[0]["X"].shape[1:]).compute_loss(batch["Y"], batch["X"], batch["mask"])
    assert predicted.shape == (4,)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_classes_keep_their_numbers(plain, keys):
    rows = plain.obs["label"] == "disease"
    alone = plain[rows].copy()
    assert set(rp.get.bags(alone, **keys).y) == {0}
    bags = rp.get.bags(alone, **keys, classes=["healthy", "disease"])
    assert set(bags.y) == {1}
    with pytest.raises(ValueError, match=r"`classes`.*\['healthy'\]"):
        rp.get.bags(plain, **keys, classes=["disease"])
    with pytest.raises(TypeError, match="`classes`"):
        rp.get.bags(plain, **keys, classes="disease")


def test_a_class_that_only_generated_patients_have_comes_last(generated, keys):
    healthy = (generated.obs["label"] == "healthy").to_numpy()
    generated.obs["label"] = generated.obs["label"].astype(str).where(healthy)
    bags = rp.get.bags(generated, **keys, generated_key="generated")
    assert bags.classes == ["healthy", "disease"]
    assert len(bags) == 8 + 14


def test_patients_without_a_label(plain, keys):
    unknown = plain.obs["patient"].cat.categories[:3]
    plain.obs["label"] = plain.obs["label"].where(~plain.obs["patient"].isin(unknown))
    assert rp.get.bags(plain, **keys).patients == list(plain.obs["patient"].cat.categories[3:])
    every = rp.get.bags(plain, patient_key="patient")
    assert len(every) == 16
    assert set(every[0]) == {"X"}
    assert every.labels is every.y is every.classes is None
    plain.obs["label"] = pd.Series(pd.Categorical([None] * plain.n_obs), index=plain.obs_names)
    with pytest.raises(ValueError, match="label"):
        rp.get.bags(plain, **keys)


def test_donors_to_split_by(plain, keys):
    plain.obs["donor"] = plain.obs["patient"].astype(str).str[-1]
    table = rp.get.bags(plain, **keys, donor_key="donor").table
    assert (table["donor"] == table.index.str[-1]).all()


def test_mask_keeps_test_patients_out(generated, keys):
    train = generated.obs["patient"].isin(generated.obs["patient"].cat.categories[4:]).to_numpy()
    assert len(rp.get.bags(generated, **keys, mask_obs=train)) == 12
    with pytest.raises(ValueError, match="`mask_obs`"):
        rp.get.bags(generated, **keys, mask_obs=train, generated_key="generated")


def test_other_objects(plain, keys, tmp_path):
    expected = rp.get.bags(plain, **keys)[3]["X"]
    plain[:, :2].copy().write_h5ad(tmp_path / "a.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "a.h5ad")
    assert torch.equal(rp.get.bags(lazy, **keys)[3]["X"], expected)
    mdata = md.MuData({"rna": plain[:, :2].copy()})
    bags = rp.get.bags(mdata, patient_key="rna:patient", label_key="rna:label", use_rep="rna:X_pca")
    assert torch.equal(bags[3]["X"], expected)
    sixteen = plain.copy()
    sixteen.obsm["X_pca"] = plain.obsm["X_pca"].astype(np.float16)
    assert rp.get.bags(sixteen, **keys)[0]["X"].dtype == torch.float32


def test_bad_arguments(generated, keys, untouched):
    with untouched(generated):
        with pytest.raises(KeyError, match="`patient_key`"):
            rp.get.bags(generated, patient_key="nobody")
        with pytest.raises(KeyError, match="`generated_key`"):
            rp.get.bags(generated, **keys, generated_key="none")
        with pytest.raises(ValueError, match="`label_key`"):
            rp.get.bags(generated, patient_key="patient", generated_key="generated")
        with pytest.raises(KeyError, match=r"`selected`.*rp\.tl\.select"):
            rp.get.bags(generated, **keys, generated_key="generated", selected=True)
        with pytest.raises(KeyError, match="`use_rep`"):
            rp.get.bags(generated, **keys, use_rep="X_nothing")


def test_values(plain):
    plain.obs["age"] = 20.0 + plain.obs["patient"].cat.codes.to_numpy()
    plain.obs.loc[plain.obs["patient"] == plain.obs["patient"].iloc[0], "age"] = np.nan
    keys = {"patient_key": "patient", "label_key": "age", "outcome": "continuous"}
    bags = rp.get.bags(plain, **keys)
    assert len(bags) == 15
    assert bags.classes is bags.labels is None
    assert bags[0]["Y"].dtype == torch.float32
    of_cells = plain.obs.groupby("patient", observed=True)["age"].first()
    np.testing.assert_array_equal(bags.y, of_cells.loc[bags.patients])
    rp.tl.gmm(plain, 4)
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, 3)
    both = rp.get.bags(plain, **keys, generated_key="generated")
    np.testing.assert_allclose(both.y[15:], plain.uns["generated"]["patients"]["label"])
    with pytest.raises(ValueError, match="labels"):
        rp.get.bags(plain, patient_key="patient", label_key="label", generated_key="generated")
