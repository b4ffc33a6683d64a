"""Evaluation on a stream whose graph is known, and the table it prints."""

import attrs
import pytest
import torch
from torch import nn

from tabscm import Draw, GraphSampler, Intervention, Loss, Mechanism, Noise, Prediction
from tabscm.engine.evaluate import evaluate, judge, render
from tabscm.engine.stream import Stream
from tabscm.kernel.experiment import Evaluation, Experiment, StreamSettings, TrainerSettings, Weighted

CPU = torch.device("cpu")


@attrs.frozen
class Chain(GraphSampler):
    """0 -> 1 -> 2 -> ..., always."""

    name = "chain"

    def sample(self, tasks, variables, rng):
        return torch.diag(torch.ones(variables - 1, dtype=torch.bool), 1).expand(tasks, -1, -1).clone()


@attrs.frozen
class Normal(Noise):
    """Standard normal."""

    name = "normal"

    def sample(self, shape, rng):
        return torch.randn(shape, generator=rng)


@attrs.frozen
class Sum(Mechanism):
    """The sum of the parents and the noise."""

    name = "sum"

    def draw(self, mask, rng):
        return lambda parents, noise: (parents * mask[:, None]).sum(-1) + noise


@attrs.frozen
class Raw(Sum):
    """The same of the parents on their own scale."""

    name = "raw"
    homogeneous = True


@attrs.frozen
class Nothing(Intervention):
    """Sets no cell."""

    name = "nothing"

    def draw(self, tasks, rows, variables, rng):
        return torch.zeros((tasks, rows, variables), dtype=torch.bool), lambda values, task, variable: values


@attrs.frozen
class Aims(Loss):
    """A loss that is never asked, and asks for effects or not."""

    name = "aims"

    def __call__(self, prediction, truth, table):
        raise NotImplementedError


@attrs.frozen
class AimsAtEffects(Aims):
    """The same, for a loss of effects."""

    name = "aims-at-effects"
    asks = frozenset({"effects"})


class Knows(nn.Module):
    """Says the chain with the given log-odds, and remembers the tables it was shown."""

    def __init__(self, log_odds=4.0):
        super().__init__()
        self.log_odds = log_odds
        self.seen = []

    def forward(self, table):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.seen.append(table.x.clone())
        batch, _, variables = table.x.shape
        chain = torch.diag(torch.ones(variables - 1), 1).expand(batch, -1, -1)
        return Prediction(logits=self.log_odds * (2 * chain - 1))


def settings(variables, **changes):
    return StreamSettings(
        variables=variables,
        rows=Draw.constant(20),
        tables=2,
        graphs=(Weighted(Chain()),),
        mechanisms=(Weighted(Sum()),),
        noises=(Weighted(Normal()),),
        interventions=(Weighted(Nothing()),),
        **changes,
    )


def experiment(*, loss=Aims(), **cells):
    return Experiment(
        embedding=None,
        encoder=None,
        head=None,
        loss=loss,
        stream=settings(Draw.constant(3)),
        trainer=TrainerSettings(steps=1),
        evaluation=Evaluation(tables=5, cells=cells),
    )


def test_every_cell_is_judged_on_exactly_as_many_tables_as_asked():
    cells = experiment(small=settings(Draw.constant(3)), mixed=settings(Draw(low=4, high=7)))
    results = evaluate(Knows(), cells, device=CPU)
    assert list(results) == ["small", "mixed"]
    for values in results.values():
        assert values["tables"] == 5  # though the stream gives two at a time
        assert (values["auroc"], values["f1"], values["shd"], values["direction"]) == (1, 1, 0, 1)
    assert results["small"]["shd_empty"] == 2
    assert evaluate(Knows(), cells, device=CPU, tables=3)["mixed"]["tables"] == 3


def test_varsortability_is_that_of_the_scale_before_standardising():
    def judged(standardise):
        stream = settings(Draw.constant(4), noise_scale=Draw.constant(1.0), standardise=standardise)
        stream = attrs.evolve(stream, rows=Draw.constant(2000), mechanisms=(Weighted(Raw()),))
        return judge(Knows(), Stream(stream, seed=0, device=CPU), tables=20)

    assert judged("after")["varsortability"] == 1  # along a chain of sums variances grow
    assert 0.2 < judged("between")["varsortability"] < 0.8  # all are 1 but for rounding


def test_a_wrong_model_is_told_so():
    values = evaluate(Knows(-4.0), experiment(), device=CPU)["stream"]
    assert (values["auroc"], values["direction"]) == (0, 0)
    assert values["log_prob_gain"] < 0


def test_the_same_fresh_tables_come_back_and_none_was_trained_on():
    first, second = Knows(), Knows()
    for model in (first, second):
        evaluate(model, experiment(), device=CPU)
    trained = Stream(settings(Draw.constant(3)), seed=0, device=CPU)
    for step, (one, other) in enumerate(zip(first.seen, second.seen, strict=True)):
        assert torch.equal(one, other)
        assert not torch.equal(one, trained.batch(step)[0].x)


