"""Tables drawn ahead: on CUDA the next batch is made while the GPU is still busy with the step before."""

import attrs
import torch

from tabscm.engine.stream import Stream
from tabscm.kernel.errors import ContractError
from tabscm.kernel.interfaces import Table, Truth


@attrs.frozen(eq=False)
class _Drawn:
    stream: Stream
    step: int
    part: int
    batch: tuple[Table, Truth]


class Ahead:
    """Takes batches of a stream, at most one of them drawn before it is asked for; they are the same either way.

    What making tables waits for, such as sizes of graphs that the host has to know, it waits for on a CUDA stream of
    its own, behind which no step is queued. On a CPU nothing is drawn ahead: there the same cores would do it.

    Args:
        device: where tables are made and trained on.
        enabled: draw ahead; None does on CUDA.
    """

    def __init__(self, device: torch.device, *, enabled: bool | None = None) -> None:
        self.own: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.own = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.enabled = self.own is not None if enabled is None else enabled
        self._next: _Drawn | None = None

    def prepare(self, stream: Stream, step: int, part: int) -> None:
        """Draw a batch that is likely to be asked for next."""
        if not self.enabled:
            return
        try:
            with torch.cuda.stream(self.own):  # of None: where everything happens
                self._next = _Drawn(stream, step, part, stream.batch(step, part))
        except ContractError:  # comes again when the batch is asked for, if it ever is
            self._next = None

    def take(self, stream: Stream, step: int, part: int) -> tuple[Table, Truth]:
        """A batch, as `stream.batch` gives it.

        Raises:
            ContractError: as `stream.batch`.
        """
        drawn, self._next = self._next, None
        if drawn is None or not (_same(drawn.stream, stream) and (drawn.step, drawn.part) == (step, part)):
            return stream.batch(step, part)
        if self.own is not None:
            here = torch.cuda.current_stream(self.own.device)
            here.wait_stream(self.own)
            for values in drawn.batch:
                for tensor in attrs.astuple(values, recurse=False):
                    if isinstance(tensor, torch.Tensor):
                        # made on one CUDA stream and used on another: its memory is not to be given away before
                        tensor.record_stream(here)
        return drawn.batch


def _same(one: Stream, other: Stream) -> bool:
    """Whether two streams give the same tables."""
    return (one.settings, one.seed, one.device, one.purpose, one.effects) == (
        other.settings,
        other.seed,
        other.device,
        other.purpose,
        other.effects,
    )
