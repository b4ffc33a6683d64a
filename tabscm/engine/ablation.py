"""Which part makes the difference: variants of an experiment, trained and judged side by side, seed by seed.

OUT/VARIANT/seed-42/    a trial, see trial.py; the first variant, the base, is in OUT/base
    VARIANT/pace/       how long its steps take, when all train for the same time
    results.json        everything
    table.md            the table
    picture.png         the same to look at
"""

import json
import math
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from itertools import product
from pathlib import Path

import attrs
import torch

from tabscm.engine.checkpoint import EXPERIMENT
from tabscm.engine.comparison import Row, table, to_json
from tabscm.engine.lease import holds, taken
from tabscm.engine.measures import MEASURES
from tabscm.engine.pace import Pace
from tabscm.engine.rehearsal import rehearse
from tabscm.engine.runs import is_started, prepare
from tabscm.engine.trial import COST, PACE, PRINTED, Order, Outcome, finished, one_line, perform
from tabscm.engine.whole import read_json, write_whole
from tabscm.kernel.config import vary
from tabscm.kernel.errors import CheckpointError, ConfigError, TabSCMError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import Registry

EVERYTHING = "results.json"
TABLE = "table.md"
PICTURE = "picture.png"


@attrs.frozen
class Variant:
    """A row of the ablation, before it is run."""

    label: str
    folder: str
    experiment: Experiment | None
    reason: str | None = None
    """Why there is no experiment, in one line."""


@attrs.frozen(kw_only=True)
class Plan:
    """What is asked of an ablation."""

    seeds: tuple[int, ...]
    seconds: float | None
    """Of training, for every trial; None leaves every experiment its steps."""
    cell: str
    metrics: tuple[str, ...]
    device: str
    threads: int
    """Of every trial."""


def grid(
    experiments: Mapping[str, Experiment], swaps: Mapping[str, Sequence[str]], registry: Registry
) -> list[Variant]:
    """Every combination of swaps in every experiment; first the base, which is the first experiment as it is.

    All are judged on the tables of the base's evaluation. What equals the base is the base's row, not one more.

    Args:
        experiments: by name.
        swaps: the values that each key.path takes, see `vary`.
        registry: the components there are.

    Raises:
        ConfigError: a value that makes no experiment, neither in any combination nor alone.
        TabSCMError: a swap in the stream of an experiment with a curriculum, whose levels it would not reach.
    """
    _refuse_half_a_swap(experiments, swaps)
    base_name, base = next(iter(experiments.items()))
    cells = base.evaluation.cells or {"stream": base.stream}
    judged = attrs.evolve(base.evaluation, cells=cells)
    base = attrs.evolve(base, evaluation=judged)
    variants = {"base": Variant(base_name, "base", base)}
    useful: set[tuple[str, str]] = set()
    failures: list[list[tuple[str, str]]] = []
    for label, name, chosen in _combinations(experiments, swaps):
        folder = _free_folder(label, variants)
        try:
            experiment = vary(experiments[name], chosen, registry) if chosen else experiments[name]
        except ConfigError as error:
            failures.append(chosen)
            variants[folder] = Variant(label, folder, None, f"cannot be built: {one_line(error)}")
            continue
        useful.update(chosen)
        experiment = attrs.evolve(experiment, evaluation=judged)
        if experiment == base:
            variants["base"] = attrs.evolve(variants["base"], label=label)
        else:
            variants[folder] = Variant(label, folder, experiment)
    for mistaken in (one for chosen in failures for one in chosen if one not in useful):
        vary(experiments[base_name], [mistaken], registry)
    return list(variants.values())


def check(variants: Sequence[Variant], *, device: torch.device) -> list[Variant]:
    """Rehearse every variant; one that cannot be built says why from now on, except the base, which is the first.

    Raises:
        TabSCMError: what is wrong with the base, see `rehearse`. Without it there is nothing to compare with.
    """
    checked = []
    for variant in variants:
        reason = variant.reason
        if variant.experiment is not None:
            try:
                rehearse(variant.experiment, device=device)
            # parts that do not fit together, which is what a grid tries, raise whatever torch or they themselves raise,
            # and the other rows are run all the same
            except Exception as error:
                if variant is variants[0]:
                    raise
                reason = f"cannot be built: {one_line(error)}"
        checked.append(variant if reason is None else attrs.evolve(variant, experiment=None, reason=reason))
    return checked


