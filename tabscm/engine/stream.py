"""An endless stream of tables and their graphs: step k is a function of (seed, k) alone.

Nodes of all tasks of a batch are sampled together, one topological level at a time: as many steps as the longest
path, however many nodes there are. What is hidden is sampled like the rest and left out of table and graph in the end,
and what is left is recorded by a measurement. Letters: B tasks, D variables, N rows, G nodes of one level, P parents.
"""

from collections.abc import Iterator
from typing import Literal, TypeVar

import attrs
import numpy as np
import torch
from torch import Tensor

from tabscm.engine.effects import Probes
from tabscm.engine.hidden import project
from tabscm.engine.order import Group, Level, depth_of, levels_of
from tabscm.engine.standardise import location_scale, standardise
from tabscm.engine.transfer import sent
from tabscm.kernel.errors import ContractError
from tabscm.kernel.experiment import StreamSettings, Weighted
from tabscm.kernel.interfaces import Component, Intervention, Mechanism, Rule, Table, Truth
from tabscm.kernel.shapes import expect

Purpose = Literal["train", "validation", "evaluation"]
PURPOSES: tuple[Purpose, ...] = ("train", "validation", "evaluation")
"""Streams of one seed and different purpose share no table."""

SIGNAL_ROWS = 64
"""Rows on which the size of a signal is measured before noise is added to it."""

C = TypeVar("C", bound=Component)


