"""The network: embedding, encoder and heads, wired as an experiment says; or several of them, and a gate."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tabscm.engine import mirrors
from tabscm.engine.familiarity import Reference
from tabscm.engine.mixture import BELIEFS, EACH, Gate, asked, mixed
from tabscm.engine.wiring import Parts, Wiring, build, checked, unwired
from tabscm.kernel.errors import ConfigError, TabSCMError
from tabscm.kernel.experiment import Experiment, Network
from tabscm.kernel.interfaces import Embedding, Evidence, Prediction, Rows, Table
from tabscm.kernel.nesting import evidence_given


class Model(Parts):
    """Table -> Prediction, by one network or by several side by side, see `mixture`.

    Of one network the parts are its own; of several, each is `Parts` of its own in `specialists`.

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
        problems = unwired(experiment)
        self._wirings = [Wiring(network, name) for name in network.specialists or [""]]
        self._gate = network.gate
        self.mirrored = network.mirrored
        """Specialists that read images of tables, see `mirrors`."""
        self.gate: Gate | None = None
        self._alone: int | None = None
        self._gate_alone = isinstance(experiment, Experiment) and experiment.trainer.train == "gate"
        if network.specialists:
            self.specialists = nn.ModuleDict()
        for name, wiring in zip(network.specialists or [""], self._wirings, strict=True):
            try:
                filled = wiring.fill(Parts() if name else self)
            except ConfigError as error:
                problems += [problem for problem in error.problems if problem not in problems]
            else:
                if name:
                    self.specialists[name] = filled.requires_grad_(not self._gate_alone)
        try:
            if network.gate is not None and network.specialists:
                gated = build("gate", network.gate, network.width)
                self.gate = Gate(gated, network.width, len(network.specialists))
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
        specs = (*(wiring.embedding for wiring in self._wirings), self._gate)
        return tuple(spec for spec in specs if spec is not None and not spec.additive)

    @property
    def networks(self) -> list[Parts]:
        """Its specialists or, where it has none, itself."""
        return [self] if self.gate is None else list(self.specialists.values())  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> "Model":
        """As of any module; specialists that do not learn stay in evaluation mode, or dropout would teach the gate."""
        super().train(mode)
        if self._gate_alone:
            self.specialists.eval()
        return self

    @property
    def alone(self) -> str:
        """The specialist that is asked alone; "" where the gate says who is asked."""
        return "" if self._alone is None else list(self.specialists)[self._alone]

    def ask_alone(self, specialist: str) -> None:
        """From here on ask this specialist alone about any table, whatever the gate would say; not in training."""
        self._alone = list(self.specialists).index(specialist)

    def chosen_threshold(self) -> float:
        """The probability above which edges were best in validation.

        Raises:
            TabSCMError: one specialist is asked alone, for which nobody chose one.
        """
        if self.alone:
            raise TabSCMError(
                f'threshold "chosen": validation chose one for all networks together, and none for {self.alone} '
                "alone; give a number"
            )
        return self.threshold

    def forward(self, table: Table) -> Prediction:
        """Predict the graph of every table of a batch.

        In training mode all specialists are asked about all tables, else only those that are believed, or the one that
        is asked alone. Those that are mirrored are asked about images of the tables, too, but where they learn.

        Raises:
            ContractError: a component returned something its interface does not allow.
        """
        tasks, variables = len(table.x), table.x.shape[2]

        def logits_of(index: int, given: Table) -> Tensor:
            network = self.networks[index]
            return self._wirings[index].answer(network, network.embedding(given), len(given.x), variables).logits

        def answer(index: int, chosen: Tensor | None) -> Tensor:
            given = table if chosen is None else table.of_tasks(chosen)
            some = self._images(index, *given.x.shape[1:])
            if some == 1:
                return logits_of(index, given)
            signs = mirrors.draw(mirrors.joint_moments(given), some)  # [K, b, D]
            # of one table all at once, for time; of a batch one after the other, for memory
            parts = [signs] if len(given.x) == 1 else signs[:, None]
            found = torch.cat([logits_of(index, mirrors.images(given, part)) for part in parts])  # [K b, D, D]
            return found.view(*signs.shape, variables).mean(0)  # [b, D, D]

        if self.gate is None:
            return self._wirings[0].answer(self, self.embedding(table), tasks, variables)
        if self._alone is not None and not self.training:
            return self._of_asked(self._certain(tasks, table.x.device), table.x.shape[1], variables, answer)
        log_shares = self.gate(self._checked(self.gate.embedding(table), tasks, variables))
        if not self.training:
            return self._of_asked(log_shares, table.x.shape[1], variables, answer)
        ask = answer if self._gate_alone else lambda index, _: logits_of(index, table)
        logits = torch.stack([ask(index, None) for index in range(len(self.specialists))])
        return Prediction(logits=mixed(logits, log_shares), aux={BELIEFS: log_shares, EACH: logits.transpose(0, 1)})

    def read(self, rows: Rows) -> Prediction:
        """Predict the graph of one table whose rows lie elsewhere; for embeddings that are `additive`.

        Raises:
            ContractError: as `forward`.
        """
        assert not self.not_additive
        variables = rows.variables

        def logits_of(index: int, given: Rows) -> Tensor:
            network = self.networks[index]
            evidence = network.embedding.read(given)  # type: ignore[operator] # of a bare module
            return self._wirings[index].answer(network, evidence, 1, variables).logits

        def answer(index: int, _: Tensor | None) -> Tensor:
            some = self._images(index, rows.count, variables)
            if some == 1:
                return logits_of(index, rows)
            signs = mirrors.draw(mirrors.joint_moments_elsewhere(rows), some)[:, 0]  # [K, D]
            found = torch.stack([logits_of(index, mirrors.Mirrored(rows, one)) for one in signs])  # [K, 1, D, D]
            return found.mean(0)  # [1, D, D]

        if self.gate is None:
            return self._wirings[0].answer(self, self.embedding.read(rows), 1, variables)  # type: ignore[operator]
        if self._alone is not None:
            return self._of_asked(self._certain(1, torch.device("cpu")), rows.count, variables, answer)
        evidence = self.gate.embedding.read(rows)  # type: ignore[operator] # of a bare module
        log_shares = self.gate(self._checked(evidence, 1, variables))
        return self._of_asked(log_shares, rows.count, variables, answer)

    def _images(self, index: int, rows: int, variables: int) -> int:
        """How many images of a table of this size a specialist reads."""
        symmetric = list(self.specialists)[index] in self.mirrored
        return mirrors.count(rows, variables) if symmetric else 1

    def _checked(self, found: object, tasks: int, variables: int) -> Evidence:
        """What the embedding of the gate returned."""
        assert self._gate is not None
        return checked(found, self._gate, tasks, variables, self._wirings[0].width, evidence_given(self._gate))

    def _certain(self, tasks: int, device: torch.device) -> Tensor:
        """What a gate would say that believes the one that is asked alone: [B, X]."""
        assert self._alone is not None
        shares = torch.full((tasks, len(self.specialists)), -torch.inf, device=device)
        shares[:, self._alone] = 0.0
        return shares

    def _of_asked(
        self, log_shares: Tensor, rows: int, variables: int, answer: Callable[[int, Tensor | None], Tensor]
    ) -> Prediction:
        """What those say together that are asked; `answer` says what one of them does, by its place, of some tasks [b]
        int64, None for all."""
        tasks = len(log_shares)
        wanted = asked(log_shares, rows)
        logits = torch.zeros(len(self.specialists), tasks, variables, variables, device=log_shares.device)
        for index in range(len(self.specialists)):
            chosen = wanted[:, index].nonzero()[:, 0]
            if len(chosen):
                logits[index, chosen] = answer(index, None if len(chosen) == tasks else chosen)
        log_shares = log_shares.masked_fill(~wanted, -torch.inf)
        return Prediction(logits=mixed(logits, log_shares), aux={BELIEFS: log_shares})


def read_as(model: Model, prediction: Prediction) -> dict[str, float]:
    """How far each specialist was believed that was asked about the first table, the most first; {} of one network, and
    of one that was asked alone."""
    if not isinstance(model, Model) or model.gate is None or model.alone:
        return {}
    shares = zip(model.specialists, prediction.aux[BELIEFS][0].exp().tolist(), strict=True)
    return {name: share for name, share in sorted(shares, key=lambda one: -one[1]) if share > 0}


def check_wiring(experiment: Experiment) -> None:
    """Check that whatever one component needs another one gives.

    Raises:
        ConfigError: names every component with an unmet need, and what is there.
    """
    problems = unwired(experiment)
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
