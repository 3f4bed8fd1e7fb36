"""What a batch is taught: poses of its own for every view, and nothing that all partners share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from repatient.views import ImageAugmentation
from repatient.views._encoder_inputs import Views, prepare
from repatient.views._training import EncoderSchedule, batch_loss

PLAN = {
    "objective": "infonce",
    "branches": 2,
    "n_steps": 1,
    "batch_size": 12,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "evaluate_every": 1,
    "patience": 1,
    "progress": False,
}


def taught(partners):
    """Error of heads that predict nothing, over the batch."""
    rows = np.random.default_rng(0).standard_normal((12, 3, 16, 16)).astype(np.float32)
    views, everything = Views(rows, partners, None), np.arange(12)
    prepared = prepare(views, everything, kinds=("images", "images"), augmentations=(None, None), distill=True)
    network = prepared.network(torch.Generator().manual_seed(0), width=64, dim=4, projection=8)
    for head in (network.head, network.dense[0]):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    material = prepared.material(views, everything, torch.device("cpu"))
    with torch.no_grad():
        losses = [
            batch_loss(
                network,
                material,
                torch.arange(12),
                EncoderSchedule(**PLAN, distill=distill),
                torch.Generator().manual_seed(0),
            )
            for distill in (1.0, 0.0)
        ]
    return float(losses[0] - losses[1])


def test_heads_learn_nothing_from_what_all_partners_share():
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.standard_normal((1, 1, 16, 16)), 12, axis=0).astype(np.float32)
    own = rng.standard_normal((12, 1, 16, 16)).astype(np.float32)
    assert taught(shared + 0.01 * own) < 1e-3
    assert taught(own) > 0.3


@pytest.mark.parametrize("branches", [2, 3])
def test_every_view_has_a_pose_of_its_own(monkeypatch, branches):
    poses = []
    draw = ImageAugmentation.draw_pose

    def note(self, n, generator):
        poses.append(draw(self, n, generator))
        return poses[-1]

    monkeypatch.setattr(ImageAugmentation, "draw_pose", note)
    images = np.random.default_rng(0).standard_normal((12, 3, 16, 16)).astype(np.float32)
    views, everything = Views(images, images[:, :1], None), np.arange(12)
    prepared = prepare(views, everything, kinds=("images", "images"), augmentations=(None, None), distill=False)
    network = prepared.network(torch.Generator().manual_seed(0), width=64, dim=4, projection=8)
    material = prepared.material(views, everything, torch.device("cpu"))
    plan = EncoderSchedule(**{**PLAN, "branches": branches}, distill=0.0)
    batch_loss(network, material, torch.arange(12), plan, torch.Generator().manual_seed(0))
    assert len(poses) == branches
    assert not any(torch.equal(one, other) for i, one in enumerate(poses) for other in poses[:i])


@pytest.mark.parametrize("teacher", [False, True])
def test_partners_without_trust_teach_nothing(teacher):
    rng = np.random.default_rng(0)
    rows, features = rng.standard_normal((12, 5)).astype(np.float32), rng.standard_normal((12, 3)).astype(np.float32)
    plan, everything = EncoderSchedule(**{**PLAN, "branches": 3}, distill=1.0), np.arange(12)
    network, losses = None, []
    for partners in rng.standard_normal((2, 12, 4)).astype(np.float32):
        views = Views(rows, partners, features if teacher else None)
        prepared = prepare(views, everything, kinds=("vectors", "vectors"), augmentations=(None, None), distill=True)
        if network is None:
            network = prepared.network(torch.Generator().manual_seed(0), width=16, dim=4, projection=8).eval()
        material = prepared.material(views, everything, torch.device("cpu"))
        for trust in (0.0, 1.0):
            generator = torch.Generator().manual_seed(0)
            losses.append(float(batch_loss(network, replace(material, trust=trust), torch.arange(12), plan, generator)))
    assert losses[0] == pytest.approx(losses[2])
    assert losses[1] != pytest.approx(losses[3])
