"""What the host reads of a step on the way: at once on a CPU, and on CUDA when the next step is queued already.

Reading a number waits until the GPU has computed it, and whoever waits queues nothing: between two steps the GPU would
stand still. So on CUDA the numbers of step k are copied as soon as they are known, and looked at before the update of
step k + 1; what they are about, the weights before the update of step k, is kept until then.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import torch
from torch import Tensor, nn

Look = Callable[[list[float]], None]
"""What the host does with the numbers; it may raise, and then nothing is trained any more."""


@attrs.frozen(eq=False)
class _Waiting:
    numbers: Tensor  # on the host, once `known`
    known: "torch.cuda.Event | None"
    look: Look


class Glance:
    """Looks at numbers of every step, before the update of that step or, if late, before that of the next one.

    Args:
        model: whose weights the numbers are about.
        late: look one step later.
    """

    def __init__(self, model: nn.Module, *, late: bool) -> None:
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.late = late
        self.kept = [torch.empty_like(weight) for weight in self.weights] if late else []
        self._waiting: _Waiting | None = None

    def at(self, numbers: Tensor, look: Look, *, now: bool) -> None:
        """Look at the numbers of the step before, if they were left for later, then at these or leave them for later.

        Args:
            numbers: [K], of the step that is about to update the weights.
            look: what to do with them; where it runs, the weights are those before the update of its step.
            now: do not leave them for later, whatever that costs: the step ends with something that shall last.
        """
        self.settle()
        if now or not self.late:
            look(numbers.tolist())
            return
        torch._foreach_copy_(self.kept, [weight.detach() for weight in self.weights])
        on_gpu = numbers.device.type == "cuda"
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=on_gpu)
        host.copy_(numbers, non_blocking=True)
        known = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        if known is not None:
            known.record()
        self._waiting = _Waiting(host, known, look)

    def settle(self) -> None:
        """Look at what was left for later, with the weights as they were; where that raises, they stay as they were."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if waiting.known is not None:
            waiting.known.synchronize()
        with self._weights_before():
            waiting.look(waiting.numbers.tolist())

    @contextmanager
    def _weights_before(self) -> Iterator[None]:
        """The kept weights in place of the present ones, without moving either; they stay when something is raised."""
        present = [weight.data for weight in self.weights]
        for weight, kept in zip(self.weights, self.kept, strict=True):
            weight.data = kept
        yield
        for weight, now in zip(self.weights, present, strict=True):
            weight.data = now
