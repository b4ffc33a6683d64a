"""What an experiment file may say: a tree of frozen values, with components already chosen."""

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Generic, Literal, TypeVar

import attrs
import torch
from attrs.validators import ge, gt, le, lt, min_len, optional
from torch import Tensor, nn

from tabscm.kernel.interfaces import (
    Component,
    Embedding,
    Encoder,
    GraphSampler,
    Head,
    Intervention,
    Loss,
    Measurement,
    Mechanism,
    Noise,
    Regulariser,
)
from tabscm.kernel.values import Draw, Ramp, within

MOST_OF_NETWORK = 16_384
"""The largest width, and the largest whole number of an embedding, encoder or head: layers, features and the like."""

MOST_SPECIALISTS = 64
"""Networks side by side."""

C = TypeVar("C", bound=Component)

Metric = Literal["log_prob_gain", "auroc", "ap", "direction", "f1", "f1_chosen", "shd", "shd_chosen"]
"""The values of a validation that something may be decided by, means over its tables: "f1" and "shd" of the edges above
0.5, "..._chosen" of those above the threshold that is best in that validation."""


@attrs.frozen
class Weighted(Generic[C]):
    """A component with a weight: its share of the stream's tables or of a mixture, or its factor in the sum of losses.

    In TOML one table: `use`, `weight` and the component's own keys.
    """

    component: C
    weight: Ramp = Ramp.constant(1.0)


def constant_shares(_: object, field: "attrs.Attribute[Any]", choices: tuple[Weighted[Any], ...]) -> None:
    """An attrs validator for what a mixture consists of: weights of one number each, at least 0 and not all of them."""
    for choice in choices:
        if choice.weight != Ramp.constant(choice.weight.start):
            raise ValueError(f"the weight of {choice.component.name} must be one number: a mixture knows no steps")
    _weights(_, field, choices)
    if not sum(choice.weight.start for choice in choices) > 0:
        raise ValueError("needs at least one weight above 0")


