"""An endless stream of tables and their graphs: step k is a function of (seed, k) alone.

Nodes of all tasks of a batch are sampled together, one topological level at a time: as many steps as the longest
path, however many nodes there are. Letters: B tasks, D variables, N rows, G nodes of one level, P parents.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Literal, TypeVar

import attrs
import numpy as np
import torch
from torch import Tensor

from tabscm.engine.standardise import location_scale, standardise
from tabscm.kernel.errors import ContractError
from tabscm.kernel.experiment import StreamSettings, Weighted
from tabscm.kernel.interfaces import Component, Intervention, Mechanism, Rule, Table, Truth
from tabscm.kernel.shapes import expect

Purpose = Literal["train", "validation", "evaluation"]
PURPOSES: tuple[Purpose, ...] = ("train", "validation", "evaluation")
"""Streams of one seed and different purpose share no table."""

PROBE_ROWS = 64
"""Rows on which the size of a signal is measured before noise is added to it."""

C = TypeVar("C", bound=Component)


class Stream:
    """Synthetic structural causal models without end, sampled on `device`.

    Args:
        settings: what the tables look like.
        seed: any whole number >= 0.
        device: where tables are made; the same seed gives other tables on another kind of device.
        purpose: keeps training, validation and evaluation tables apart.
    """

    def __init__(
        self, settings: StreamSettings, *, seed: int, device: torch.device, purpose: Purpose = "train"
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.device = device
        self.purpose = purpose

    def batch(self, step: int, part: int = 0) -> tuple[Table, Truth]:
        """Part `part` of the tables of step `step`, and their graphs.

        Raises:
            ContractError: a component returned something its interface does not allow, or a value is not finite.
        """
        # sizes are drawn on the host, so that no step waits for the device to know a shape
        host = np.random.default_rng([self.seed, PURPOSES.index(self.purpose), step, part])
        rng = torch.Generator(self.device).manual_seed(int(host.integers(2**63)))
        settings = self.settings
        variables, rows = settings.variables.integer(host), settings.rows.integer(host)
        tasks = tables_per_batch(settings, variables, rows)

        adj = torch.empty((tasks, variables, variables), dtype=torch.bool, device=self.device)
        for sampler, chosen in self._share_out(settings.graphs, tasks, host, step):
            drawn = sampler.sample(len(chosen), variables, rng)
            expect(drawn, "B D D", what=_label(sampler), dtype=torch.bool, B=len(chosen), D=variables)
            adj[chosen] = drawn
        noise = torch.empty((tasks, variables, rows), device=self.device)
        for family, chosen in self._share_out(settings.noises, tasks, host, step):
            shape = (len(chosen), variables, rows)
            drawn = family.sample(shape, rng)
            expect(drawn, "B D N", what=_label(family), dtype=torch.float32, B=shape[0], D=variables, N=rows)
            noise[chosen] = drawn
        cells = torch.zeros((tasks, rows, variables), dtype=torch.bool, device=self.device)
        experiments = []
        for intervention, chosen in self._share_out(settings.interventions, tasks, host, step):
            drawn, rule = intervention.draw(len(chosen), rows, variables, rng)
            expect(drawn, "B N D", what=_label(intervention), dtype=torch.bool, B=len(chosen), N=rows, D=variables)
            cells[chosen] = drawn
            experiments.append((intervention, rule, chosen))
        mechanisms, which = self._assign(tasks, variables, host, step)
        x = self._sample(adj, noise, mechanisms, which, _experiments(experiments, cells), rng)
        observed = torch.ones_like(cells)
        return Table(x=standardise(x), intervened=cells, observed=observed), Truth(adj=adj)

    def _share_out(
        self, choices: tuple[Weighted[C], ...], tasks: int, host: np.random.Generator, step: int
    ) -> Iterator[tuple[C, Tensor]]:
        """Let every task draw one component by weight: each component that was drawn, and its tasks [b] int64."""
        # weights that move with training have arrived where they lead when it is judged
        training = self.purpose == "train"
        weights = np.array([choice.weight.at(step) if training else choice.weight.end for choice in choices])
        drawn = host.choice(len(choices), size=tasks, p=weights / weights.sum())
        for index, choice in enumerate(choices):
            chosen = np.flatnonzero(drawn == index)
            if len(chosen):
                yield choice.component, torch.from_numpy(chosen).to(self.device)

    def _assign(
        self, tasks: int, variables: int, host: np.random.Generator, step: int
    ) -> tuple[list[Mechanism], Tensor]:
        """Give every node a mechanism: those in use, and which of them each node has, [B, D] int64 on the host."""
        mechanisms: list[Mechanism] = []
        which = np.empty((tasks, variables), dtype=np.int64)
        for mechanism, chosen in self._share_out(self.settings.mechanisms, tasks, host, step):
            numbers = []
            for part, _ in mechanism.parts:
                if part not in mechanisms:
                    mechanisms.append(part)
                numbers.append(mechanisms.index(part))
            weights = np.array([weight for _, weight in mechanism.parts])
            which[chosen.cpu().numpy()] = host.choice(numbers, size=(len(chosen), variables), p=weights / weights.sum())
        return mechanisms, torch.from_numpy(which)

    def _sample(
        self,
        adj: Tensor,
        noise: Tensor,
        mechanisms: list[Mechanism],
        which: Tensor,
        experiments: "list[_Experiment]",
        rng: torch.Generator,
    ) -> Tensor:
        """Ancestral sampling, level by level. Returns x [B, N, D], each column on its own scale."""
        tasks, variables, rows = noise.shape
        nodes = tasks * variables
        between = self._scaled_between(tasks, rng).repeat_interleave(variables)[:, None]  # [B D, 1]
        noise = noise.view(nodes, rows) * self._noise_scale(tasks, variables, rng).view(nodes, 1)
        # each variable on its own scale, and at mean 0 and deviation 1; padded slots may point at one not sampled yet
        values, unit = torch.zeros_like(noise), torch.zeros_like(noise)
        for level in _levels(adj, mechanisms, which):
            natural = torch.empty_like(noise[level.nodes])  # [G, N]
            for group in level.groups:
                here = level.nodes[group.place]
                inputs = (values if group.mechanism.homogeneous else unit)[group.parents].transpose(1, 2)  # [G, N, P]
                natural[group.place] = _respond(group, inputs, noise[here], between[here], rng)
            mean, deviation = location_scale(natural)
            deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
            scaled = between[level.nodes]
            natural = torch.where(scaled, (natural - mean) / deviation, natural)
            for experiment in experiments:
                natural = experiment.apply(natural, level.nodes // variables, level.nodes % variables)
            values[level.nodes] = natural
            unit[level.nodes] = torch.where(scaled, natural, (natural - mean) / deviation)

        x = values.view(tasks, variables, rows).transpose(1, 2)  # [B, N, D]
        finite = torch.isfinite(x).flatten(1).all(1)
        if not bool(finite.all()):
            names = sorted({_label(mechanisms[index]) for index in torch.unique(which[~finite.cpu()]).tolist()})
            raise ContractError(
                f"{' or '.join(names)}: gave NaN or infinity in {int((~finite).sum())} of {tasks} tables"
            )
        return x

    def _scaled_between(self, tasks: int, rng: torch.Generator) -> Tensor:
        share = {"between": 1.0, "after": 0.0, "mix": 0.5}[self.settings.standardise]
        return torch.rand(tasks, generator=rng, device=self.device) < share

    def _noise_scale(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        own = self.settings.noise_scale.sample((tasks, variables), rng)
        equal = torch.rand((tasks, 1), generator=rng, device=self.device) < self.settings.equal_noise
        return torch.where(equal, own[:, :1], own)


def tables_per_batch(settings: StreamSettings, variables: int, rows: int) -> int:
    """How many tables of this size fit the budgets of cells and pairs: at least one."""
    return max(1, min(settings.tables, settings.cells // (variables * rows), settings.pairs // variables**2))


@attrs.frozen(eq=False)
class _Experiment:
    """What one intervention component does to its tasks."""

    cells: Tensor  # [B D, N] bool, one line per node of the batch
    rule: Rule
    place: Tensor  # [B] int64: which of the rule's tasks a task of the batch is
    what: str

    def apply(self, values: Tensor, task: Tensor, variable: Tensor) -> Tensor:
        """`values` [G, N] of the nodes (task [G], variable [G]) with the intervened cells set."""
        variables = len(self.cells) // len(self.place)
        setting = self.rule(values, self.place[task], variable)
        expect(setting, "G N", what=self.what, dtype=torch.float32, G=len(task), N=values.shape[1])
        return torch.where(self.cells[task * variables + variable], setting, values)


def _experiments(drawn: list[tuple[Intervention, Rule, Tensor]], cells: Tensor) -> list[_Experiment]:
    """Spread what each intervention drew for its own tasks over the batch, whose `cells` are [B, N, D]."""
    experiments = []
    for intervention, rule, chosen in drawn:
        own = torch.zeros_like(cells)
        own[chosen] = cells[chosen]
        if bool(own.any()):
            place = torch.zeros(len(cells), dtype=torch.long, device=cells.device)
            place[chosen] = torch.arange(len(chosen), device=cells.device)
            lines = own.transpose(1, 2).flatten(0, 1)  # [B D, N]
            experiments.append(_Experiment(lines, rule, place, _label(intervention)))
    return experiments


@attrs.frozen(eq=False)
class _Group:
    """Nodes of one topological level that share a mechanism."""

    mechanism: Mechanism
    place: slice  # within the level
    parents: Tensor  # [G, P] int64, nodes of the batch
    mask: Tensor  # [G, P] bool, which slots of `parents` hold one


@attrs.frozen(eq=False)
class _Level:
    """Nodes whose parents all lie on levels before."""

    nodes: Tensor  # [G] int64, numbers within the batch
    groups: list[_Group]


def _respond(group: _Group, inputs: Tensor, noise: Tensor, relative: Tensor, rng: torch.Generator) -> Tensor:
    """Draw the functions of a group and evaluate them on `inputs` [G, N, P] and `noise` [G, N]: values [G, N].

    Where `relative` [G, 1], noise is in units of the signal of the parents: no mechanism drowns in it or goes without.
    """
    function = group.mechanism.draw(group.mask, rng)
    what = _label(group.mechanism)
    if not group.mask.shape[1]:
        return _values(function(inputs, noise), noise, what)
    additive = group.mechanism.additive
    rows = noise.shape[1] if additive else min(PROBE_ROWS, noise.shape[1])
    signal = function(inputs[:, :rows], torch.zeros_like(noise[:, :rows]))
    _values(signal, noise[:, :rows], what)
    size = signal.std(-1, correction=0, keepdim=True).clamp(min=0.05)
    noise = torch.where(relative & group.mask[:, :1], noise * size, noise)
    return signal + noise if additive else _values(function(inputs, noise), noise, what)


def _values(found: Tensor, like: Tensor, what: str) -> Tensor:
    expect(found, "G N", what=what, dtype=torch.float32, G=like.shape[0], N=like.shape[1])
    return found


def _levels(adj: Tensor, mechanisms: list[Mechanism], which: Tensor) -> Iterator[_Level]:
    """All nodes of the batch, level by level, each level grouped by the mechanism `which` [B, D] names."""
    device = adj.device
    adj = adj.cpu()  # the only wait for the device: what depends on what is worked out on the host
    variables = adj.shape[1]
    group = (_depth(adj) * len(mechanisms) + which).flatten()
    group, order = torch.sort(group, stable=True)
    incoming = adj.transpose(1, 2).reshape(-1, variables)[order]  # [B D, D]
    count = incoming.sum(1)
    # parents first, in slots; whatever node fills the other slots is of the same task and masked
    parents = torch.argsort(incoming.to(torch.uint8), dim=1, descending=True, stable=True)
    parents += (order // variables * variables)[:, None]
    mask = torch.arange(variables) < count[:, None]
    found, sizes = torch.unique_consecutive(group, return_counts=True)
    starts = (sizes.cumsum(0) - sizes).tolist()
    widths = torch.stack([part.max() for part in torch.split(count, sizes.tolist())]).tolist()
    order, parents, mask = order.to(device), parents.to(device), mask.to(device)
    runs = zip(found.tolist(), starts, sizes.tolist(), widths, strict=True)
    for _, members in groupby(runs, key=lambda run: run[0] // len(mechanisms)):
        level = list(members)
        first, last = level[0][1], level[-1][1] + level[-1][2]
        groups = [
            _Group(
                mechanisms[number % len(mechanisms)],
                slice(start - first, start - first + size),
                parents[start : start + size, :width],
                mask[start : start + size, :width],
            )
            for number, start, size, width in level
        ]
        yield _Level(order[first:last], groups)


def _depth(adj: Tensor) -> Tensor:
    """The longest path that ends at each node: [B, D] int64, 0 for roots."""
    weight = adj.float()
    depth = torch.zeros(adj.shape[:2])
    for _ in range(adj.shape[1]):
        longer = (weight * (depth + 1)[:, :, None]).amax(1)
        if torch.equal(longer, depth):
            return depth.long()
        depth = longer
    raise ContractError("a graph sampler gave a graph with a cycle")


def _label(component: Component) -> str:
    return f"{component.kind} {component.name}"