def ablate(
    out: Path,
    variants: Sequence[Variant],
    plan: Plan,
    *,
    registry: Registry,
    executor: Executor,
    overwrite: bool,
    say: Callable[[str], None],
) -> list[Row]:
    """Run what has not been run yet, trial by trial, writing results and table after each.

    Args:
        out: the folder of the ablation; what an earlier one left there is gone on with.
        variants: see `grid` and `check`; the base first.
        plan: seeds and so on.
        registry: who brought the components.
        executor: where trials run; how many at once is its business. Closed at the end.
        overwrite: start again.
        say: told a line at a time.

    Returns:
        A row for each variant, the base first.

    Raises:
        CheckpointError: a folder holds something else, or cannot be written, or another ablation has taken it over.
    """
    if (out / EXPERIMENT).exists():
        raise CheckpointError(f"{out}: is the folder of a run. Use --out for another place.")
    try:
        with taken(out) as (lease, token):
            return _Ablation(
                out=out,
                variants=list(variants),
                plan=plan,
                registry=registry,
                executor=executor,
                lease=lease,
                token=token,
                overwrite=overwrite,
                say=say,
            ).run()
    finally:
        executor.shutdown()


def _refuse_half_a_swap(experiments: Mapping[str, Experiment], swaps: Iterable[str]) -> None:
    """Levels of a curriculum have their own copy of the stream: some tables would be other ones, some not."""
    for name, experiment in experiments.items():
        for key in swaps:
            if experiment.curriculum and (key == "stream" or key.startswith("stream.")):
                raise TabSCMError(
                    f"--swap {key}: {name} has a curriculum, whose levels it would not reach; give a file for each "
                    "value instead: ablate BASE.toml OTHER.toml"
                )


