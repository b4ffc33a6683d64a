"""The ten kinds of component and the four data classes that pass between them.

Letters: B tasks (one table and its graph each), G nodes, N rows, D variables, P parents, E width.
A component is a frozen attrs class: its fields are the keys of its TOML table, `name` is its name in TOML, and the
first line of its docstring is what `python -m tabscm list` prints.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, TypeVar

import attrs
import torch
from torch import Tensor, nn

Function = Callable[[Tensor, Tensor], Tensor]
"""One function per node: (parents [G, N, P], noise [G, N]) -> values [G, N], row by row."""

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What an intervention sets: (values [G, N], task [G], variable [G]) -> values [G, N].

`values` are what the mechanisms gave, `task` and `variable` (int64) say which node each line is. The stream keeps the
result only in the cells that the intervention chose."""

T = TypeVar("T")
R = TypeVar("R")

NOTHING: Mapping[str, Tensor] = MappingProxyType({})
"""No tensors, by name."""

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "effects": "B D D",  # shift of j under do(i), as in Truth
        "order": "B D",  # causal order: what comes earlier is larger (unitless)
        "targets": "B D",  # log-odds that some row was intervened on in this variable
        "kl": "B",  # divergence of a posterior from its prior, mean over its vectors, nats
        "gate": "B D E",  # share of the first of two branches, in [0, 1]
        "load": "B L X",  # share of the tokens that each of X experts got in each of L layers; no gradient
        "router": "B L X",  # mean probability that the router gave to each expert
        "beliefs": "B X",  # of X specialists side by side, the logarithm of the share of each, -inf where not asked
        "specialists": "B X D D",  # what each says by itself, log-odds; in training alone
    }
)
"""Names in the aux of Evidence and Prediction that components of different kinds, and the trainer's monitors, agree on,
with their shapes. Any other name may be used; its first axis is B."""


# Data: not to be changed once made, and not frozen only because torch.compile cannot trace what attrs writes for that


@attrs.define(eq=False)
class Table:
    """A batch of tables as the network sees them."""

    x: Tensor
    """[B, N, D] float32, each column with mean 0 and standard deviation 1 over its observed rows, then cut at 8
    deviations; 0 where not observed."""
    intervened: Tensor
    """[B, N, D] bool, True where an intervention set the cell."""
    observed: Tensor
    """[B, N, D] bool, False where the cell is missing."""

    def to(self, device: torch.device) -> "Table":
        """The same table on another device."""
        return Table(self.x.to(device), self.intervened.to(device), self.observed.to(device))

    def of_tasks(self, chosen: Tensor | slice) -> "Table":
        """Some tables of the batch, by number [b] int64 or a slice."""
        return Table(self.x[chosen], self.intervened[chosen], self.observed[chosen])

    def of_rows(self, chosen: slice) -> "Table":
        """Some rows of every table of the batch."""
        return Table(self.x[:, chosen], self.intervened[:, chosen], self.observed[:, chosen])


@attrs.define(eq=False)
class Truth:
    """What is true of a batch of tables."""

    adj: Tensor
    """[B, D, D] bool, True at [b, i, j] when i causes j directly, or by a path on which all between them is hidden."""
    effects: Tensor | None = None
    """[B, D, D] float32: by how much the mean of j shifts from do(i = its mean) to do(i = one standard deviation
    higher), in standard deviations of j; of the variables themselves, whatever was recorded of them. None where no loss
    asked."""
    targets: Tensor | None = None
    """[B, D] bool, True where some row was intervened on, whether or not the table shows it; None where unknown."""
    scales: Tensor | None = None
    """[B, D] float32: standard deviation of the variable before anything is recorded and standardised; None where
    unknown."""


@attrs.define(eq=False)
class Evidence:
    """What the network has read from a batch of tables, per variable and per pair of variables."""

    nodes: Tensor
    """[B, D, E]."""
    pairs: Tensor | None = None
    """[B, D, D, E], or None from an embedding that does not give "pairs"."""
    aux: Mapping[str, Tensor] = NOTHING
    """Whatever else was measured on the way, by name: "kl", "load", "gate", ..."""


@attrs.define(eq=False)
class Prediction:
    """What the network says of a batch of tables."""

    logits: Tensor
    """[B, D, D] float32, log-odds of i -> j; the diagonal means nothing."""
    aux: Mapping[str, Tensor] = NOTHING
    """Everything else, by name: what the embedding and encoder measured, what the auxiliary heads give."""


class Rows(ABC):
    """The rows of one table that lie elsewhere, in pieces: they do not come, only what is found in all of them."""

    count: int
    """N."""
    variables: int
    """D."""

    @abstractmethod
    def fold(self, find: Callable[[Table], T], join: Callable[[T, T], T], then: Callable[[T], R]) -> R:
        """Look at every piece where it lies, and join what is found there.

        Args:
            find: what to find in a piece, a table [1, n, D] on the CPU. The pieces hold every row once.
            join: of what was found in some pieces and in others; associative and commutative but for rounding. All
                three can be pickled, are called under `torch.inference_mode` and change nothing they are given.
            then: what to make of what was found in all; this alone is sent back.
        """


class Component(ABC):
    """What all ten kinds share. Not a kind itself: derive from one of the ten."""

    kind: ClassVar[str]
    """Set by the kind: "mechanism", "loss", ..."""
    name: ClassVar[str]
    """The name in TOML: lower case, hyphens."""
    gives: ClassVar[frozenset[str]] = frozenset()
    """Names this component puts into Evidence or Prediction beyond what its kind always gives. What embeddings and
    encoders inside it give, it hands on; those are not named again."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Names that some other component of the model must give; checked before the first step."""

    def __str__(self) -> str:
        """How messages call it: "mechanism linear"."""
        return f"{self.kind} {self.name}"


