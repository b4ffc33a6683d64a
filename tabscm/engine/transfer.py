"""From the host to a device, without waiting for it."""

import torch
from torch import Tensor

STAGED = 1 << 16
"""Bytes that the driver of a GPU copies aside at once."""


def sent(on_host: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device, for which the host does not wait."""
    # what is larger is taken along at once only from memory that does not move
    pinned = on_host.pin_memory() if device.type == "cuda" and on_host.nbytes > STAGED else on_host
    return pinned.to(device, non_blocking=True)