def test_tables_the_stream_gave_beyond_the_count_are_not_counted():
    assert judge(Knows(), Stream(settings(Draw.constant(3)), seed=0, device=CPU), tables=1)["tables"] == 1


class Timid(Knows):
    """Knows the chain, and says so with probabilities below one half."""

    def forward(self, table):
        return Prediction(logits=super().forward(table).logits - 5.0)


def test_what_a_threshold_gives_is_reported_beside_what_one_half_gives():
    given = evaluate(Timid(), experiment(), device=CPU, threshold=0.2)["stream"]
    assert (given["threshold_chosen"], given["f1_chosen"], given["shd_chosen"]) == (0.2, 1, 0)
    assert (given["f1"], given["shd"]) == (0, given["shd_empty"])
    none = evaluate(Timid(), experiment(), device=CPU)["stream"]
    assert (none["threshold_chosen"], none["f1_chosen"], none["shd_chosen"]) == (0.5, none["f1"], none["shd"])


def test_without_a_threshold_the_best_is_chosen_on_the_tables_themselves():
    found = judge(Timid(), Stream(settings(Draw.constant(3)), seed=0, device=CPU), tables=4)
    assert torch.sigmoid(torch.tensor(-9.0)) < found["threshold_chosen"] < torch.sigmoid(torch.tensor(-1.0))
    assert (found["f1_chosen"], found["shd_chosen"]) == (1, 0)
    assert "effects_mae" not in found


class Effects(Knows):
    """Knows the chain, and says that nothing moves anything."""

    def forward(self, table):
        prediction = super().forward(table)
        return Prediction(prediction.logits, {"effects": torch.zeros_like(prediction.logits)})


def test_effects_are_judged_where_they_are_given_and_known():
    one = settings(Draw.constant(2), standardise="after")
    stream = Stream(one, seed=0, device=CPU, effects=True)
    truth = torch.cat([stream.batch(step)[1].effects for step in (0, 1)])[:3]  # [3, 2, 2]
    expected = (truth[:, 0, 1].abs().mean() + truth[:, 1, 0].abs().mean()).item() / 2
    assert expected > 0.1
    assert judge(Effects(), stream, tables=3)["effects_mae"] == pytest.approx(expected)
    assert "effects_mae" not in judge(Effects(), Stream(one, seed=0, device=CPU), tables=3)


def test_an_experiment_that_asks_for_effects_is_judged_on_them():
    cells = {"small": settings(Draw.constant(3)), "large": settings(Draw.constant(4))}
    asked, plain = Effects(), Effects()
    results = evaluate(asked, experiment(loss=AimsAtEffects(), **cells), device=CPU)
    for values in results.values():
        assert values["effects_mae"] > 0.1
    unasked = evaluate(plain, experiment(**cells), device=CPU)
    assert all("effects_mae" not in values for values in unasked.values())
    assert all(torch.equal(one, other) for one, other in zip(asked.seen, plain.seen, strict=True))


def test_what_is_printed():
    values = {
        "tables": 50.0,
        "auroc": 0.9724,
        "auroc_se": 0.0036,
        "ap": 0.851,
        "density": 0.0956,
        "f1": 0.7543,
        "shd": 8.14,
        "shd_empty": 18.2,
        "f1_chosen": 0.8012,
        "shd_chosen": 6.93,
        "threshold_chosen": 0.3148,
        "direction": 0.931,
        "log_prob_gain": 0.1216,
    }
    empty = dict.fromkeys(values, float("nan")) | {"tables": 1.0, "shd": 0.0, "shd_empty": 0.0, "f1": 0.0}
    empty |= {"f1_chosen": 0.0, "shd_chosen": 1.0, "threshold_chosen": 0.3148}
    text = render({"mixed, d = 20": values, "no edges": empty})
    assert text.split("\n\n")[0].splitlines() == [
        "               tables          AUROC             AP     F1    F1*         SHD  SHD*  direction    gain",
        "mixed, d = 20      50  0.972 ± 0.004  0.851 (0.096)  0.754  0.801  8.1 (18.2)   6.9      0.931  +0.122",
        "no edges            1              -          - (-)  0.000  0.000   0.0 (0.0)   1.0          -       -",
    ]
    legend = text.split("\n\n")[1]
    for heading in ("SHD", "SHD*", "AUROC", "AP", "F1", "F1*", "above 0.31", "direction", "gain"):
        assert heading in legend
    assert max(map(len, text.splitlines())) <= 120


def test_results_of_a_real_evaluation_can_be_printed():
    assert "1.000 ± 0.000" in render(evaluate(Knows(), experiment(), device=CPU))
    one_table = evaluate(Knows(), experiment(), device=CPU, tables=1)
    assert "stream       1  1.000  " in render(one_table)