class Stream:
    """Synthetic structural causal models without end, sampled on `device`.

    Args:
        settings: what the tables look like.
        seed: any whole number >= 0.
        device: where tables are made; the same seed gives other tables on another kind of device.
        purpose: keeps training, validation and evaluation tables apart.
        effects: measure `Truth.effects` too; costs about D times as much, and leaves the tables as they are.
        key: where an experiment has these settings, such as "curriculum[0].stream"; only messages need it.
    """

    def __init__(
        self,
        settings: StreamSettings,
        *,
        seed: int,
        device: torch.device,
        purpose: Purpose = "train",
        effects: bool = False,
        key: str = "stream",
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.device = device
        self.purpose = purpose
        self.effects = effects
        self.key = key

    def batch(self, step: int, part: int = 0) -> tuple[Table, Truth]:
        """Part `part` of the tables of step `step`, and their graphs.

        Returns:
            The tables, x [B, N, D], and the truth, adj [B, D, D], of the variables that are not hidden; see `Table` and
            `Truth`.

        Raises:
            ContractError: a component returned something its interface does not allow, or a value that is not finite.
        """
        x, recorded, shown, truth = self._batch(step, part, finite=False)
        made = {"values": x}
        if recorded is not None:
            observed = ~recorded.isnan()
            made["recorded values"] = recorded.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        if truth.effects is not None:
            made["effects of interventions"] = truth.effects
        whole = torch.stack([torch.isfinite(values).all() for values in made.values()])
        if not bool(whole.all()):
            # once more, looking at what each component gives: the first that is not finite is named
            self._batch(step, part, finite=True)
            overflow = [name for name, good in zip(made, whole.tolist(), strict=True) if not good]
            raise ContractError(
                f"step {step} of the stream: {' and '.join(overflow)} overflow float32; lower the weights of mechanisms"
            )
        if recorded is None:
            return Table(x=standardise(x), intervened=shown, observed=torch.ones_like(shown)), truth
        return Table(x=standardise(recorded, observed), intervened=shown, observed=observed), truth

    def sizes(self, step: int, part: int = 0) -> tuple[int, int, int]:
        """Tables, rows and shown variables of a batch, without making it."""
        return self._sizes(self._host(step, part)[0])

    def again(self, step: int, part: int = 0) -> str:
        """The Python that makes a batch once more, where there are an `experiment` and a `device`."""
        purpose = "" if self.purpose == "train" else f', purpose="{self.purpose}"'
        effects = ", effects=True" if self.effects else ""
        batch = f"{step}, {part}" if part else f"{step}"
        return f"Stream(experiment.{self.key}, seed={self.seed}, device=device{purpose}{effects}).batch({batch})"

    def _batch(self, step: int, part: int, *, finite: bool) -> tuple[Tensor, Tensor | None, Tensor, Truth]:
        """x [B, N, D] on its own scale, what was recorded of it, if it was measured, [B, N, D], which cells the network
        is told were intervened on [B, N, D], and the truth; `finite` checks on the way."""
        host, seed = self._host(step, part)
        rng = torch.Generator(self.device).manual_seed(seed)
        settings = self.settings
        tasks, rows, seen = self._sizes(host)
        variables = seen + (round(settings.hidden.number(host) * seen) if settings.hidden.most > 0 else 0)

        adj = torch.empty((tasks, variables, variables), dtype=torch.bool, device=self.device)
        samplers = list(self._share_out(settings.graphs, tasks, host, step))
        for sampler, chosen in samplers:
            drawn = sampler.sample(len(chosen), variables, rng)
            expect(drawn, "B D D", what=str(sampler), dtype=torch.bool, B=len(chosen), D=variables)
            adj[self._here(chosen)] = drawn
        noise = torch.empty((tasks, variables, rows), device=self.device)
        for family, chosen in self._share_out(settings.noises, tasks, host, step):
            drawn = family.sample((len(chosen), variables, rows), rng)
            sizes = {"B": len(chosen), "D": variables, "N": rows}
            expect(drawn, "B D N", what=str(family), dtype=torch.float32, finite=finite, **sizes)
            noise[self._here(chosen)] = drawn
        cells = torch.zeros((tasks, rows, variables), dtype=torch.bool, device=self.device)
        shown = torch.zeros_like(cells)
        drawn_interventions = []
        for intervention, chosen in self._share_out(settings.interventions, tasks, host, step):
            drawn, rule = intervention.draw(len(chosen), rows, variables, rng)
            expect(drawn, "B N D", what=str(intervention), dtype=torch.bool, B=len(chosen), N=rows, D=variables)
            here = self._here(chosen)
            cells[here] = drawn
            if intervention.shown:
                shown[here] = drawn
            drawn_interventions.append((intervention, rule, here))
        mechanisms, which = self._assign(tasks, variables, host, step)
        # the order of sampling is worked out on the host, which has to wait for the graphs
        graphs = adj.cpu()
        depth = torch.empty((tasks, variables), dtype=torch.long)
        for sampler, chosen in samplers:
            depth[chosen] = depth_of(graphs[chosen], str(sampler))
        levels = levels_of(graphs, depth, mechanisms, which, self.device)
        probes = Probes(rows, variables, asked=self.effects)
        applied = _settings(drawn_interventions, cells)
        # [B, D, N + probes], what is felt of variables, and [B, D, N], what is measured of them
        values, measured = self._sample(probes, noise, levels, applied, rng, finite=finite)
        effects = probes.effects(values)
        # columns carry no causal order, so that the last ones are as good as any to be hidden
        truth = Truth(
            adj=adj if seen == variables else self._here(project(graphs, seen)),
            effects=None if effects is None else effects[:, :seen, :seen],
            targets=cells[:, :, :seen].any(1),
            scales=location_scale(measured[:, :seen])[1][:, :, 0],
        )
        x = measured[:, :seen].transpose(1, 2)
        return x, self._record(x, host, step, rng, finite=finite), shown[:, :, :seen], truth

    def _host(self, step: int, part: int) -> tuple[np.random.Generator, int]:
        """What draws sizes and components of a batch, on the host, so that no step waits for the device to know a
        shape; and the seed of what draws everything else, on the device."""
        host = np.random.default_rng([self.seed, PURPOSES.index(self.purpose), step, part])
        return host, int(host.integers(2**63))

    def _sizes(self, host: np.random.Generator) -> tuple[int, int, int]:
        """Tables, rows and shown variables, the first that `host` draws."""
        variables, rows = self.settings.variables.integer(host), self.settings.rows.integer(host)
        return tables_per_batch(self.settings, variables, rows), rows, variables

    def _record(
        self, x: Tensor, host: np.random.Generator, step: int, rng: torch.Generator, *, finite: bool
    ) -> Tensor | None:
        """What is recorded of x [B, N, D]: the same shape, NaN where lost; None where nothing is measured."""
        if not self.settings.measurements:
            return None
        x = standardise(x)
        recorded = torch.empty_like(x)
        for measurement, chosen in self._share_out(self.settings.measurements, len(x), host, step):
            here = self._here(chosen)
            found = measurement.record(x[here], rng)
            sizes = {"B": len(chosen), "N": x.shape[1], "D": x.shape[2]}
            expect(found, "B N D", what=str(measurement), dtype=torch.float32, finite=False, **sizes)
            if finite and bool(found.isinf().any()):
                raise ContractError(f"{measurement}: recorded an infinite value; a cell that is lost is NaN")
            recorded[here] = found
        return recorded

    def _here(self, on_host: Tensor) -> Tensor:
        """On the device."""
        return sent(on_host, self.device)

    def _share_out(
        self, choices: tuple[Weighted[C], ...], tasks: int, host: np.random.Generator, step: int
    ) -> Iterator[tuple[C, Tensor]]:
        """Let every task draw one component by weight: each component that was drawn, and its tasks, [b] int64 on the
        host."""
        # weights that move with training have arrived where they lead when it is judged
        training = self.purpose == "train"
        weights = np.array([choice.weight.at(step) if training else choice.weight.end for choice in choices])
        drawn = host.choice(len(choices), size=tasks, p=weights / weights.sum())
        for index, choice in enumerate(choices):
            chosen = np.flatnonzero(drawn == index)
            if len(chosen):
                yield choice.component, torch.from_numpy(chosen)

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
            which[chosen.numpy()] = host.choice(numbers, size=(len(chosen), variables), p=weights / weights.sum())
        return mechanisms, torch.from_numpy(which)

    def _sample(
        self,
        probes: Probes,
        noise: Tensor,
        levels: Iterator[Level],
        interventions: "list[_Setting]",
        rng: torch.Generator,
        *,
        finite: bool,
    ) -> tuple[Tensor, Tensor]:
        """Ancestral sampling, level by level, of the table and of the probes behind it, from the noise [B, D, N].

        Returns:
            values [B, D, N + probes], each variable on its own scale, and [B, D, N], those that are measured.
        """
        rows = probes.rows
        noise = probes.extend(noise)
        tasks, variables, length = noise.shape
        nodes = tasks * variables
        between = self._scaled_between(tasks, rng)  # [B]
        noise = (noise * self._noise_scale(between, variables, rng)[:, :, None]).view(nodes, length)
        between = between.repeat_interleave(variables)[:, None]  # [B D, 1]
        # each variable on its own scale, and at mean 0 and deviation 1; padded slots may point at one not sampled yet
        values, unit = torch.zeros_like(noise), torch.zeros_like(noise)
        unmeasured = [setting.cells for setting in interventions if not setting.intervention.measured]  # [B D, N] each
        measured = torch.zeros_like(values[:, :rows]) if unmeasured else values[:, :rows]
        for level in levels:
            natural = torch.empty_like(noise[level.nodes])  # [G, N]
            for group in level.groups:
                here = level.nodes[group.place]
                inputs = (values if group.mechanism.homogeneous else unit)[group.parents].transpose(1, 2)  # [G, N, P]
                natural[group.place] = _respond(group, inputs, noise[here], between[here], rows, rng, finite=finite)
            mean, deviation = location_scale(natural[:, :rows])
            deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
            scaled = between[level.nodes]
            natural = torch.where(scaled, (natural - mean) / deviation, natural)
            by_itself = natural[:, :rows].clone() if unmeasured else natural[:, :rows]
            for setting in interventions:
                natural[:, :rows] = setting.apply(natural[:, :rows], level.nodes, finite=finite)
            if unmeasured:
                felt_only = torch.stack([cells[level.nodes] for cells in unmeasured]).any(0)
                measured[level.nodes] = torch.where(felt_only, by_itself, natural[:, :rows])
            natural = probes.set(natural, level.nodes % variables)
            values[level.nodes] = natural
            unit[level.nodes] = torch.where(scaled, natural, (natural - mean) / deviation)
        shape = (tasks, variables, -1)
        return values.view(shape), measured.reshape(shape)

    def _scaled_between(self, tasks: int, rng: torch.Generator) -> Tensor:
        """Which tables are scaled between variables: [B] bool."""
        share = {"between": 1.0, "after": 0.0, "mix": 0.5}[self.settings.standardise]
        return torch.rand(tasks, generator=rng, device=self.device) < share

    def _noise_scale(self, between: Tensor, variables: int, rng: torch.Generator) -> Tensor:
        """Scales of the noise: [B, D]."""
        own = self.settings.noise_scale.sample((len(between), variables), rng)
        equal = torch.rand(len(between), generator=rng, device=self.device) < self.settings.equal_noise
        # relative to the signal, equal scales would mean that parents explain the same share of every variable: no
        # real table is so, and a network would learn to count on it
        return torch.where((equal & ~between)[:, None], own[:, :1], own)


def tables_per_batch(settings: StreamSettings, variables: int, rows: int) -> int:
    """How many tables of this size fit the budgets of cells and pairs: at least one."""
    return max(1, min(settings.tables, settings.cells // (variables * rows), settings.pairs // variables**2))


@attrs.frozen(eq=False)
class _Setting:
    """What one intervention component does to its tasks."""

    intervention: Intervention
    rule: Rule
    cells: Tensor  # [B D, N] bool, one line per node of the batch
    place: Tensor  # [B] int64: which of the rule's tasks a task of the batch is

    def apply(self, values: Tensor, nodes: Tensor, *, finite: bool) -> Tensor:
        """`values` [G, N] of `nodes` [G] with the intervened cells set."""
        variables = len(self.cells) // len(self.place)
        cells = self.cells[nodes]
        found = self.rule(values, self.place[nodes // variables], nodes % variables)
        what = str(self.intervention)
        expect(found, "G N", what=what, dtype=torch.float32, G=len(nodes), N=values.shape[1])
        if finite:
            expect(found[cells], "K", what=what, finite=True)
        return torch.where(cells, found, values)


def _settings(drawn: list[tuple[Intervention, Rule, Tensor]], cells: Tensor) -> list[_Setting]:
    """Spread what each intervention drew for its own tasks over the batch, whose `cells` are [B, N, D]."""
    settings = []
    touched = torch.stack([cells[chosen].any() for _, _, chosen in drawn]).tolist()
    for (intervention, rule, chosen), any_cell in zip(drawn, touched, strict=True):
        if any_cell:
            own = torch.zeros_like(cells)
            own[chosen] = cells[chosen]
            place = torch.zeros(len(cells), dtype=torch.long, device=cells.device)
            place[chosen] = torch.arange(len(chosen), device=cells.device)
            settings.append(_Setting(intervention, rule, own.transpose(1, 2).flatten(0, 1), place))
    return settings


def _respond(
    group: Group, inputs: Tensor, noise: Tensor, relative: Tensor, rows: int, rng: torch.Generator, *, finite: bool
) -> Tensor:
    """Draw the functions of a group and evaluate them on `inputs` [G, N, P] and `noise` [G, N]: values [G, N].

    The first `rows` are those of the table, on which the size of a signal is measured. Where `relative` [G, 1], noise
    is in units of the signal of the parents: no mechanism drowns in it or goes without.
    """
    function = group.mechanism.draw(group.mask, rng)

    def evaluate(length: int, noise: Tensor) -> Tensor:
        found = function(inputs[:, :length], noise[:, :length])
        sizes = {"G": len(noise), "N": length}
        expect(found, "G N", what=str(group.mechanism), dtype=torch.float32, finite=finite, **sizes)
        return found

    length = noise.shape[1]
    if not group.mask.shape[1]:
        return evaluate(length, noise)
    additive = group.mechanism.additive
    signal = evaluate(length if additive else min(SIGNAL_ROWS, rows), torch.zeros_like(noise))
    size = signal[:, :rows].std(-1, correction=0, keepdim=True).clamp(min=0.05)
    noise = torch.where(relative, noise * size, noise)
    return signal + noise if additive else evaluate(length, noise)
