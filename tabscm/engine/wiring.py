"""What a network is made of, and how its parts hand on what they find."""

from collections.abc import Mapping

from torch import Tensor, nn

from tabscm.engine.mixture import BELIEFS, EACH
from tabscm.kernel.errors import ConfigError, ContractError, Problem, did_you_mean
from tabscm.kernel.experiment import Experiment, Network
from tabscm.kernel.interfaces import EXTRAS, Component, Evidence, Head, Prediction
from tabscm.kernel.nesting import evidence_given, parts
from tabscm.kernel.shapes import expect

MAIN = "edges"
"""What the main head must give."""
PAIRS = "pairs"
"""What an embedding gives that fills `Evidence.pairs`; every other name is in `aux`."""


class Parts(nn.Module):
    """What a network is made of; see `Wiring.fill`."""

    embedding: nn.Module
    encoder: nn.Module
    heads: nn.ModuleList


class Wiring:
    """How the parts of a network are built, and how they hand on what they find.

    Args:
        network: says which components.
        specialist: of several networks, the name of this one.
    """

    def __init__(self, network: Network, specialist: str = "") -> None:
        self.width = network.width
        self.where, self.embedding = "embedding", network.embedding
        if specialist in network.embeddings:
            self.where, self.embedding = _own(specialist), network.embeddings[specialist]
        self.encoder = network.encoder
        embedded = evidence_given(self.embedding)
        self.given = {"embedding": embedded, "encoder": embedded | evidence_given(network.encoder)}
        self.heads = _heads(network)

    def fill(self, holder: Parts) -> Parts:
        """Give `holder` an embedding, an encoder and heads, new ones, and give it back.

        Raises:
            ConfigError: some of them cannot be built at this width; names all of those.
            ContractError: a component built something other than a module.
        """
        modules: dict[str, nn.Module] = {}
        problems: list[Problem] = []
        for where, spec in {self.where: self.embedding, "encoder": self.encoder, **self.heads}.items():
            try:
                modules[where] = build(where, spec, self.width)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError("experiment", problems)
        holder.embedding = modules[self.where]
        holder.encoder = modules["encoder"]
        holder.heads = nn.ModuleList(modules[where] for where in self.heads)
        return holder

    def answer(self, network: Parts, found: object, tasks: int, variables: int) -> Prediction:
        """What follows from what the embedding of a network returned.

        Raises:
            ContractError: a component returned something its interface does not allow.
        """
        evidence = checked(found, self.embedding, tasks, variables, self.width, self.given["embedding"])
        evidence = network.encoder(evidence)
        evidence = checked(evidence, self.encoder, tasks, variables, self.width, self.given["encoder"])
        aux = dict(evidence.aux)
        for spec, head in zip(self.heads.values(), network.heads, strict=True):
            answers = _named_tensors(head(evidence), _label(spec))
            if set(answers) != spec.gives:
                raise ContractError(f"{_label(spec)}: expected {sorted(spec.gives)}, found {sorted(answers)}")
            _expect_extras(answers, tasks, variables, _label(spec))
            aux |= answers
        logits = aux.pop(MAIN)
        expect(logits, "B D D", what=_label(self.heads["head"]), B=tasks, D=variables)
        return Prediction(logits=logits.float(), aux=aux)


def build(where: str, spec: Component, width: int) -> nn.Module:
    """The module of the component at the key `where`.

    Raises:
        ConfigError: it cannot be built at this width.
        ContractError: it is something other than a module.
    """
    try:
        module = spec.build(width)  # type: ignore[attr-defined]
    except ValueError as error:
        raise ConfigError("experiment", [Problem(where, (str(error),))]) from None
    if not isinstance(module, nn.Module):
        raise ContractError(f"{_label(spec)}: build must return a torch.nn.Module, found {type(module).__name__}")
    return module


