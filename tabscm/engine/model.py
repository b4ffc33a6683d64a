"""The network: embedding, encoder and heads, wired from an experiment."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tabscm.kernel.errors import ConfigError, ContractError, Problem
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Component, Evidence, Prediction, Table
from tabscm.kernel.shapes import expect

MAIN = "edges"
"""What the main head must give."""


class Model(nn.Module):
    """Table -> Prediction.

    Args:
        experiment: chooses the components, the width and the sizes it is trained on.

    Raises:
        ConfigError: a component needs something that no other gives, or cannot be built at this width.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        check_wiring(experiment)
        self.specs = {"embedding": experiment.embedding, "encoder": experiment.encoder}
        self.embedding = _build(experiment.embedding, experiment.width, "embedding")
        self.encoder = _build(experiment.encoder, experiment.width, "encoder")
        self.head_specs = (experiment.head, *experiment.auxiliary_heads)
        self.heads = nn.ModuleList(_build(head, experiment.width, head.kind) for head in self.head_specs)
        sizes, rows = experiment.stream.variables, experiment.stream.rows
        self.trained_variables = (round(sizes.least), round(sizes.most))
        self.trained_rows = (round(rows.least), round(rows.most))

    @property
    def max_variables(self) -> int:
        """Most variables it takes: beyond five times the largest table of its training nothing is known of it."""
        return 5 * self.trained_variables[1]

    def forward(self, table: Table) -> Prediction:
        """Predict the graph of every table of a batch.

        Raises:
            ContractError: a component returned something its interface does not allow.
        """
        tasks, _, variables = table.x.shape
        evidence = self.embedding(table)
        self._check(evidence, self.specs["embedding"], tasks, variables)
        evidence = self.encoder(evidence)
        self._check(evidence, self.specs["encoder"], tasks, variables)
        aux = dict(evidence.aux)
        for spec, head in zip(self.head_specs, self.heads, strict=True):
            answers = head(evidence)
            if set(answers) != spec.gives:
                raise ContractError(f"{_label(spec)}: expected {sorted(spec.gives)}, found {sorted(answers)}")
            aux |= answers
        logits = aux.pop(MAIN)
        expect(logits, "B D D", what=_label(self.head_specs[0]), B=tasks, D=variables)
        return Prediction(logits=logits.float(), aux=aux)

    def _check(self, evidence: Evidence, spec: Component, tasks: int, variables: int) -> None:
        expect(evidence.nodes, "B D E", what=f"{_label(spec)}: nodes", B=tasks, D=variables)
        if evidence.pairs is not None:
            expect(evidence.pairs, "B D D E", what=f"{_label(spec)}: pairs", B=tasks, D=variables)


def check_wiring(experiment: Experiment) -> None:
    """Check that whatever one component needs another one gives.

    Raises:
        ConfigError: names every component with an unmet need, and what is there.
    """
    heads = (experiment.head, *experiment.auxiliary_heads)
    readers = [
        *[("auxiliary_losses", entry.component) for entry in experiment.auxiliary_losses],
        *[("regularisers", entry.component) for entry in experiment.regularisers],
    ]
    problems = []
    if MAIN not in experiment.head.gives:
        problems.append(Problem("head", (f'the main head must give "{MAIN}"; {experiment.head.name} does not',)))
    on_evidence = set(experiment.embedding.gives)
    problems += _unmet("encoder", experiment.encoder, on_evidence)
    on_evidence |= experiment.encoder.gives
    for index, head in enumerate(heads):
        problems += _unmet("head" if index == 0 else f"auxiliary_heads[{index - 1}]", head, on_evidence)
    answered: set[str] = set()
    for index, head in enumerate(heads):
        for name in sorted(answered & head.gives):
            problems.append(Problem(f"auxiliary_heads[{index - 1}]", (f'another head gives "{name}" already',)))
        answered |= head.gives
    given = on_evidence | answered
    problems += _unmet("loss", experiment.loss, given)
    for where, component in readers:
        problems += _unmet(where, component, given)
    if problems:
        raise ConfigError("experiment", problems)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass: bfloat16 where it is safe for "bf16", nothing for "fp32"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def parameter_count(parameters: Iterable[Tensor]) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in parameters)


def _unmet(where: str, component: Component, given: set[str]) -> list[Problem]:
    return [
        Problem(
            where,
            (
                f'{component.name} needs "{need}", which nothing before it gives',
                f"given: {', '.join(sorted(given)) or 'nothing'}",
            ),
        )
        for need in sorted(component.needs - given)
    ]


def _build(spec: Component, width: int, where: str) -> nn.Module:
    try:
        module = spec.build(width)  # type: ignore[attr-defined]
    except ValueError as error:
        raise ConfigError("experiment", [Problem(where, (str(error),))]) from error
    if not isinstance(module, nn.Module):
        raise ContractError(f"{_label(spec)}: build must return a torch.nn.Module, found {type(module).__name__}")
    return module


def _label(component: Component) -> str:
    return f"{component.kind} {component.name}"
