"""The network: embedding, encoder and heads, wired as an experiment says."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tabscm.engine.familiarity import Reference
from tabscm.engine.mixture import SHARES, Gate, asked, mixed
from tabscm.kernel.errors import ConfigError, ContractError, Problem
from tabscm.kernel.experiment import Experiment, Network
from tabscm.kernel.interfaces import EXTRAS, Component, Embedding, Evidence, Head, Prediction, Rows, Table
from tabscm.kernel.nesting import evidence_given, parts
from tabscm.kernel.shapes import expect

MAIN = "edges"
"""What the main head must give."""
PAIRS = "pairs"
"""What an embedding gives that fills `Evidence.pairs`; every other name is in `aux`."""


class Parts(nn.Module):
    """One whole network."""

    embedding: nn.Module
    encoder: nn.Module
    heads: nn.ModuleList


class Model(Parts):
    """Table -> Prediction, by one network or by several side by side, see `mixture`.

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
        problems = _unwired(experiment)
        self._wiring = _Wiring(network)
        self.gate: Gate | None = None
        try:
            if network.gate is not None and network.specialists:
                gated = self._wiring.build_one("gate", network.gate)
                self.gate = Gate(gated, network.width, len(network.specialists))
                self.specialists = nn.ModuleDict()
                for name in network.specialists:
                    self.specialists[name] = self._wiring.build_into(Parts())
            else:
                self._wiring.build_into(self)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError("experiment", problems)
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
    def not_additive(self) -> tuple[Embedding, ...]:
        """The embeddings that need a whole table: where there are any, `read` does not work."""
        return self._wiring.not_additive

    @property
    def networks(self) -> list[Parts]:
        """Its specialists or, where it has none, itself."""
        return [self] if self.gate is None else list(self.specialists.values())  # type: ignore[arg-type]

    def forward(self, table: Table) -> Prediction:
        """Predict the graph of every table of a batch.

        Raises:
            ContractError: a component returned something its interface does not allow.
        """
        tasks, variables = len(table.x), table.x.shape[2]

        def read(network: Parts, chosen: Tensor | None = None) -> Prediction:
            given = table if chosen is None else _some(table, chosen)
            return self._wiring.answer(network, network.embedding(given), len(given.x), variables)

        if self.gate is None:
            return read(self)
        log_shares = self.gate(self._wiring.checked_gate(self.gate.embedding(table), tasks, variables))
        if torch.is_grad_enabled():
            logits = []
            for network in self.networks:
                learns = any(weight.requires_grad for weight in network.parameters())
                with torch.set_grad_enabled(learns):
                    logits.append(read(network).logits)
            return Prediction(logits=mixed(torch.stack(logits), log_shares), aux={SHARES: log_shares.exp()})
        wanted = asked(log_shares)
        found = torch.zeros(len(self.specialists), tasks, variables, variables, device=table.x.device)
        for index, network in enumerate(self.networks):
            chosen = wanted[:, index].nonzero()[:, 0]
            if len(chosen):
                found[index, chosen] = read(network, None if len(chosen) == tasks else chosen).logits
        return _mixture(found, log_shares, wanted)

    def read(self, rows: Rows) -> Prediction:
        """Predict the graph of one table whose rows lie elsewhere; for embeddings that are `additive`.

        Raises:
            ContractError: as `forward`.
        """
        assert not self.not_additive

        def read(network: Parts) -> Prediction:
            evidence = network.embedding.read(rows)  # type: ignore[operator] # of a bare module
            return self._wiring.answer(network, evidence, 1, rows.variables)

        if self.gate is None:
            return read(self)
        evidence = self.gate.embedding.read(rows)  # type: ignore[operator] # of a bare module
        log_shares = self.gate(self._wiring.checked_gate(evidence, 1, rows.variables))
        wanted = asked(log_shares)
        found = torch.zeros(len(self.specialists), 1, rows.variables, rows.variables, device=log_shares.device)
        for index, network in enumerate(self.networks):
            if wanted[0, index]:
                found[index] = read(network).logits
        return _mixture(found, log_shares, wanted)


