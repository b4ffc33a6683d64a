"""The network: embedding, encoder and heads, wired as an experiment says."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tabscm.engine.familiarity import Reference
from tabscm.kernel.errors import ConfigError, ContractError, Problem
from tabscm.kernel.experiment import Experiment, Network
from tabscm.kernel.interfaces import EXTRAS, Component, Embedding, Evidence, Head, Prediction, Rows, Table
from tabscm.kernel.nesting import evidence_given, parts
from tabscm.kernel.shapes import expect

MAIN = "edges"
"""What the main head must give."""
PAIRS = "pairs"
"""What an embedding gives that fills `Evidence.pairs`; every other name is in `aux`."""


class Model(nn.Module):
    """Table -> Prediction.

    Args:
        experiment: its network is built, and has to give what the losses need; of a network alone, trained before,
            nobody asks that.

    Raises:
        ConfigError: components that need something that no other gives, or cannot be built at this width.
        ContractError: a component built something other than a module.
    """

    def __init__(self, experiment: Experiment | Network) -> None:
        super().__init__()
        network = experiment.network if isinstance(experiment, Experiment) else experiment
        self.width = network.width
        self.specs = {"embedding": network.embedding, "encoder": network.encoder}
        embedded = evidence_given(network.embedding)
        self.given = {"embedding": embedded, "encoder": embedded | evidence_given(network.encoder)}
        self.head_specs = (network.head, *network.auxiliary_heads)
        problems = _unwired(experiment)
        modules: dict[str, nn.Module] = {}
        for where, spec in {**self.specs, **_heads(network)}.items():
            try:
                modules[where] = _build(spec, network.width)
            except ValueError as error:
                problems.append(Problem(where, (str(error),)))
        if problems:
            raise ConfigError("experiment", problems)
        self.embedding = modules["embedding"]
        self.encoder = modules["encoder"]
        self.heads = nn.ModuleList(modules[where] for where in _heads(network))
        sizes, rows = network.variables, network.rows
        self.trained_variables = (round(sizes.least), round(sizes.most))
        self.trained_rows = (round(rows.least), round(rows.most))
        self.threshold = 0.5
        """The probability above which edges were best in validation; 0.5 where none was chosen."""
        self.sha256: str | None = None
        """Of the file that the weights were read from."""
        self.reference: Reference | None = None
        """What the tables of its training look like; None where nobody looked."""

    @property
    def max_variables(self) -> int:
        """Most variables it takes: beyond five times the largest table of its training nothing is known of it."""
        return 5 * self.trained_variables[1]

    @property
    def additive(self) -> bool:
        """Whether `read` works, too."""
        embedding = self.specs["embedding"]
        return isinstance(embedding, Embedding) and embedding.additive

    def forward(self, table: Table) -> Prediction:
        """Predict the graph of every table of a batch.

        Raises:
            ContractError: a component returned something its interface does not allow.
        """
        return self._answers(self.embedding(table), len(table.x), table.x.shape[2])

    def read(self, rows: Rows) -> Prediction:
        """Predict the graph of one table whose rows lie elsewhere; for embeddings that are `additive`.

        Raises:
            ContractError: as `forward`.
        """
        assert self.additive
        return self._answers(self.embedding.read(rows), 1, rows.variables)  # type: ignore[operator] # of a bare module

    def _answers(self, found: object, tasks: int, variables: int) -> Prediction:
        """What follows from what the embedding returned."""
        embedding, encoder = self.specs["embedding"], self.specs["encoder"]
        evidence = self._checked(found, embedding, tasks, variables, self.given["embedding"])
        evidence = self._checked(self.encoder(evidence), encoder, tasks, variables, self.given["encoder"])
        aux = dict(evidence.aux)
        for spec, head in zip(self.head_specs, self.heads, strict=True):
            answers = _named_tensors(head(evidence), _label(spec))
            if set(answers) != spec.gives:
                raise ContractError(f"{_label(spec)}: expected {sorted(spec.gives)}, found {sorted(answers)}")
            _expect_extras(answers, tasks, variables, _label(spec))
            aux |= answers
        logits = aux.pop(MAIN)
        expect(logits, "B D D", what=_label(self.head_specs[0]), B=tasks, D=variables)
        return Prediction(logits=logits.float(), aux=aux)

    def _checked(
        self, evidence: object, spec: Component, tasks: int, variables: int, given: frozenset[str]
    ) -> Evidence:
        """What an embedding or encoder returned, when it is evidence of such tables and holds all that was `given`."""
        label = _label(spec)
        if not isinstance(evidence, Evidence):
            raise ContractError(f"{label}: expected Evidence, found {type(evidence).__name__}")
        expect(evidence.nodes, "B D E", what=f"{label}: nodes", B=tasks, D=variables, E=self.width)
        if evidence.pairs is not None:
            expect(evidence.pairs, "B D D E", what=f"{label}: pairs", B=tasks, D=variables, E=self.width)
        aux = _named_tensors(evidence.aux, f"{label}: aux")
        _expect_extras(aux, tasks, variables, label)
        missing = sorted(name for name in given if (evidence.pairs is None if name == PAIRS else name not in aux))
        if missing:
            raise ContractError(f"{label}: expected {', '.join(missing)} in the evidence, found none")
        return evidence


def check_wiring(experiment: Experiment) -> None:
    """Check that whatever one component needs another one gives.

    Raises:
        ConfigError: names every component with an unmet need, and what is there.
    """
    problems = _unwired(experiment)
    if problems:
        raise ConfigError("experiment", problems)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass: bfloat16 where it is safe for "bf16", nothing for "fp32", and for "auto" whichever
    of the two is fast on `device`, see `resolved`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=resolved(precision, device) == "bf16")


def resolved(precision: str, device: torch.device) -> str:
    """The precision that "auto" means on `device`: "bf16" where its arithmetic has bfloat16, else "fp32".

    A CPU without it computes bfloat16 all the same, several times slower than float32.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def parameter_count(parameters: Iterable[Tensor]) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in parameters)


