from __future__ import annotations

import torch

from repatient.mil._adamw import FlatAdamW


def make_module() -> torch.nn.Module:
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Sigmoid(), torch.nn.Linear(6, 1)).double()
    torch.set_rng_state(torch_state)
    return module


def test_steps_are_those_of_torch():
    ours, theirs = make_module(), make_module()
    flat = FlatAdamW(ours, learning_rate=0.02, weight_decay=0.3)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.02, weight_decay=0.3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
        flat.step((ours(x) - x.sum(dim=1, keepdim=True)).square().mean())
        reference.zero_grad()
        (theirs(x) - x.sum(dim=1, keepdim=True)).square().mean().backward()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_loading_weights_reaches_the_vector_that_is_trained():
    module = make_module()
    flat = FlatAdamW(module, learning_rate=0.02, weight_decay=0.0)
    module.load_state_dict({name: torch.ones_like(value) for name, value in module.state_dict().items()})
    assert torch.equal(flat.values, torch.ones_like(flat.values))
