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
    if name == "cpu":
        return None
    # It imports torch, which those who stay on the CPU do not need.
    from repatient._device import find_device

    device = find_device(name)
    if name == "auto":
        return "cuda" if device.type == "cuda" else None
    if device.type != "cuda":
        msg = (
            f"device={name!r} cannot fit mixtures, in single and double precision; 'cpu', 'auto' or a CUDA device can."
        )
        raise ValueError(msg)
    return name