def _unwired(experiment: Experiment | Network) -> list[Problem]:
    """Every need that nothing meets, by the key of the component that has it."""
    problems = []
    if MAIN not in experiment.head.gives:
        problems.append(Problem("head", (f'the main head must give "{MAIN}"; {experiment.head.name} does not',)))
    on_evidence: set[str] = set()
    for where, reader in (("embedding", experiment.embedding), ("encoder", experiment.encoder)):
        problems += _unmet(where, reader, on_evidence)
        on_evidence |= evidence_given(reader)
    answered: set[str] = set()
    for where, head in _heads(experiment).items():
        problems += _unmet(where, head, on_evidence)
        problems += [
            Problem(where, (f'another head gives "{name}" already',)) for name in sorted(answered & head.gives)
        ]
        answered |= head.gives
    if isinstance(experiment, Network):
        return problems
    given = (on_evidence - {PAIRS}) | answered  # a prediction holds no pairs
    problems += _unmet("loss", experiment.loss, given)
    for index, loss in enumerate(experiment.auxiliary_losses):
        problems += _unmet(f"auxiliary_losses[{index}]", loss.component, given)
    for index, regulariser in enumerate(experiment.regularisers):
        problems += _unmet(f"regularisers[{index}]", regulariser.component, given)
    return problems


def _heads(experiment: Experiment | Network) -> dict[str, Head]:
    """Every head by its key, the main one first."""
    others = {f"auxiliary_heads[{index}]": head for index, head in enumerate(experiment.auxiliary_heads)}
    return {"head": experiment.head, **others}


def _unmet(where: str, component: Component, given: set[str]) -> list[Problem]:
    """The needs of a component, and of those inside it, that nothing meets; those inside see also what it gives."""
    problems = [
        Problem(
            where,
            (
                f'{component.name} needs "{need}", which nothing before it gives',
                f"given: {', '.join(sorted(given)) or 'nothing'}",
            ),
        )
        for need in sorted(component.needs - given)
    ]
    for key, part in parts(component):
        problems += _unmet(f"{where}.{key}", part, given | component.gives)
    return problems


def _build(spec: Component, width: int) -> nn.Module:
    module = spec.build(width)  # type: ignore[attr-defined]
    if not isinstance(module, nn.Module):
        raise ContractError(f"{_label(spec)}: build must return a torch.nn.Module, found {type(module).__name__}")
    return module


def _named_tensors(found: object, what: str) -> Mapping[str, Tensor]:
    if not isinstance(found, Mapping):
        raise ContractError(f"{what}: expected a dict of tensors, found {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ContractError(f"{what}: expected a tensor as {name}, found {type(value).__name__}")
    return found


def _expect_extras(found: Mapping[str, Tensor], tasks: int, variables: int, what: str) -> None:
    """Check the shapes of those names that components of different kinds agree on."""
    for name in found.keys() & EXTRAS.keys():
        expect(found[name], EXTRAS[name], what=f"{what}: {name}", B=tasks, D=variables)


def _label(component: Component) -> str:
    return f"{component.kind} {component.name}"
