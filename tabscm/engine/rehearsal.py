"""Everything short of training: every component of an experiment is built and called once, on small tables."""

from collections.abc import Iterator
from typing import TypeVar

import attrs
import torch

from tabscm.engine.model import Model, autocast
from tabscm.engine.recompute import recompute_layers
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms
from tabscm.kernel.errors import TrainingError
from tabscm.kernel.experiment import Experiment, StreamSettings, Weighted
from tabscm.kernel.interfaces import Component
from tabscm.kernel.values import Draw

C = TypeVar("C", bound=Component)

TABLES = 8
"""Tables of each rehearsal batch: enough that each part of a mixture is likely to be drawn."""


def rehearse(experiment: Experiment, *, device: torch.device) -> Model:
    """Build the network, sample from every component of every stream, and do one step without its update.

    Returns:
        The untrained network.

    Raises:
        ConfigError: a component needs what no other gives, or cannot be built at this width.
        ContractError: a component returned something its interface does not allow.
        TrainingError: a loss or a gradient is not finite.
    """
    torch.manual_seed(experiment.seed)
    model = Model(experiment).to(device)
    if experiment.trainer.gradient_checkpointing:
        recompute_layers(model)
    levels = [level.stream for level in experiment.curriculum]
    for settings in (experiment.stream, *levels, *experiment.evaluation.cells.values()):
        for small in _one_of_each(settings):
            Stream(small, seed=experiment.seed, device=device).batch(0)
    effects = "effects" in experiment.asks
    table, truth = Stream(_small(experiment.stream), seed=experiment.seed, device=device, effects=effects).batch(0)
    with autocast(device, experiment.trainer.precision):
        prediction = model(table)
    terms = loss_terms(experiment, 0, prediction, truth, table)
    for name, term in terms.items():
        if not bool(torch.isfinite(term)):
            raise TrainingError(f"the term {name} is not finite on an untrained network")
    torch.autograd.backward(sum(terms.values(), torch.zeros((), device=device)))
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            raise TrainingError(f"the gradient of {name} is not finite on an untrained network")
    return model


def _one_of_each(settings: StreamSettings) -> Iterator[StreamSettings]:
    """Streams that between them draw every graph sampler, mechanism, noise and intervention."""
    lists = (settings.graphs, settings.mechanisms, settings.noises, settings.interventions)
    for turn in range(max(map(len, lists))):
        yield attrs.evolve(
            _small(settings),
            graphs=_one(settings.graphs, turn),
            mechanisms=_one(settings.mechanisms, turn),
            noises=_one(settings.noises, turn),
            interventions=_one(settings.interventions, turn),
        )


def _one(choices: tuple[Weighted[C], ...], turn: int) -> tuple[Weighted[C], ...]:
    return (Weighted(choices[turn % len(choices)].component),)


def _small(settings: StreamSettings) -> StreamSettings:
    return attrs.evolve(
        settings,
        variables=Draw.constant(settings.variables.least),
        rows=Draw.constant(settings.rows.least),
        tables=min(settings.tables, TABLES),
    )
