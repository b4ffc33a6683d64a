"""Several processes that train one network together: torchrun --nproc-per-node 2 -m tabscm run EXPERIMENT.

The stream does not know how many they are. Every process draws the whole batch, whose tables are a function of (seed,
step, part) alone, and trains on its own run of the tasks in it; drawing costs a tenth of a step or less, and tasks of
one batch have one size, so that shares cost the same, which whole parts would not. What each has learned is weighted
by its share of the tasks and summed, so that the sum is the gradient of one process that has them all, up to the order
of the sum; then every process takes the same step of the optimiser, and the networks stay the same, bit for bit.

The sum is one all-reduce of all gradients and of the terms of the loss, between the backward passes and the update.
DistributedDataParallel is not used: it divides by the number of processes, which is wrong where shares are unequal; it
has to be told of accumulation, of weights that some batches do not use and of layers that are computed again; and it
exchanges nothing but gradients. What it would save, by starting the exchange within the backward pass, is little for
networks of a few million weights.

The first process alone reads and writes the folder of the run, prints and validates; what it finds is told to the
others, so that all decide alike. Small things that are on the host go by gloo, so that no GPU is waited for.
"""

import io
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import TextIO, TypeVar

import attrs
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from tabscm.engine.signals import Stopped
from tabscm.kernel.errors import TabSCMError, TrainingError
from tabscm.kernel.interfaces import Prediction, Table, Truth

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, who may compile or validate; one that ends is noticed at once."""
POLL = 0.02
"""Seconds between two looks at who has come."""
FAILED = 2
"""Exit code of a process that ends because another one failed."""


@attrs.frozen
class Share:
    """Tasks of a batch that one process trains on at one time."""

    tasks: slice
    """Never empty: a process whose share is, where tasks are fewer than processes, takes the first at weight 0."""
    weight: float
    """How many they are, as a share of the batch."""
    of: int
    """Tasks of the batch."""

    def cut(self, table: Table, truth: Truth) -> tuple[Table, Truth]:
        """These tasks of a batch."""
        own = self.tasks
        if own == slice(0, self.of):
            return table, truth
        return (
            table.of_tasks(own),
            Truth(
                adj=truth.adj[own],
                effects=None if truth.effects is None else truth.effects[own],
                targets=None if truth.targets is None else truth.targets[own],
            ),
        )


@attrs.frozen(eq=False)
class Processes:
    """All processes of a training, as one of them sees them; by itself, one that is alone."""

    rank: int = 0
    """Which one this is, counted from 0."""
    count: int = 1
    """How many there are."""

    @property
    def leads(self) -> bool:
        """Whether this one reads, writes, prints and validates."""
        return self.rank == 0

    def shares(self, tasks: int, part: int, split: int = 1) -> list[Share]:
        """Which tasks of part `part` of a step are this process's, in at most `split` runs to take one after another.

        All runs of all processes have nearly equal length and are the whole batch between them; who is first moves on
        with the parts, so that what does not divide evenly does not always fall to the same one.
        """
        place, runs = (self.rank + part) % self.count, self.count * split
        borders = [run * tasks // runs for run in range(place * split, (place + 1) * split + 1)]
        found = [Share(slice(a, b), (b - a) / tasks, tasks) for a, b in pairwise(borders) if a < b]
        return found or [Share(slice(0, 1), 0.0, tasks)]

    def seed(self, *path: int) -> list[int]:
        """The path of a seed for what networks draw, such as dropout: each process draws its own."""
        return [*path] if self.count == 1 else [*path, self.rank]

    def add_up(self, model: nn.Module, terms: Sequence[Mapping[str, Tensor]]) -> None:
        """Make the gradients of `model`, and the `terms` of the loss of each part, the sums of those of all processes.

        Both are of means over own tasks, times the weight of the share. A weight that none used has no gradient still.
        """
        if self.count == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        used = self.any([parameter.grad is not None for parameter in parameters])
        gradients = []
        for parameter, needed in zip(parameters, used, strict=True):
            if needed and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                gradients.append(parameter.grad)
        self.sum([*gradients, *(term for part in terms for term in part.values())])

    @torch.no_grad()
    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, all on one device, by their sums over all processes, in one exchange."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _exchange():
            dist.all_reduce(flat)
        for tensor, total in zip(tensors, torch.split(flat, [one.numel() for one in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def any(self, claims: Sequence[bool]) -> list[bool]:
        """Which of some claims hold in any process; by the host alone."""
        if self.count == 1:
            return list(claims)
        found = torch.tensor(claims, dtype=torch.uint8)
        with _exchange():
            dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return [bool(claim) for claim in found.tolist()]

    def whole(self, predictions: Sequence[Prediction], shares: Sequence[Share]) -> Prediction:
        """The prediction for all tasks of a batch, without gradients, of those for the shares of all processes."""
        if self.count == len(shares) == 1:
            return predictions[0]
        logits = self._gathered([one.logits for one in predictions], shares)
        names = sorted(predictions[0].aux)
        return Prediction(
            logits, {name: self._gathered([one.aux[name] for one in predictions], shares) for name in names}
        )

    def tell(self, make: Callable[[], T]) -> T:
        """What the first process makes, which JSON can hold; the others wait for it."""
        if self.count == 1:
            return make()
        text = json.dumps(make()).encode() if self.leads else b""
        length = torch.tensor(len(text))
        with _exchange():
            dist.broadcast(length, src=0)
            data = torch.frombuffer(bytearray(text or bytes(int(length))), dtype=torch.uint8)
            dist.broadcast(data, src=0)
        found: T = json.loads(bytes(data.tolist()))
        return found

    def hand_out(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The tensors, on the host, that the first process has; the others have None."""
        if self.count == 1:
            return dict(tensors or {})
        given = {} if tensors is None else {name: value.contiguous() for name, value in tensors.items()}
        described = [(name, list(value.shape), str(value.dtype)) for name, value in given.items()]
        found = {}
        for name, shape, dtype in self.tell(lambda: described):
            empty = (
                given[name] if self.leads else torch.empty(shape, dtype=getattr(torch, dtype.removeprefix("torch.")))
            )
            with _exchange():
                dist.broadcast(empty, src=0)
            found[name] = empty
        return found

    def check_same(self, model: nn.Module, step: int) -> None:
        """Check that the networks of all processes are the same, bit for bit.

        Raises:
            TrainingError: names the first weights that differ.
        """
        if self.count == 1:
            return
        named = dict(model.named_parameters())
        sums = torch.stack([_bits(parameter).sum(dtype=torch.int64) for parameter in named.values()])
        least, most = sums.clone(), sums
        with _exchange():
            dist.all_reduce(least, op=dist.ReduceOp.MIN)
            dist.all_reduce(most, op=dist.ReduceOp.MAX)
        differing = [name for name, same in zip(named, (least == most).tolist(), strict=True) if not same]
        if differing:
            raise TrainingError(
                f"step {step}: the processes no longer have the same network: {differing[0]} differs, one of "
                f"{len(differing)} weights that do. Usually their machines or versions of torch are not alike. Go on "
                "with --resume on machines that are"
            )

    def out(self, out: TextIO) -> TextIO:
        """Where this process prints."""
        return out if self.leads else _Nowhere()

    def _gathered(self, own: Sequence[Tensor], shares: Sequence[Share]) -> Tensor:
        """[b, ...] of each share -> [B, ...] of the batch."""
        # the sum of what is 0 but for own tasks: exact, whatever the lengths of the shares
        dtype = own[0].dtype
        found = torch.zeros(
            (shares[0].of, *own[0].shape[1:]), dtype=torch.uint8 if dtype == torch.bool else dtype, device=own[0].device
        )
        for value, share in zip(own, shares, strict=True):
            if share.weight:
                found[share.tasks] = value.detach().to(found.dtype)
        if self.count > 1:
            with _exchange():
                dist.all_reduce(found)
        return found.to(dtype)