def checked(
    evidence: object, spec: Component, tasks: int, variables: int, width: int, given: frozenset[str]
) -> Evidence:
    """What an embedding or encoder returned, when it is evidence of such tables and holds all that was `given`.

    Raises:
        ContractError: it is something else.
    """
    label = _label(spec)
    if not isinstance(evidence, Evidence):
        raise ContractError(f"{label}: expected Evidence, found {type(evidence).__name__}")
    expect(evidence.nodes, "B D E", what=f"{label}: nodes", B=tasks, D=variables, E=width)
    if evidence.pairs is not None:
        expect(evidence.pairs, "B D D E", what=f"{label}: pairs", B=tasks, D=variables, E=width)
    aux = _named_tensors(evidence.aux, f"{label}: aux")
    _expect_extras(aux, tasks, variables, label)
    missing = sorted(name for name in given if (evidence.pairs is None if name == PAIRS else name not in aux))
    if missing:
        raise ContractError(f"{label}: expected {', '.join(missing)} in the evidence, found none")
    return evidence


def unwired(experiment: Experiment | Network) -> list[Problem]:
    """Every need that nothing meets, by the key of the component that has it; of an experiment also those of losses and
    regularisers."""
    problems = _of_gate(experiment)
    if MAIN not in experiment.head.gives:
        problems.append(Problem("head", (f'the main head must give "{MAIN}"; {experiment.head.name} does not',)))
    on_evidence: set[str] = set()
    embeddings = {"embedding": experiment.embedding, **{_own(name): own for name, own in experiment.embeddings.items()}}
    for place, embedding in reversed(embeddings.items()):  # that of all comes last, and says what losses may read
        on_evidence = set()
        unmet = []
        for where, reader in ((place, embedding), ("encoder", experiment.encoder)):
            unmet += _unmet(where, reader, on_evidence)
            on_evidence |= evidence_given(reader)
        for where, head in _heads(experiment).items():
            unmet += _unmet(where, head, on_evidence)
        behind = () if place == "embedding" else (f"behind {place}",)
        problems += [Problem(problem.where, (*problem.lines, *behind)) for problem in unmet]
    answered: set[str] = set()
    for where, head in _heads(experiment).items():
        problems += [
            Problem(where, (f'another head gives "{name}" already',)) for name in sorted(answered & head.gives)
        ]
        answered |= head.gives
    if isinstance(experiment, Network):
        return problems
    given = (on_evidence - {PAIRS}) | answered  # a prediction holds no pairs
    if experiment.gate is not None:
        given = {MAIN, BELIEFS, EACH}  # nothing that is particular to one of several networks
    problems += _unmet("loss", experiment.loss, given)
    for index, loss in enumerate(experiment.auxiliary_losses):
        problems += _unmet(f"auxiliary_losses[{index}]", loss.component, given)
    for index, regulariser in enumerate(experiment.regularisers):
        problems += _unmet(f"regularisers[{index}]", regulariser.component, given)
    return problems


def _of_gate(experiment: Experiment | Network) -> list[Problem]:
    """What is wrong with the choice among several networks."""
    problems = []
    if experiment.specialists and experiment.gate is None:
        line = (
            "there is none, and specialists are named: say what reads a table to choose among them, such as "
            '{ use = "cross-moment", steps = 0 }'
        )
        problems.append(Problem("gate", (line,)))
    if experiment.gate is not None:
        problems += _unmet("gate", experiment.gate, set())
        if not experiment.specialists:
            line = "chooses among specialists, and none are named; name at least two, or leave the gate out"
            problems.append(Problem("gate", (line,)))
    named = [
        *((_own(name), name) for name in experiment.embeddings),
        *(("mirrored", name) for name in experiment.mirrored),
    ]
    for where, name in named:
        if name not in experiment.specialists:
            names = ", ".join(experiment.specialists) or "none, for `specialists` names none"
            there = f"there are: {names}"
            line = f'no specialist is called "{name}".{did_you_mean(name, experiment.specialists)}'
            problems.append(Problem(where, (line, there)))
    if experiment.specialists and experiment.auxiliary_heads:
        line = "specialists are mixed in their edges alone; leave out auxiliary heads, or specialists"
        problems.append(Problem("auxiliary_heads", (line,)))
    if isinstance(experiment, Experiment) and experiment.trainer.train == "gate" and experiment.gate is None:
        line = '"gate" trains the gate alone, and there is none; name specialists and a gate, or leave it out'
        problems.append(Problem("trainer.train", (line,)))
    return problems


def _own(specialist: str) -> str:
    """The key of the embedding of one specialist."""
    return f"embeddings.{specialist}"


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
