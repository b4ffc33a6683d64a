"""Work on several cores at once, where single operations are too small to be divided among them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")


def on_all_cores(work: Callable[[T], U], of: Sequence[T]) -> list[U]:
    """What `work` makes of each, in their order, without gradients: on as many cores as torch may use, one each."""
    all_threads = torch.get_num_threads()
    threads = min(all_threads, len(of))
    if threads <= 1:
        return [work(one) for one in of]
    inference = torch.is_inference_mode_enabled()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alone(one: T) -> U:  # these three are of each thread
        with torch.no_grad(), torch.inference_mode(inference), torch.autocast("cpu", dtype, enabled=autocast):
            return work(one)

    torch.set_num_threads(1)  # what threads that begin now take
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(alone, of))
    finally:
        torch.set_num_threads(all_threads)
