"""A GPU that is not there: tensors that say they lie on one, while the host computes their numbers.

    with pretended_gpu() as gpu:
        conformance(Sine(), device="cuda")
        assert not gpu.waits

It shows what goes wrong on a GPU alone: tensors of two devices in one operation, tensors used on one CUDA stream before
another has made them, numbers looked at before they have arrived, types that autocast chooses there and not on a CPU;
and it counts where the host waits. Of kernels, memory and speed it shows nothing.
"""

# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: ANN401 - it stands in for functions of torch, which take whatever they are given

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from tabscm.testing.pretended_tensor import CUDA, Functions, OnGpu, Operations


@contextmanager
def pretended_gpu() -> Iterator["Gpu"]:
    """For as long as this lasts torch finds a GPU, "cuda", and no other one.

    What was made there is of no use afterwards; copies on the host are.
    """
    gpu = Gpu()
    known: dict[str, object] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_bf16_supported": lambda **_: True,
        "device_count": lambda: 1,
        "set_device": lambda _: None,
        "device": lambda _: nullcontext(),
        "get_device_name": lambda _=None: "pretended GPU",
        "max_memory_allocated": lambda _=None: 0,
        # what is random is drawn by the host
        "get_rng_state": lambda _=None: torch.get_rng_state(),
        "set_rng_state": lambda state, _=None: torch.set_rng_state(state),
        "Stream": lambda _=None: Queue(),
        "Event": lambda: Event(gpu),
        "current_stream": lambda _=None: gpu.queue,
        "stream": gpu.on,
        "synchronize": lambda _=None: gpu.arrive(),
    }
    with ExitStack() as stack:
        for name, value in known.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        stack.enter_context(patch.object(torch, "Generator", Generator))
        # a parameter that moves there becomes another object: one on the host cannot hold it
        swap = torch.__future__.set_overwrite_module_params_on_conversion
        stack.callback(swap, torch.__future__.get_overwrite_module_params_on_conversion())
        swap(True)
        stack.enter_context(Operations(gpu))
        stack.enter_context(Functions(gpu))
        yield gpu


class Queue:
    """A CUDA stream: it does what it is told in order, and knows of another one what it has waited for."""

    device = CUDA

    def __init__(self) -> None:
        self.done = 0
        """Operations so far."""
        self.seen: dict[Queue, int] = {}
        """How far each other one was when this one waited for it last."""

    def wait_stream(self, other: "Queue") -> None:
        self.seen[other] = other.done


class Gpu:
    """What happens on it."""

    device = CUDA

    def __init__(self) -> None:
        self.queue = Queue()
        """Where it does what it is told now."""
        self.waits: Counter[str] = Counter()
        """Where the host waited for it, "tabscm.engine.stream, line 82: copied to the host", and how often."""
        self._on_the_way: list[tuple[Queue, int, Tensor, Tensor]] = []

    @contextmanager
    def on(self, queue: Queue | None) -> Iterator[None]:
        """Everything within is done on this stream; None changes nothing."""
        before, self.queue = self.queue, queue or self.queue
        try:
            yield
        finally:
            self.queue = before

    def wait(self, what: str) -> None:
        """The host waits; whoever is to blame is the first outside of torch."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("torch.", __package__)):
            frame = frame.f_back
        self.waits[f"{frame.f_globals.get('__name__')}, line {frame.f_lineno}: {what}"] += 1

    def send(self, numbers: Tensor, into: Tensor) -> None:
        """Copy to the host without waiting: until the host waits for it, what it finds there is wrong."""
        self._on_the_way.append((self.queue, self.queue.done, numbers.clone(), into))
        into.fill_(torch.nan if into.is_floating_point() else -1)

    def arrive(self, queue: Queue | None = None, done: int = 0) -> None:
        """What a stream sent among its first `done` operations is there; what any sent, if none is named."""
        there = [queue is None or (one[0] is queue and one[1] <= done) for one in self._on_the_way]
        for (_, _, numbers, into), arrived in zip(self._on_the_way, there, strict=True):
            if arrived:
                into.copy_(numbers)
        self._on_the_way = [one for one, arrived in zip(self._on_the_way, there, strict=True) if not arrived]

    def use(self, tensor: OnGpu) -> None:
        """The present stream uses a tensor.

        Raises:
            RuntimeError: another one makes it, which nobody waited for, or whose memory may be given away meanwhile.
        """
        if tensor.made_on is self.queue:
            return
        if self.queue.seen.get(tensor.made_on, -1) < tensor.made_at:
            raise RuntimeError("a tensor is used on one CUDA stream before another has made it; call wait_stream")
        if self.queue not in tensor.recorded:
            raise RuntimeError(
                "a tensor of one CUDA stream is used on another that it does not know; call record_stream"
            )


class Event:
    """A CUDA event."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._at: tuple[Queue, int] | None = None

    def record(self) -> None:
        self._at = self._gpu.queue, self._gpu.queue.done

    def synchronize(self) -> None:
        if self._at is not None:
            self._gpu.arrive(*self._at)


class Generator(torch.Generator):
    """One that says where it draws, while the host draws."""

    _device: torch.device

    def __new__(cls, device: Any = "cpu") -> "Generator":
        made: Generator = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        made._device = CUDA if torch.device(device).type == "cuda" else torch.device(device)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device