class GraphSampler(Component):
    """A distribution over directed acyclic graphs."""

    kind = "graph"

    @abstractmethod
    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        """Draw one acyclic graph per task; which variable comes first must say nothing about causal order.

        Returns:
            adj: [B=tasks, D=variables, D] bool on the device of `rng`, adj[b, i, j] when i causes j.
        """


class Noise(Component):
    """A distribution of the exogenous noise, with mean 0 and standard deviation 1 (the stream sets the scale)."""

    kind = "noise"

    @abstractmethod
    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Draw independent values: float32 of `shape`, finite, on the device of `rng`."""


class Mechanism(Component):
    """A distribution over functions that give a variable from its parents and its noise."""

    kind = "mechanism"
    homogeneous: ClassVar[bool] = False
    """True when the function keeps its meaning at any scale of the parents (linear). All others get parents of mean 0
    and standard deviation 1, whatever the scale of the table."""

    additive: ClassVar[bool] = False
    """True when the noise is added to what the parents give, f(parents, noise) = f(parents, 0) + noise: a promise that
    lets the stream evaluate the function once instead of twice."""

    @property
    def parts(self) -> "tuple[tuple[Mechanism, float], ...]":
        """The mechanisms that a node of this one draws from, with weights: itself, unless it is a mixture of others.

        The stream samples nodes of one mechanism together, whether it came alone or as part of a mixture.
        """
        return ((self, 1.0),)

    @abstractmethod
    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        """Draw one random function for each of G nodes, on the device of `rng`.

        Args:
            mask: [G, P] bool, which of the P slots hold a parent. A node without parents has an empty line; P may be 0.

        Returns:
            f(parents [G, N, P] float32, noise [G, N] float32) -> values [G, N] float32, finite, row by row (no
            statistics over rows), reusable on other rows; a slot that holds no parent must not matter.
        """


class Intervention(Component):
    """A distribution over experiments: which cells are set, and to what."""

    kind = "intervention"
    shown: ClassVar[bool] = True
    """False when the network is not told which cells were set: `Table.intervened` stays False."""
    measured: ClassVar[bool] = True
    """False when the table shows what cells would have been by themselves, and what they were set to is felt only by
    what the variable causes."""

    @abstractmethod
    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        """Draw one experiment per task, on the device of `rng`.

        Returns:
            cells: [B=tasks, N=rows, D=variables] bool, True where the rule applies.
            rule: what those cells become, finite; see `Rule`. It reads each node by itself, and is reusable.
        """


class Measurement(Component):
    """A distribution over ways in which variables are recorded: what instruments, units and losses make of them."""

    kind = "measurement"

    @abstractmethod
    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        """What a table shows of the values that its variables took, on the device of `rng`.

        Args:
            values: [B, N, D] float32, each column with mean 0 and standard deviation 1 over its rows; stays as it is.

        Returns:
            [B, N, D] float32 on any scale, NaN where the cell was lost, never infinite. What is recorded of a variable
            depends on its own values, and on what is common to a row; each task is recorded by itself, and the order
            of rows says nothing.
        """


class Embedding(Component):
    """How a table becomes evidence about its variables and pairs of variables."""

    kind = "embedding"
    additive: ClassVar[bool] = False
    """True when its module has a method `read`, too, Rows -> Evidence: the same as of a Table of these rows."""

    @abstractmethod
    def build(self, width: int) -> nn.Module:
        """A module Table -> Evidence of width E = `width`; equivariant to column order, invariant to row order.

        It reads each task by itself, works under bfloat16 autocast, and in eval mode gives the same evidence every
        time.
        """


class Encoder(Component):
    """How evidence is reasoned over."""

    kind = "encoder"

    @abstractmethod
    def build(self, width: int) -> nn.Module:
        """A module Evidence -> Evidence, both of width E = `width`; equivariant to the order of variables.

        It hands on the pairs and the aux it was given, reads each task by itself, works under bfloat16 autocast, and in
        eval mode gives the same evidence every time.
        """


class Head(Component):
    """How an answer is read from the evidence. The main head of a model gives "edges"."""

    kind = "head"

    @abstractmethod
    def build(self, width: int) -> nn.Module:
        """A module Evidence -> {name: tensor} with exactly the names in `gives`; "edges" is [B, D, D] log-odds.

        It reads each task by itself, is equivariant to the order of variables, works under bfloat16 autocast, and in
        eval mode gives the same answers every time.
        """


class Loss(Component):
    """How wrong a prediction is."""

    kind = "loss"
    asks: ClassVar[frozenset[str]] = frozenset()
    """Fields of Truth that it reads and that are made only on demand: "effects"."""

    @abstractmethod
    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        """The loss of each task: [B] float32, finite, with a gradient; the diagonal of [B, D, D] is ignored.

        The names of the variables do not matter, nor do the other tasks of the batch.
        """


class Regulariser(Component):
    """What a prediction should not look like, whatever the truth. Stateless."""

    kind = "regulariser"

    @abstractmethod
    def __call__(self, prediction: Prediction) -> Tensor:
        """The penalty of each task: [B] float32, >= 0, with a finite gradient; the diagonal of [B, D, D] is ignored.

        The names of the variables do not matter, nor do the other tasks of the batch.
        """


KINDS: dict[str, type[Component]] = {
    kind.kind: kind
    for kind in (GraphSampler, Noise, Mechanism, Intervention, Measurement, Embedding, Encoder, Head, Loss, Regulariser)
}
"""Every kind by the word used on the command line and in messages."""
