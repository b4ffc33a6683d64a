"""Made-up tables, truths, evidence and predictions to try components on, and how to take and rename parts of them."""

import pickle
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import reduce
from itertools import pairwise
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor

from tabscm.kernel.interfaces import EXTRAS, Evidence, Prediction, Rows, Table, Truth

WIDTH = 32
"""Width of the evidence that modules are built for."""

LAYERS, EXPERTS = 2, 4

Data = TypeVar("Data", Table, Truth, Evidence, Prediction)
T = TypeVar("T")
R = TypeVar("R")


def table(rng: torch.Generator, *, tasks: int = 3, rows: int = 24, variables: int = 5) -> Table:
    """A table with correlated columns, intervened cells and missing cells."""
    mixing = torch.randn(tasks, variables, variables, generator=rng, device=rng.device)
    x = torch.randn(tasks, rows, variables, generator=rng, device=rng.device) @ mixing
    x = (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)
    intervened = torch.rand(x.shape, generator=rng, device=rng.device) < 0.2
    observed = torch.rand(x.shape, generator=rng, device=rng.device) < 0.9
    return Table(x=x * observed, intervened=intervened, observed=observed)


class Apart(Rows):
    """The rows of a table [1, N, D] in three pieces; whatever goes to them and comes back is pickled."""

    def __init__(self, whole: Table) -> None:
        self.count, self.variables = whole.x.shape[1:]
        limits = (0, self.count // 5, self.count // 2, self.count)
        parts = [slice(first, last) for first, last in pairwise(limits)]
        self.pieces = [Table(whole.x[:, part], whole.intervened[:, part], whole.observed[:, part]) for part in parts]

    def fold(self, find: Callable[[Table], T], join: Callable[[T, T], T], then: Callable[[T], R]) -> R:
        with torch.inference_mode():
            found = [_sent(_sent(find)(piece)) for piece in self.pieces]
            return _sent(_sent(then)(reduce(_sent(join), found)))


def truth(rng: torch.Generator, asks: Collection[str] = (), *, tasks: int = 3, variables: int = 5) -> Truth:
    """Acyclic graphs of middling density, made-up targets, and made-up effects if `asks` wants them."""
    shape = (tasks, variables, variables)
    adj = (torch.rand(shape, generator=rng, device=rng.device) < 0.4).triu(1)
    order = torch.randperm(variables, generator=rng, device=rng.device)
    effects = torch.randn(shape, generator=rng, device=rng.device)
    return Truth(
        adj=adj[:, order][:, :, order],
        effects=effects if "effects" in asks else None,
        targets=torch.rand(shape[:2], generator=rng, device=rng.device) < 0.5,
    )


def evidence(
    rng: torch.Generator, needs: Iterable[str] = (), *, tasks: int = 3, variables: int = 5, pairs: bool = True
) -> Evidence:
    """Random evidence that has what `needs` asks for."""
    nodes = torch.randn(tasks, variables, WIDTH, generator=rng, device=rng.device)
    grid = torch.randn(tasks, variables, variables, WIDTH, generator=rng, device=rng.device)
    return Evidence(
        nodes=nodes,
        pairs=grid if pairs or "pairs" in needs else None,
        aux=extras(rng, set(needs) - {"pairs"}, tasks=tasks, variables=variables),
    )


def prediction(
    rng: torch.Generator, needs: Iterable[str] = (), *, tasks: int = 3, variables: int = 5, size: float = 1.0
) -> Prediction:
    """Random logits of standard deviation `size`, and what `needs` asks for."""
    return Prediction(
        logits=size * torch.randn(tasks, variables, variables, generator=rng, device=rng.device),
        aux=extras(rng, needs, tasks=tasks, variables=variables),
    )


def extras(rng: torch.Generator, names: Iterable[str], *, tasks: int, variables: int) -> dict[str, Tensor]:
    """A random tensor of values in [0, 1) for each name, of the shape in EXTRAS; [B] for a name not in there."""
    sizes = {"B": tasks, "D": variables, "E": WIDTH, "L": LAYERS, "X": EXPERTS}
    return {
        name: torch.rand([sizes[axis] for axis in EXTRAS.get(name, "B").split()], generator=rng, device=rng.device)
        for name in sorted(names)
    }


def first_task(data: Data) -> Data:
    """The first task alone."""
    return _map(data, lambda name, tensor: tensor[:1])


def rename(data: Data, order: Tensor) -> Data:
    """The same data with its variables in another order."""

    def permute(name: str, tensor: Tensor) -> Tensor:
        for axis in _variable_axes(name):
            tensor = tensor.index_select(axis, order)
        return tensor

    return _map(data, permute)


def _sent(what: T) -> T:
    """As it comes out elsewhere."""
    there: T = pickle.loads(pickle.dumps(what))
    return there


def _variable_axes(name: str) -> tuple[int, ...]:
    if name in ("x", "intervened", "observed"):
        return (2,)
    if name in ("adj", "effects", "pairs", "logits"):
        return (1, 2)
    if name == "nodes":
        return (1,)
    return tuple(index for index, axis in enumerate(EXTRAS.get(name, "B").split()) if axis == "D")


def _map(data: Data, change: Callable[[str, Tensor], Tensor]) -> Data:
    changed: dict[str, Any] = {}
    for field in attrs.fields(type(data)):
        value = getattr(data, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = change(field.name, value)
        elif isinstance(value, Mapping):
            changed[field.name] = {name: change(name, tensor) for name, tensor in value.items()}
    return attrs.evolve(data, **changed)