class _Wiring:
    """How the parts of a network are built, and how they hand on what they find."""

    def __init__(self, network: Network) -> None:
        self.width = network.width
        self.embedding, self.encoder, self.gate = network.embedding, network.encoder, network.gate
        embedded = evidence_given(network.embedding)
        self.given = {"embedding": embedded, "encoder": embedded | evidence_given(network.encoder)}
        self.heads = _heads(network)

    @property
    def not_additive(self) -> tuple[Embedding, ...]:
        """The embeddings that cannot read rows that lie elsewhere."""
        return tuple(spec for spec in (self.embedding, self.gate) if spec is not None and not spec.additive)

    def build_into(self, holder: Parts) -> Parts:
        """Give `holder` an embedding, an encoder and heads, new ones, and give it back.

        Raises:
            ConfigError: one of them cannot be built at this width; names all that cannot.
        """
        modules: dict[str, nn.Module] = {}
        problems: list[Problem] = []
        for where, spec in {"embedding": self.embedding, "encoder": self.encoder, **self.heads}.items():
            try:
                modules[where] = self.build_one(where, spec)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError("experiment", problems)
        holder.embedding = modules["embedding"]
        holder.encoder = modules["encoder"]
        holder.heads = nn.ModuleList(modules[where] for where in self.heads)
        return holder

    def build_one(self, where: str, spec: Component) -> nn.Module:
        """The module of the component at the key `where`."""
        try:
            module = spec.build(self.width)  # type: ignore[attr-defined]
        except ValueError as error:
            raise ConfigError("experiment", [Problem(where, (str(error),))]) from None
        if not isinstance(module, nn.Module):
            raise ContractError(f"{_label(spec)}: build must return a torch.nn.Module, found {type(module).__name__}")
        return module

    def answer(self, network: Parts, found: object, tasks: int, variables: int) -> Prediction:
        """What follows from what the embedding of a network returned."""
        evidence = self._checked(found, self.embedding, tasks, variables, self.given["embedding"])
        evidence = network.encoder(evidence)
        evidence = self._checked(evidence, self.encoder, tasks, variables, self.given["encoder"])
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

    def checked_gate(self, found: object, tasks: int, variables: int) -> Evidence:
        """What the embedding of the gate returned, when it is evidence of such tables."""
        assert self.gate is not None
        return self._checked(found, self.gate, tasks, variables, evidence_given(self.gate))

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


def _mixture(logits: Tensor, log_shares: Tensor, wanted: Tensor) -> Prediction:
    """What specialists say together, [K, B, D, D], of whom those `wanted` [B, K] were asked."""
    log_shares = log_shares.masked_fill(~wanted, -torch.inf)
    return Prediction(logits=mixed(logits, log_shares), aux={SHARES: log_shares.softmax(-1)})


def _some(table: Table, chosen: Tensor) -> Table:
    return Table(table.x[chosen], table.intervened[chosen], table.observed[chosen])


def read_as(model: Model, prediction: Prediction) -> dict[str, float]:
    """How far each specialist was believed that was asked about the first table, the most first; {} of one network."""
    if SHARES not in prediction.aux:
        return {}
    shares = zip(model.specialists, prediction.aux[SHARES][0].tolist(), strict=True)
    return {name: share for name, share in sorted(shares, key=lambda one: -one[1]) if share > 0}


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
    if bool(experiment.specialists) != (experiment.gate is not None):
        line = 'of several networks needs what reads a table for it, such as { use = "cross-moment", steps = 0 }'
        alone = "chooses among specialists, and there are none; name at least two, or leave it out"
        problems.append(Problem("gate", (line if experiment.specialists else alone,)))
    if experiment.specialists and experiment.auxiliary_heads:
        problems.append(
            Problem("auxiliary_heads", ("what specialists answer beyond edges is not mixed; leave them out",))
        )
    if experiment.gate is not None:
        problems += _unmet("gate", experiment.gate, set())
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
    if experiment.trainer.train == "gate" and experiment.gate is None:
        problems.append(Problem("trainer.train", ("there is no gate to train; leave it out",)))
    given = (on_evidence - {PAIRS}) | answered  # a prediction holds no pairs
    if experiment.gate is not None:
        given = {MAIN, SHARES}  # what is particular to one of several networks is not mixed
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
