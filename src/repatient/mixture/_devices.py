"""Where passes are computed."""

from __future__ import annotations


def torch_device(name: str) -> str | None:
    """Name of the device of torch that computes; None where numpy does.

    Parameters
    ----------
    name
        ``"cpu"``, ``"auto"``, or a CUDA device.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is not the name of a device, or torch cannot compute on it.
    """
    if not isinstance(name, str):
        msg = f"device must be a string such as 'cpu', 'cuda' or 'auto', got {name!r}."
        raise TypeError(msg)
    if name == "cpu":
        return None
    # Not needed by those who stay on the CPU.
    import torch

    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if n_devices else None
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type != "cuda" or (device.index or 0) >= n_devices:
        there_are = ["cpu", "auto", *(f"cuda:{index}" for index in range(n_devices))]
        msg = f"device={name!r} cannot fit mixtures here, in single and double precision; there are {there_are}."
        raise ValueError(msg)
    return name
