"""A GPU that is not there: tensors that say they lie on one, while the host computes their numbers.

    with pretended_gpu() as gpu:
        conformance(Sine(), device="cuda")
    assert not gpu.waits

It shows what goes wrong on a GPU alone: tensors of two devices in one operation, tensors used on one CUDA stream before
another has made them, numbers looked at before they have arrived, types that autocast chooses there and not on a CPU;
and it counts where the host waits. Of kernels, memory and speed it shows nothing. It is there for the calling thread,
and stricter than a GPU in one thing: whatever another CUDA stream uses has to be recorded for it, even if it is kept.
"""

# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: ANN401 - it stands in for functions of torch, which take whatever they are given

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from tabscm.testing.pretended_tensor import CUDA, Functions, OnGpu, Operations

NAME = "pretended GPU"


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
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "device": lambda _: nullcontext(),
        "get_device_name": lambda _=None: NAME,
        "get_device_properties": lambda _=None: SimpleNamespace(name=NAME, total_memory=80 << 30, major=9, minor=0),
        "max_memory_allocated": lambda _=None: 0,
        "memory_allocated": lambda _=None: 0,
        "reset_peak_memory_stats": lambda _=None: None,
        "empty_cache": lambda: None,
        # what is random is drawn by the host
        "get_rng_state": lambda _=None: torch.get_rng_state(),
        "set_rng_state": lambda state, _=None: torch.set_rng_state(state),
        "Stream": lambda *_, **__: Queue(gpu),
        "Event": lambda *_, **__: Event(gpu),
        "current_stream": lambda *_, **__: gpu.queue,
        "stream": gpu.on,
        "synchronize": lambda *_, **__: gpu.finish(),
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

    def __init__(self, gpu: "Gpu") -> None:
        self._gpu = gpu
        self.done = 0
        """Operations so far."""
        self.seen: dict[Queue, int] = {}
        """How far each other one was when this one waited for it last."""

    def wait_stream(self, other: "Queue") -> None:
        self._wait(other, other.done)

    def wait_event(self, event: "Event") -> None:
        self._wait(*event.at)

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event(self._gpu)
        event.record(self)
        return event

    def synchronize(self) -> None:
        self._gpu.wait("synchronize")
        self._gpu.arrive(self, self.done)

    def _wait(self, other: "Queue", done: int) -> None:
        """For what another one had done by then, and for what that one had waited for."""
        for queue, far in [*other.seen.items(), (other, done)]:
            self.seen[queue] = max(self.seen.get(queue, 0), far)


class Gpu:
    """What happens on it."""

    device = CUDA

    def __init__(self) -> None:
        self.queue = Queue(self)
        """Where it does what it is told now."""
        self.waits: Counter[str] = Counter()
        """Where the host waited for it, "tabscm.engine.stream, line 82: copied to the host", and how often; but for
        what the conformance kit itself looks at."""
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
        """The host waits; whoever is to blame is the first that is neither torch nor a check of shapes."""
        frame = sys._getframe(1)
        while frame.f_back is not None and _blameless(frame.f_globals.get("__name__", "")):
            frame = frame.f_back
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(f"{__package__}."):
            self.waits[f"{name}, line {frame.f_lineno}: {what}"] += 1

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

    def finish(self) -> None:
        """The host waits for all that was asked for."""
        self.wait("synchronize")
        self.arrive()

    def use(self, tensor: OnGpu) -> None:
        """The present stream uses a tensor.

        Raises:
            RuntimeError: another one makes it, which nobody waited for, or whose memory may be given away meanwhile.
        """
        memory = tensor.memory
        if memory.made_on is self.queue:
            return
        if self.queue.seen.get(memory.made_on, -1) < memory.made_at:
            raise RuntimeError("a tensor is used on one CUDA stream before another has made it; call wait_stream")
        if self.queue not in memory.recorded:
            raise RuntimeError(
                "a tensor of one CUDA stream is used on another that it does not know; call record_stream"
            )


class Event:
    """A CUDA event."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.at: tuple[Queue, int] = (gpu.queue, 0)

    def record(self, queue: Queue | None = None) -> None:
        queue = queue or self._gpu.queue
        self.at = queue, queue.done

    def synchronize(self) -> None:
        queue, done = self.at
        if done == queue.done:  # else there is work left, and the GPU does not stand still meanwhile
            self._gpu.wait("synchronize")
        self._gpu.arrive(queue, done)


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


def _blameless(module: str) -> bool:
    inner = (f"{__package__}.pretended_gpu", f"{__package__}.pretended_tensor", "tabscm.kernel.shapes")
    return module.split(".")[0] in ("torch", "contextlib") or module in inner