def pick(choices: tuple[Weighted[Any], ...], shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Pick one of some components by weight for each element, where weights are `constant_shares`.

    Returns:
        int64 of `shape`, on the device of `rng`: the index of the component.
    """
    ends = list(accumulate(choice.weight.start for choice in choices))
    borders = torch.tensor(ends[:-1]).to(rng.device, non_blocking=True) / ends[-1]
    return torch.bucketize(torch.rand(shape, generator=rng, device=rng.device), borders, right=True)


def _count(least: int) -> "Callable[[Any, attrs.Attribute[Any], Draw], None]":
    def validate(_: object, field: "attrs.Attribute[Any]", draw: Draw) -> None:
        within(least)(_, field, draw)
        broken = [value for value in draw.choices or (draw.least, draw.most) if value % 1]
        if broken:
            raise ValueError(f"{field.name} must be a whole number, found {broken[0]:g}")

    return validate


def _above_zero(_: object, field: "attrs.Attribute[Draw]", draw: Draw) -> None:
    if draw.least <= 0:
        raise ValueError(f"{field.name} must be above 0, found {draw.least:g}")


def _any_shares(_: object, field: "attrs.Attribute[Any]", choices: tuple[Weighted[Any], ...]) -> None:
    if choices:
        _shares(_, field, choices)


def _weights(_: object, field: "attrs.Attribute[Any]", weighted: tuple[Weighted[Any], ...]) -> None:
    for one in weighted:
        least = min(one.weight.start, one.weight.end)
        if least < 0:
            raise ValueError(f"the weight of {one.component.name} must be at least 0, found {least:g}")


def _shares(_: object, field: "attrs.Attribute[Any]", choices: tuple[Weighted[Any], ...]) -> None:
    _weights(_, field, choices)
    # weights move in straight lines: if some are above 0 at both ends, some are at every step between
    if min(sum(choice.weight.start for choice in choices), sum(choice.weight.end for choice in choices)) <= 0:
        raise ValueError(f"{field.name} needs a weight above 0 at every step")


def _plain_names(_: object, field: "attrs.Attribute[Any]", named: dict[str, object]) -> None:
    """Names become those of files, which an experiment must not choose the folder of."""
    for name in named:
        if not name or not name.isprintable() or len(name) > 100 or name.startswith(".") or set(name) & set("/\\:"):
            shown = repr(name if len(name) <= 40 else f"{name[:37]}...")
            raise ValueError(f"{field.name} are named without / \\ : and control characters, not {shown}")


def _specialists(_: object, field: "attrs.Attribute[Any]", names: tuple[str, ...]) -> None:
    """None, or several names that parts of a network and options of a command may have."""
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name) or hasattr(nn.ModuleDict, name) or name == "training":
            shown = repr(name if len(name) <= 50 else f"{name[:47]}...")
            raise ValueError(
                f"{field.name} are named by at most 40 lower-case letters, digits and hyphens, the first of them a "
                f"letter, and not as torch names what modules can do: not {shown}"
            )
    if not (len(names) == 0 or 2 <= len(names) <= MOST_SPECIALISTS) or len(set(names)) < len(names):
        raise ValueError(f"{field.name} are none, or 2 to {MOST_SPECIALISTS} of different names")


@attrs.frozen(kw_only=True)
class StreamSettings:
    """What the tables look like. Every table draws one component of each list, by weight."""

    variables: Draw = attrs.field(default=Draw(low=5, high=20), validator=_count(1))
    """Variables of a table (D); one draw per batch."""
    rows: Draw = attrs.field(default=Draw(low=100, high=400, scale="log"), validator=_count(2))
    """Rows of a table (N); one draw per batch."""
    tables: int = attrs.field(default=32, validator=ge(1))
    """Most tables in one batch (B); the two budgets below may allow fewer, but never none."""
    cells: int = attrs.field(default=64_000, validator=ge(1))
    """Most cells in one batch, B x N x D: bounds what the rows cost."""
    pairs: int = attrs.field(default=4_800, validator=ge(1))
    """Most ordered pairs in one batch, B x D x D: bounds what the graph costs."""
    standardise: Literal["between", "after", "mix"] = "mix"
    """Scale each variable as it is sampled (its parents' scale carries no causal order), or the finished table only,
    or either with equal chance."""
    noise_scale: Draw = attrs.field(default=Draw(low=0.2, high=2.0, scale="log"), validator=_above_zero)
    """Standard deviation of a variable's noise: relative to the signal of its parents when standardising between
    variables, absolute otherwise."""
    equal_noise: float = attrs.field(default=0.4, validator=[ge(0), le(1)])
    """Share of the tables scaled after sampling in which all variables have the same noise scale."""
    hidden: Draw = attrs.field(default=Draw.constant(0.0), validator=within(0.0, 1.0))
    """Variables that no table shows, as a share of those it shows, rounded; one draw per batch. A path between two
    variables that runs through hidden ones alone counts as an edge. Interventions reach hidden variables too, and no
    table says so; the budgets above count what tables show."""
    graphs: tuple[Weighted[GraphSampler], ...] = attrs.field(validator=[min_len(1), _shares])
    mechanisms: tuple[Weighted[Mechanism], ...] = attrs.field(validator=[min_len(1), _shares])
    noises: tuple[Weighted[Noise], ...] = attrs.field(validator=[min_len(1), _shares])
    interventions: tuple[Weighted[Intervention], ...] = attrs.field(validator=[min_len(1), _shares])
    measurements: tuple[Weighted[Measurement], ...] = attrs.field(default=(), validator=_any_shares)
    """How values are recorded; none records them as they are."""


@attrs.frozen(kw_only=True)
class EarlyStopping:
    """When training ends before its last step."""

    metric: Metric
    """What has to go on improving; the best checkpoint is then the one where it was best."""
    patience: int = attrs.field(validator=ge(1))
    """Validations without an improvement after which training stops; in a curriculum those of its last level."""
    least: float = attrs.field(default=0.0, validator=ge(0))
    """Smallest change that counts as an improvement, in units of the metric; 0 takes any."""


@attrs.frozen(kw_only=True)
class TrainerSettings:
    """How the network is trained."""

    steps: int = attrs.field(validator=ge(1))
    """Optimiser steps."""
    accumulate: int = attrs.field(default=1, validator=ge(1))
    """Batches whose gradients are averaged into one step."""
    split: int = attrs.field(default=1, validator=ge(1))
    """Runs of tasks that each batch is trained on one after another: a part of the memory for the same tables and, but
    for the order of sums and what dropout draws, the same gradients. Each of several processes splits its own share."""
    train: Literal["all", "gate"] = "all"
    """"gate" moves the weights of the gate alone, and leaves specialists as they started."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """Muon on weight matrices and AdamW on the rest, or AdamW on everything."""
    muon_lr: float = attrs.field(default=3e-3, validator=gt(0))
    """Peak learning rate of Muon."""
    lr: float = attrs.field(default=1e-3, validator=gt(0))
    """Peak learning rate of AdamW."""
    weight_decay: float = attrs.field(default=0.01, validator=ge(0))
    """Decoupled weight decay of weight matrices."""
    warmup: int = attrs.field(default=50, validator=ge(0))
    """Steps over which the learning rates rise from 0 to their peaks."""
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    """How the learning rates fall from their peaks to the floor: along half a cosine, by the same factor at every step,
    or all at once."""
    floor: float = attrs.field(default=0.03, validator=[ge(0), le(1)])
    """The learning rates at the end, as a share of their peaks."""
    drop_at: float = attrs.field(default=1.0, validator=[ge(0), le(1)])
    """Share of the steps after which a constant learning rate drops to the floor; 1 means never."""
    clip: float = attrs.field(default=1.0, validator=gt(0))
    """Largest norm of the gradient; a larger one is scaled down to it."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Autocast of the forward pass; moments, inverses and losses stay in float32 either way."""
    compile: bool = False
    """Compile the model with torch.compile."""
    gradient_checkpointing: bool = False
    """Keep less for the backward pass: members of every nn.ModuleList in the embedding and the encoder, such as layers,
    are computed again there. Same numbers, less memory, about a third more time."""
    log_every: int = attrs.field(default=10, validator=ge(1))
    """Steps between two lines of metrics.jsonl."""
    validate_every: int = attrs.field(default=100, validator=ge(1))
    """Steps between two validations, each followed by a checkpoint."""
    validation_tables: int = attrs.field(default=64, validator=ge(1))
    """Tables of the stream, never trained on, that every validation uses."""
    early_stopping: EarlyStopping | None = None
    """None trains to the last step."""
    rollbacks: int = attrs.field(default=0, validator=[ge(0), le(3)])
    """How often a run in which a value is not finite may go back to its last checkpoint; 0 stops it at once."""
    rollback_rate: float = attrs.field(default=0.5, validator=[gt(0), lt(1)])
    """What each time leaves of the learning rates, to the end of the run."""

    def __attrs_post_init__(self) -> None:
        if self.schedule == "exponential" and self.floor == 0:
            raise ValueError('schedule = "exponential" needs floor above 0: no factor leads there')
        if self.schedule != "constant" and self.drop_at != 1:
            raise ValueError(f'drop_at belongs to schedule = "constant", found schedule = "{self.schedule}"')


@attrs.frozen(kw_only=True)
class Level:
    """One level of a curriculum: other tables to train on, until the network is good at them."""

    stream: StreamSettings
    """In TOML it says only where it differs from `[stream]`."""
    metric: Metric
    """Measured at every validation, on validation tables of this level."""
    reach: float
    """The next level begins when the metric is at least as good as this."""
    most_steps: int | None = attrs.field(default=None, validator=optional(ge(1)))
    """The next level begins after so many steps at the latest; None waits for the metric."""


@attrs.frozen(kw_only=True)
class Evaluation:
    """The fresh tables on which a trained network is judged."""

    tables: int = attrs.field(default=50, validator=ge(1))
    """Tables per cell."""
    cells: dict[str, StreamSettings] = attrs.field(factory=dict, validator=_plain_names)
    """Named kinds of tables. In TOML each cell says only where it differs from `[stream]`."""


@attrs.frozen(kw_only=True)
class Network:
    """What of an experiment a trained network cannot do without: its parts, and the tables that it was trained on."""

    width: int = attrs.field(validator=ge(1))
    """Width of the evidence (E)."""
    embedding: Embedding
    encoder: Encoder
    head: Head
    """The head that gives "edges"."""
    auxiliary_heads: tuple[Head, ...] = ()
    """Their weights are among those of the network."""
    specialists: tuple[str, ...] = attrs.field(default=(), validator=_specialists)
    """As of the experiment."""
    embeddings: dict[str, Embedding] = attrs.field(factory=dict)
    """As of the experiment."""
    mirrored: tuple[str, ...] = ()
    """As of the experiment."""
    gate: Embedding | None = None
    """As of the experiment."""
    variables: Draw = attrs.field(validator=_count(1))
    """Variables of a table of the training."""
    rows: Draw = attrs.field(validator=_count(2))
    """Rows of a table of the training."""


@attrs.frozen(kw_only=True)
class Experiment:
    """Everything that decides what a run computes."""

    seed: int = attrs.field(default=0, validator=[ge(0), le(2**63 - 1)])
    """Seeds the weights and the stream."""
    width: int = attrs.field(default=64, validator=[ge(1), le(MOST_OF_NETWORK)])
    """Width of the evidence (E)."""
    embedding: Embedding
    encoder: Encoder
    head: Head
    """The head that gives "edges"."""
    loss: Loss
    """The loss on the edges."""
    auxiliary_heads: tuple[Head, ...] = ()
    specialists: tuple[str, ...] = attrs.field(default=(), validator=_specialists)
    """Names of networks side by side, each of these parts with weights of its own; without any there is one network.
    Their edges are mixed, and nothing else."""
    embeddings: dict[str, Embedding] = attrs.field(factory=dict)
    """Those of specialists that have another than the rest, by their names. In TOML each says only where it differs
    from `[embedding]`."""
    mirrored: tuple[str, ...] = ()
    """Names of those for whom it makes no difference, or next to none, which way up a column is measured. Where nothing
    is learned, each of them reads small tables up to four times, with some columns negated, and says the mean."""
    gate: Embedding | None = None
    """With what a table is read to say how far to believe each specialist; there where they are."""
    auxiliary_losses: tuple[Weighted[Loss], ...] = attrs.field(default=(), validator=_weights)
    regularisers: tuple[Weighted[Regulariser], ...] = attrs.field(default=(), validator=_weights)
    stream: StreamSettings
    curriculum: tuple[Level, ...] = ()
    """Levels to train on before the stream itself, which is always the last one."""
    trainer: TrainerSettings
    evaluation: Evaluation = Evaluation()

    @property
    def network(self) -> Network:
        """What is trained, without how."""
        return Network(
            width=self.width,
            embedding=self.embedding,
            encoder=self.encoder,
            head=self.head,
            auxiliary_heads=self.auxiliary_heads,
            specialists=self.specialists,
            embeddings=self.embeddings,
            mirrored=self.mirrored,
            gate=self.gate,
            variables=self.stream.variables,
            rows=self.stream.rows,
        )

    @property
    def asks(self) -> frozenset[str]:
        """The fields of Truth that some loss asks the stream for."""
        return self.loss.asks.union(*(entry.component.asks for entry in self.auxiliary_losses))