def _combinations(
    experiments: Iterable[str], swaps: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """What each row is called, the name of its experiment, and its swaps: (key.path, value)."""
    names = list(experiments)
    for name, values in product(names, product(*swaps.values())):
        chosen = list(zip(swaps, values, strict=True))
        swapped = " ".join(map("=".join, chosen))
        yield f"{name}: {swapped}" if swapped and len(names) > 1 else swapped or name, name, chosen


def _free_folder(label: str, taken: Container[str]) -> str:
    """A name for the folder of a row, as near to its label as file systems allow."""
    folder = re.sub(r"^\.+|[^\w.=-]+", "_", label)  # no name of a folder above
    while folder in taken:
        folder += "_"
    return folder


@attrs.define(kw_only=True)
class _Ablation:
    """The state of an ablation while it runs."""

    out: Path
    variants: list[Variant]
    plan: Plan
    registry: Registry
    executor: Executor
    lease: Path
    token: str
    overwrite: bool
    say: Callable[[str], None]
    outcomes: dict[tuple[str, int], Outcome] = attrs.field(factory=dict)
    """By variant's folder and seed."""

    def run(self) -> list[Row]:
        if self.plan.seconds is not None:
            self.variants = [self._paced(variant, self.plan.seconds) for variant in self.variants]
        # seeds outside, so that rows can be compared long before the last seed
        trials = []
        for seed, variant in product(self.plan.seeds, self.variants):
            if variant.experiment is not None:
                self._prepare(self._folder(variant, seed), attrs.evolve(variant.experiment, seed=seed))
                trials.append((variant, seed))
        for variant, seed in trials:
            done = finished(self._folder(variant, seed))
            if done is not None:
                self.outcomes[variant.folder, seed] = done
        waiting = [(variant, seed) for variant, seed in trials if (variant.folder, seed) not in self.outcomes]
        self.say(self._summary(len(trials), len(waiting)))
        self._write()
        futures = {
            self.executor.submit(perform, self._order(self._folder(variant, seed))): (variant, seed)
            for variant, seed in waiting
        }
        try:
            for future in as_completed(futures):
                variant, seed = futures[future]
                self.outcomes[variant.folder, seed] = outcome = self._outcome(future)
                self._write()
                self.say(f"[{len(self.outcomes)}/{len(trials)}] {variant.label}, seed {seed}: {self._news(outcome)}")
        finally:
            for future in futures:
                future.cancel()
        return self._rows()

    def _paced(self, variant: Variant, seconds: float) -> Variant:
        """The variant with as many steps as fit into the time; measured one variant at a time, alone."""
        if variant.experiment is None:
            return variant
        folder = self.out / variant.folder / "pace"
        self._prepare(folder, variant.experiment)
        found = read_json(folder / PACE)
        if found is None:
            outcome = self._outcome(self.executor.submit(perform, self._order(folder, pace_for=seconds)))
            found = read_json(folder / PACE)
            if found is None:
                reason = f"its steps could not be timed: {outcome.failed or f'left no {PACE}'}"
                return attrs.evolve(variant, experiment=None, reason=reason)
        pace = Pace(**found)
        steps = pace.steps(seconds, variant.experiment)
        self.say(f"{variant.label}: {1e3 * pace.step:.1f} ms a step, {steps:,} steps in {seconds:g} s")
        trainer = attrs.evolve(variant.experiment.trainer, steps=steps)
        return attrs.evolve(variant, experiment=attrs.evolve(variant.experiment, trainer=trainer))

    def _prepare(self, folder: Path, experiment: Experiment) -> None:
        there = is_started(folder)
        prepare(folder, experiment, self.registry, resume=there and not self.overwrite, overwrite=self.overwrite)
        if self.overwrite:
            for name in (COST, PRINTED, PACE):
                (folder / name).unlink(missing_ok=True)

    def _order(self, folder: Path, pace_for: float | None = None) -> Order:
        where = str(folder.absolute())
        return Order(where, self.plan.device, self.plan.threads, str(self.lease), self.token, pace_for)

    def _outcome(self, future: "Future[Outcome]") -> Outcome:
        """What a trial came to, also when the worker it ran on is no more."""
        try:
            outcome = future.result()
        # a cluster raises its own errors, of a worker that died or an order that got lost, and what they are changes
        # with its version; whichever it is, it is this trial's end and no other's
        except Exception as error:  # noqa: BLE001
            outcome = Outcome(failed=one_line(error))
        if not holds(self.lease, self.token):  # what this ablation would write now is no longer its own
            raise CheckpointError(f"{self.out}: another ablation has taken over")
        return outcome

    def _folder(self, variant: Variant, seed: int) -> Path:
        return self.out / variant.folder / f"seed-{seed}"

    def _summary(self, trials: int, waiting: int) -> str:
        broken = sum(variant.experiment is None for variant in self.variants)
        return (
            f"{len(self.variants)} rows, {len(self.plan.seeds)} seeds: {waiting} trials to run"
            + (f", {trials - waiting} run before" if waiting < trials else "")
            + (f"; {broken} of the rows cannot be run" if broken else "")
        )

    def _news(self, outcome: Outcome) -> str:
        if outcome.failed is not None:
            return f"failed: {outcome.failed}"
        values = outcome.results[self.plan.cell]
        found = [(MEASURES[metric], values.get(metric)) for metric in self.plan.metrics]
        return ", ".join(
            f"{measure.title} {measure.figure(math.nan if value is None else value)}" for measure, value in found
        ) + ("" if outcome.seconds is None else f", {outcome.seconds:.0f} s")

    def _rows(self) -> list[Row]:
        return [
            Row(
                label=variant.label,
                outcomes={
                    seed: self.outcomes[variant.folder, seed]
                    for seed in self.plan.seeds
                    if (variant.folder, seed) in self.outcomes
                },
                steps=None if variant.experiment is None else variant.experiment.trainer.steps,
                reason=variant.reason,
            )
            for variant in self.variants
        ]

    def _write(self) -> None:
        rows, plan = self._rows(), self.plan
        everything = {**attrs.asdict(plan), "rows": to_json(rows)}
        write_whole(self.out / EVERYTHING, json.dumps(everything, indent=2) + "\n")
        write_whole(self.out / TABLE, table(rows, plan.seeds, plan.cell, plan.metrics) + "\n")