ALONE = Processes()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, until the work in this context is done; without torchrun, this one alone.

    When one fails, all end, and one of them says why: the first to fail.

    Args:
        device: of the training; one on CUDA takes the GPU that torchrun's numbering gives this process.

    Raises:
        TabSCMError: more processes than GPUs; or another process has ended without a word, killed for instance.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    spoken = None
    try:
        if device.type == "cuda":
            _take_gpu(int(os.environ["LOCAL_RANK"]))
        with _exchange():
            store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
            meeting = PrefixStore(_meet(store, rank, count), store)
            spoken = PrefixStore("spoken", meeting)
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, store=meeting, rank=rank, world_size=count, timeout=PATIENCE)
        together = Processes(rank, count)
        yield together
        together.any([True])  # nobody leaves before all are done
        dist.destroy_process_group()
    except SystemExit:
        raise
    except BaseException as error:
        if spoken is not None and not _is_first(spoken):
            raise SystemExit(error.code if isinstance(error, Stopped) else FAILED) from None
        raise


def restarted() -> bool:
    """Whether torchrun has started this process in place of one that ended."""
    return dist.is_torchelastic_launched() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _take_gpu(number: int) -> None:
    there = torch.cuda.device_count()
    if number >= there:
        raise TabSCMError(
            f"process {number + 1} of this machine finds no GPU of its own: there are {there}. Use torchrun "
            f"--nproc-per-node {there}, or --device cpu."
        )
    torch.cuda.set_device(number)


def _meet(store: Store, rank: int, count: int) -> str:
    """A name for this meeting of all processes that no earlier one had.

    torchrun's store outlives its restarts, and addresses in it those that they were for. So each process leaves a name
    that is new, and the first answers whatever names it finds, old ones too, until all have taken the answer.
    """
    name, deadline = uuid.uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    if rank > 0:
        store.set(f"here/{rank}", name)
        meeting = store.get(f"answer/{name}").decode()
        store.set(f"{meeting}/{rank}", "")
        return meeting
    missing = set(range(1, count))
    while missing:
        for other in missing:
            if store.check([f"here/{other}"]):
                store.set(f"answer/{store.get(f'here/{other}').decode()}", name)
        missing = {other for other in missing if not store.check([f"{name}/{other}"])}
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(missing)} of {count} processes did not come")
        time.sleep(POLL)
    return name


def _is_first(spoken: Store) -> bool:
    """Whether no other process has said yet why the training ends; from now on, this one has."""
    own = uuid.uuid4().hex
    try:
        return bool(spoken.compare_set("by", "", own) == own.encode())
    except RuntimeError:  # whoever kept the store is gone
        return True


@contextmanager
def _exchange() -> Iterator[None]:
    """Something goes between the processes."""
    try:
        yield
    except RuntimeError as error:
        raise TabSCMError(
            "another process of this training has ended, so that this one cannot go on. What was saved is whole: the "
            f"same command with --resume goes on from there ({str(error).splitlines()[0]})"
        ) from None


def _bits(parameter: Tensor) -> Tensor:
    value = parameter.detach()
    return (value if value.dtype == torch.float32 else value.float()).view(torch.int32)


class _Nowhere(io.StringIO):
    """Takes what is written and keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)
