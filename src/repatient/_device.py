"""Where networks compute."""

from __future__ import annotations

import torch


def find_device(name: str) -> torch.device:
    """The device of that name, or with "auto" the fastest kind there is.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is not the name of a device, or torch cannot compute on it.
    """
    if not isinstance(name, str):
        msg = f"device must be a string such as 'cpu', 'cuda' or 'auto', found {name!r}."
        raise TypeError(msg)
    if name == "auto":
        return torch.device([*_accelerators(), "cpu"][0])
    try:
        device = torch.device(name)
        usable = device.type != "meta" and torch.zeros(1, device=device).numel() == 1
    # What torch raises depends on the device and on how torch was built.
    except (RuntimeError, AssertionError, NotImplementedError):
        usable = False
    if not usable:
        msg = f"device={name!r} cannot be computed on here; there are {['cpu', 'auto', *_accelerators()]}."
        raise ValueError(msg)
    return device


def _accelerators() -> list[str]:
    if torch.cuda.is_available():
        return ["cuda", *(f"cuda:{index}" for index in range(1, torch.cuda.device_count()))]
    return ["mps"] if torch.backends.mps.is_available() else []
