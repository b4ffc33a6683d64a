"""Work on several cores at once, where single operations are too small to be divided among them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")

MOST = 4
"""Cores that work at one time, for each of them holds in memory what it works on."""


def on_all_cores(work: Callable[[T], U], of: Sequence[T], *, device: torch.device) -> list[U]:
    """What `work` makes of each, in their order, without gradients: on a CPU by as many cores as torch may use, or
    MOST; elsewhere one after the other.

    A thread that begins somewhere else in the process meanwhile takes one core alone, too.
    """
    before = torch.get_num_threads()
    threads = cores(device, len(of))
    inference = torch.is_inference_mode_enabled()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alone(one: T) -> U:  # these three are of each thread; the first turns gradients on where it is off
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", dtype, enabled=autocast):
            return work(one)

    if threads == 1:
        with torch.no_grad():
            return [work(one) for one in of]
    torch.set_num_threads(1)  # what threads that begin now take
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(alone, of))
    finally:
        torch.set_num_threads(before)


def cores(device: torch.device, works: int) -> int:
    """How many cores so many works take."""
    return min(torch.get_num_threads(), MOST, works) if device.type == "cpu" else 1
