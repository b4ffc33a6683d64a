"""Training: learns, writes down what it did, and resumes as if nothing had happened."""

import io
import json

import attrs
import pytest
import torch

from tabscm import ContractError, Loss, Ramp, Regulariser, TrainingError
from tabscm.engine.checkpoint import restore
from tabscm.engine.trainer import loss_terms, train
from tabscm.kernel.experiment import Weighted
from tabscm.kernel.interfaces import Prediction, Table, Truth

CPU = torch.device("cpu")


@attrs.frozen
class Explosive(Loss):
    """Zero until a batch of five variables comes, then infinite."""

    name = "explosive"

    def __call__(self, prediction, truth, table):
        value = float("inf") if table.x.shape[2] == 5 else 0.0
        return prediction.logits.mean((1, 2)) * 0 + value


@attrs.frozen
class Steep(Loss):
    """Zero, with a gradient that is not a number."""

    name = "steep"

    def __call__(self, prediction, truth, table):
        return (prediction.logits.mean((1, 2)) * 0).sqrt()


@attrs.frozen
class Scalar(Regulariser):
    """Forgets that every task has its own penalty."""

    name = "scalar"

    def __call__(self, prediction):
        return prediction.logits.mean()


@attrs.frozen
class One(Regulariser):
    """One for every task."""

    name = "one"

    def __call__(self, prediction):
        return torch.ones(len(prediction.logits))


def steps(experiment, count, **changes):
    return attrs.evolve(experiment, trainer=attrs.evolve(experiment.trainer, steps=count, **changes))


def run(experiment, folder, **options):
    folder.mkdir(exist_ok=True)
    out = io.StringIO()
    train(experiment, folder, device=CPU, out=out, **options)
    return out.getvalue()


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_writes_metrics_checkpoints_and_events(tiny, tmp_path):
    printed = run(tiny, tmp_path)
    records = lines(tmp_path)
    assert [record["step"] for record in records if record["kind"] == "train"] == list(range(1, 21))
    assert [record["step"] for record in records if record["kind"] == "validation"] == [10, 20]
    needed = {"loss", "log_prob_gain", "auroc", "grad_norm", "lr", "tables_per_second", "variables", "rows"}
    assert needed <= set(records[0])
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000020"]
    assert [line.split("  ")[0] for line in printed.splitlines()[1:]] == ["step 10/20", "step 20/20"]
    for part in ("loss", "gain", "AUROC", "tables/s", "left"):
        assert part in printed


def test_learns(tiny, tmp_path):
    run(steps(tiny, 150, validate_every=150, muon_lr=0.02), tmp_path)
    final = lines(tmp_path)[-1]
    assert final["kind"] == "validation"
    assert final["log_prob_gain"] > 0
    assert final["auroc"] > 0.6


def test_a_resumed_run_is_the_run_that_would_have_been(tiny, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(tiny, whole)
    # the same schedule, cut short after its first checkpoint
    parts.mkdir()
    with pytest.raises(Interrupted):
        train(tiny, parts, device=CPU, out=StopAfter("step 10/20"))
    assert restore(parts, "last")[2].step == 10
    run(tiny, parts, resume=True)
    expected, found = restore(whole, "last"), restore(parts, "last")
    for index in (0, 1):
        assert expected[index].keys() == found[index].keys()
        for name, value in expected[index].items():
            assert torch.equal(value, found[index][name]), name
    assert expected[2].best_gain == found[2].best_gain
    clock = {"tables_per_second"}
    strip = [[{k: v for k, v in line.items() if k not in clock} for line in lines(folder)] for folder in (whole, parts)]
    assert strip[0] == strip[1]


class Interrupted(Exception):
    pass


class StopAfter(io.StringIO):
    """A terminal that pulls the plug after a certain line."""

    def __init__(self, mark):
        super().__init__()
        self.mark = mark

    def write(self, text):
        if self.mark in text:
            raise Interrupted
        return super().write(text)


def test_accumulated_batches_make_one_step(tiny, tmp_path):
    run(steps(tiny, 4, accumulate=3, validate_every=4), tmp_path)
    assert [record["step"] for record in lines(tmp_path) if record["kind"] == "train"] == [1, 2, 3, 4]


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"optimiser": "adamw"}])
def test_other_ways_to_train(tiny, tmp_path, changes):
    run(steps(tiny, 6, validate_every=6, **changes), tmp_path)
    assert all(record["loss"] < 2 for record in lines(tmp_path) if record["kind"] == "train")


def test_a_loss_that_is_not_finite_stops_at_once_and_is_named(tiny, tmp_path):
    exploding = attrs.evolve(tiny, auxiliary_losses=(Weighted(Explosive()),))
    with pytest.raises(TrainingError) as refusal:
        run(exploding, tmp_path)
    step = len(lines(tmp_path))
    assert str(refusal.value) == (
        f"step {step}: the term explosive is not finite. The tables of that step: "
        f"Stream(experiment.stream, seed=0, device=...).batch({step}). "
        "The last checkpoint is from before; lower trainer.lr or trainer.clip and use --resume."
    )


def test_with_accumulation_the_part_is_named_too(tiny, tmp_path):
    exploding = attrs.evolve(steps(tiny, 4, accumulate=8), auxiliary_losses=(Weighted(Explosive()),))
    with pytest.raises(TrainingError, match=r"the term explosive is not finite\. .*\.batch\(0, \d\)\."):
        run(exploding, tmp_path)


def test_a_gradient_that_is_not_finite_stops_at_once(tiny, tmp_path):
    with pytest.raises(TrainingError, match=r"^step 0: every term is finite, but the norm of their gradient is nan\. "):
        run(attrs.evolve(tiny, auxiliary_losses=(Weighted(Steep()),)), tmp_path)


def example():
    adj = torch.tensor([[[False, True], [False, False]]])
    table = Table(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2, dtype=bool), torch.ones(1, 4, 2, dtype=bool))
    return Prediction(torch.zeros(1, 2, 2)), Truth(adj), table


def test_weights_of_terms_may_move_with_the_steps(tiny):
    entry = Weighted(One(), Ramp(start=0.0, end=2.0, steps=10))
    experiment = attrs.evolve(tiny, regularisers=(entry,))
    assert [float(loss_terms(experiment, step, *example())["one"]) for step in (0, 5, 10, 99)] == [0.0, 1.0, 2.0, 2.0]


def test_a_term_without_one_number_per_task_is_named(tiny):
    experiment = attrs.evolve(tiny, regularisers=(Weighted(Scalar()),))
    with pytest.raises(ContractError) as refusal:
        loss_terms(experiment, 0, *example())
    assert str(refusal.value) == "regulariser scalar: expected shape [B=1], found []"
