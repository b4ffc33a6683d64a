"""Training: learns, writes down what it did, and resumes as if nothing had happened."""

import csv
import io
import json
import re

import attrs
import pytest
import torch

from tabscm import ContractError, Draw, Loss, Ramp, Regulariser, TrainingError
from tabscm.engine import trainer
from tabscm.engine.checkpoint import restore
from tabscm.engine.loading import load_run
from tabscm.engine.model import Model
from tabscm.engine.runs import prepare
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms, train
from tabscm.kernel.experiment import EarlyStopping, Level, Weighted
from tabscm.kernel.interfaces import Prediction, Table, Truth

CPU = torch.device("cpu")
CLOCK = {"tables_per_second", "step_seconds", "stream_share"}


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


CLOCK = {"tables_per_second", "step_seconds", "stream_share"}
"""What a log says of time, which no two runs share."""


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def rows(folder):
    with (folder / "training_log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_writes_metrics_checkpoints_and_events(tiny, tmp_path):
    printed = run(tiny, tmp_path)
    records = lines(tmp_path)
    assert [record["step"] for record in records if record["kind"] == "train"] == list(range(1, 21))
    assert [record["step"] for record in records if record["kind"] == "validation"] == [10, 20]
    needed = {"loss", "log_prob_gain", "auroc_pooled", "grad_norm", "lr", "tables_per_second", "variables", "rows"}
    assert needed <= set(records[0])
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000020"]
    assert [line.split("  ")[0] for line in printed.splitlines()[1:]] == ["step 10/20", "step 20/20"]
    for part in ("loss", "gain", "AUROC", "tables/s", "left"):
        assert part in printed


def test_learns(tiny, tmp_path):
    run(steps(tiny, 150, validate_every=150, muon_lr=0.02), tmp_path)
    (final,) = [record for record in lines(tmp_path) if record["kind"] == "validation"]
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
    strip = [[{k: v for k, v in line.items() if k not in CLOCK} for line in lines(folder)] for folder in (whole, parts)]
    assert strip[0] == strip[1]


def test_a_run_that_goes_on_in_another_precision_says_so(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "resolved", lambda precision, device: "bf16")
    auto = steps(tiny, 6, precision="auto", validate_every=2)
    with pytest.raises(Interrupted):
        train(auto, tmp_path, device=CPU, out=StopAfter("step 2/6"))
    assert restore(tmp_path, "last")[2].precision == "bf16"
    monkeypatch.setattr(trainer, "resolved", lambda precision, device: "fp32")
    with pytest.raises(Interrupted):
        train(auto, tmp_path, device=CPU, resume=True, out=(out := StopAfter("step 4/6")))
    note = "note: in fp32 from here on and in bf16 before, so not bit for bit the run that would have been"
    assert out.getvalue().splitlines()[1] == note
    assert restore(tmp_path, "last")[2].precision == "fp32"
    assert "note: " not in run(auto, tmp_path, resume=True)


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


STOPPING = EarlyStopping(metric="shd", patience=9)
EASY = {"variables": Draw.constant(3), "rows": Draw.constant(20)}


def curriculum(experiment, *levels):
    """The experiment with levels of small tables: (metric, reach, most_steps)."""
    small = attrs.evolve(experiment.stream, **EASY)
    return attrs.evolve(
        experiment,
        curriculum=tuple(
            Level(stream=small, metric=metric, reach=reach, most_steps=most) for metric, reach, most in levels
        ),
    )


@pytest.mark.parametrize("cut", ["step  5/20", "step 10/20", "step 15/20"])
def test_a_resumed_run_is_the_run_that_would_have_been_whatever_it_keeps_count_of(tiny, tmp_path, cut):
    # the first level ends by its steps, between two validations; the second by its metric, at the second of them
    full = steps(
        curriculum(tiny, ("auroc", 2.0, 3), ("shd", 9.0, None)),
        20,
        accumulate=2,
        validate_every=5,
        early_stopping=STOPPING,
        gradient_checkpointing=True,
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(full, whole)
    assert {line["level"] for line in lines(whole) if line["kind"] == "train"} == {1, 2, 3}
    parts.mkdir()
    with pytest.raises(Interrupted):
        train(full, parts, device=CPU, out=StopAfter(cut))
    run(full, parts, resume=True)
    expected, found = restore(whole, "last"), restore(parts, "last")
    for index in (0, 1):
        for name, value in expected[index].items():
            assert torch.equal(value, found[index][name]), name
    assert attrs.evolve(expected[2], seconds=0.0) == attrs.evolve(found[2], seconds=0.0)
    assert expected[2].mark is not None
    strip = [[{k: v for k, v in line.items() if k not in CLOCK} for line in lines(folder)] for folder in (whole, parts)]
    assert strip[0] == strip[1]
    assert rows(whole) == rows(parts)


def test_a_log_cut_short_does_not_stop_a_resume(tiny, tmp_path):
    run(tiny, tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 21, "ki')
    before = lines_of_steps(tmp_path, whole=False)
    run(tiny, tmp_path, resume=True)
    assert lines_of_steps(tmp_path) == before


def lines_of_steps(folder, *, whole=True):
    text = (folder / "metrics.jsonl").read_text()
    return [json.loads(line)["step"] for line in text.splitlines()[: None if whole else -1]]


def test_the_events_of_a_resumed_run_have_every_step_once(tiny, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Interrupted):
        train(tiny, tmp_path, device=CPU, out=StopAfter("step 10/20"))
    run(tiny, tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 21))


def test_the_network_of_the_best_validation_is_kept_and_returned(tiny, tmp_path, monkeypatch):
    real, gains = trainer.judge, iter([0.1, 0.3, 0.2])

    def judge(model, stream, *, tables):
        return {**real(model, stream, tables=tables), "log_prob_gain": next(gains)}

    monkeypatch.setattr(trainer, "judge", judge)
    model = train(steps(tiny, 15, validate_every=5), tmp_path, device=CPU, out=io.StringIO())
    best, _, state = restore(tmp_path, "best")
    assert (state.step, state.best_step, state.best_gain) == (10, 10, 0.3)
    last = restore(tmp_path, "last")[0]
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, last[name]) for name, value in best.items())


def fake(monkeypatch, values, **others):
    """Have the validations find these values of a metric, one after the other."""
    (metric, found), real = values, trainer.judge
    turns = iter(found)

    def judge(model, stream, *, tables):
        return {**real(model, stream, tables=tables), **others, metric: next(turns)}

    monkeypatch.setattr(trainer, "judge", judge)


def test_early_stopping_ends_the_run_and_says_where_the_best_was(tiny, tmp_path, monkeypatch):
    shds = [9.0, 7.0, 6.9, 7.1, 6.8, 1.0, 1.0]
    fake(monkeypatch, ("shd", shds), log_prob_gain=0.1)
    stopping = EarlyStopping(metric="shd", patience=3, least=0.5)
    experiment = steps(tiny, 14, validate_every=2, early_stopping=stopping)
    printed = run(experiment, tmp_path)
    # 6.9 and 6.8 are better than 7.0, but not by 0.5
    line = "stopped after step 10: shd has not improved by 0.5 in 3 validations; best 6.800 at step 10"
    assert printed.splitlines()[-1] == line
    assert [record["step"] for record in lines(tmp_path) if record["kind"] == "validation"] == [2, 4, 6, 8, 10]
    assert restore(tmp_path, "best")[2].step == 10
    before = (tmp_path / "metrics.jsonl").read_text()
    assert run(experiment, tmp_path, resume=True).splitlines()[-1] == line
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_the_best_is_that_of_the_metric_that_early_stopping_names(tiny, tmp_path, monkeypatch):
    fake(monkeypatch, ("auroc", [0.6, 0.8, 0.7, float("nan")]), log_prob_gain=0.1)
    stopping = EarlyStopping(metric="auroc", patience=2)
    model = train(steps(tiny, 8, validate_every=2, early_stopping=stopping), tmp_path, device=CPU, out=io.StringIO())
    best, _, state = restore(tmp_path, "best")
    assert (state.step, state.best_value, state.best_gain) == (4, 0.8, 0.1)
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    assert restore(tmp_path, "last")[2].waited == 2  # what is undefined is no improvement


def test_the_threshold_of_the_best_validation_comes_with_its_network(tiny, registry, tmp_path, monkeypatch):
    fake(monkeypatch, ("threshold_chosen", [0.2, 0.3, 0.4]))
    real, gains = trainer.judge, iter([0.1, 0.3, 0.2])
    monkeypatch.setattr(trainer, "judge", lambda *words, **more: real(*words, **more) | {"log_prob_gain": next(gains)})
    experiment = steps(tiny, 6, validate_every=2)
    prepare(tmp_path, experiment, registry, resume=False, overwrite=True)
    assert train(experiment, tmp_path, device=CPU, out=io.StringIO()).threshold == 0.3
    assert load_run(tmp_path, registry, CPU)[0].threshold == 0.3
    assert restore(tmp_path, "last")[2].threshold == 0.4


def test_a_curriculum_advances_when_its_metric_is_reached_or_its_steps_are_done(tiny, tmp_path):
    experiment = steps(curriculum(tiny, ("shd", 99.0, None), ("auroc", 2.0, 5)), 14, validate_every=2)
    printed = run(experiment, tmp_path).splitlines()
    news = [line for line in printed if line.startswith("level ")]
    shd = next(record["shd"] for record in lines(tmp_path) if record["kind"] == "level")
    assert news == [
        f"level 2 of 3 from step 2: shd {shd:.3f} reached 99",
        "level 3 of 3 from step 7: auroc did not reach 2 in 5 steps",
    ]
    shown = [re.search(r"level (\d)/3", line).group(1) for line in printed if line.startswith("step")]
    assert shown == ["1", "2", "2", "3", "3", "3", "3"]
    trained = [record for record in lines(tmp_path) if record["kind"] == "train"]
    assert [record["level"] for record in trained] == [1] * 2 + [2] * 5 + [3] * 7
    assert {record["variables"] for record in trained if record["level"] < 3} == {3}
    assert max(record["variables"] for record in trained) > 3
    judged = [(record["step"], record["level"]) for record in lines(tmp_path) if record["kind"] == "level"]
    assert judged == [(2, 1), (4, 2), (6, 2)]
    # the best is chosen on tables of the stream itself, at every level
    sizes = [record["edges"] for record in lines(tmp_path) if record["kind"] == "validation"]
    assert len(sizes) == 7
    assert len(set(sizes)) == 1


def test_early_stopping_waits_for_the_last_level(tiny, tmp_path, monkeypatch):
    fake(monkeypatch, ("ap", [0.5] * 99))
    experiment = steps(
        curriculum(tiny, ("auroc", 2.0, 6)),
        14,
        validate_every=2,
        early_stopping=EarlyStopping(metric="ap", patience=2),
    )
    printed = run(experiment, tmp_path).splitlines()
    assert printed[-1] == "stopped after step 12: ap has not improved in 2 validations; best 0.500 at step 2"


def test_a_table_that_goes_wrong_at_a_level_comes_back_from_that_level(tiny, tmp_path):
    five = attrs.evolve(tiny.stream, variables=Draw.constant(5))
    exploding = attrs.evolve(curriculum(tiny, ("ap", 2.0, 2)), auxiliary_losses=(Weighted(Explosive()),), stream=five)
    level = attrs.evolve(exploding.curriculum[0], stream=five)
    with pytest.raises(TrainingError, match=r"Stream\(experiment\.stream, seed=0, device=device\)\.batch\(2\)"):
        run(exploding, tmp_path / "last")
    with pytest.raises(TrainingError, match=r"Stream\(experiment\.curriculum\[0\]\.stream, seed=0, .*\.batch\(0\)"):
        run(attrs.evolve(exploding, curriculum=(level,)), tmp_path / "first")


class Cut(Stream):
    """The same 32 tables at every step, cut into parts."""

    def batch(self, step, part=0):
        tables = self.settings.tables
        whole = attrs.evolve(self.settings, tables=32, variables=Draw.constant(5), rows=Draw.constant(30))
        table, truth = Stream(whole, seed=self.seed, device=CPU).batch(0)
        here = slice(part * tables, (part + 1) * tables)
        return Table(table.x[here], table.intervened[here], table.observed[here]), Truth(truth.adj[here])


def test_batch_times_accumulation_is_what_counts(tiny, tmp_path, monkeypatch):
    """4 tables accumulated 8 times make the gradient, the loss and the step of 8 tables accumulated 4 times."""
    monkeypatch.setattr("tabscm.engine.curriculum.Stream", Cut)
    seen = recorded(monkeypatch)
    cuts = ((4, 8), (8, 4), (32, 1))
    for tables, accumulate in cuts:
        experiment = attrs.evolve(
            steps(tiny, 2, accumulate=accumulate, validate_every=2, validation_tables=4, clip=1e9),
            stream=attrs.evolve(tiny.stream, tables=tables),
        )
        run(experiment, tmp_path / f"{tables}")
    first, second, whole = seen[::2]
    assert max(float(grad.abs().max()) for grad in first) > 1e-3
    for one, other, together in zip(first, second, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(one, together, atol=1e-6, rtol=1e-4)
    losses = [[line["loss"] for line in lines(tmp_path / f"{tables}") if "loss" in line] for tables, _ in cuts]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] == pytest.approx(losses[2], rel=1e-4)


def recorded(monkeypatch):
    """The gradients of every step to come."""
    seen = []

    class Recorder(trainer.Optimiser):
        def __init__(self, model, settings):
            super().__init__(model, settings)
            self.model = model

        def step(self, step):
            seen.append([weight.grad.clone() for weight in self.model.parameters()])
            return super().step(step)

    monkeypatch.setattr(trainer, "Optimiser", Recorder)
    return seen


def test_accumulated_batches_make_one_step_of_their_mean(tiny, tmp_path, monkeypatch):
    seen = recorded(monkeypatch)
    three = steps(tiny, 1, accumulate=3, validate_every=1, clip=1e9)
    run(three, tmp_path)
    torch.manual_seed(three.seed)
    model = Model(three)
    stream = Stream(three.stream, seed=three.seed, device=CPU)
    losses = []
    for part in range(3):
        table, truth = stream.batch(0, part)
        losses.append(three.loss(model(table), truth, table).mean())
    torch.stack(losses).mean().backward()
    for weight, found in zip(model.parameters(), seen[0], strict=True):
        torch.testing.assert_close(found, weight.grad, atol=1e-6, rtol=1e-4)
    assert lines(tmp_path)[0]["loss"] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_adamw_alone(tiny, tmp_path):
    run(steps(tiny, 4, validate_every=4, optimiser="adamw"), tmp_path)
    momenta = [key for key in restore(tmp_path, "last")[1] if not key.startswith("health/")]
    quantities = {key.rsplit("/", 1)[1] for key in momenta}
    assert quantities == {"step", "exp_avg", "exp_avg_sq"}


def test_bf16_rounds_the_forward_pass_and_keeps_weights_and_momenta_in_float32(tiny, tmp_path):
    found = {}
    for precision in ("fp32", "bf16"):
        run(steps(tiny, 4, validate_every=4, precision=precision), tmp_path / precision)
        found[precision] = lines(tmp_path / precision)[0]["loss"]
        weights, momenta, _ = restore(tmp_path / precision, "last")
        assert {value.dtype for value in (*weights.values(), *momenta.values())} == {torch.float32}
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.02)


def test_tables_of_one_variable_train_though_nothing_can_be_said_of_them(tiny, tmp_path):
    single = attrs.evolve(tiny.stream, variables=Draw.constant(1))
    run(attrs.evolve(steps(tiny, 2, validate_every=1), stream=single), tmp_path)
    assert restore(tmp_path, "best")[2].step == 2


def test_a_loss_that_is_not_finite_stops_at_once_and_is_named(tiny, tmp_path, replay):
    exploding = attrs.evolve(tiny, auxiliary_losses=(Weighted(Explosive()),))
    with pytest.raises(TrainingError) as refusal:
        run(exploding, tmp_path)
    step = len(lines(tmp_path))
    assert replay(refusal.value, exploding)[0].x.shape[2] == 5
    assert str(refusal.value) == (
        f"step {step}: the term explosive is not finite. Its tables come back with tabscm.engine.stream: "
        f"Stream(experiment.stream, seed=0, device=device).batch({step}). "
        "Lower trainer.lr, trainer.muon_lr or trainer.clip and start again with --overwrite."
    )


def test_with_accumulation_the_part_is_named_too(tiny, tmp_path, replay):
    exploding = attrs.evolve(steps(tiny, 4, accumulate=8), seed=2, auxiliary_losses=(Weighted(Explosive()),))
    with pytest.raises(TrainingError, match=r"the term explosive is not finite\. .*\.batch\(0, 3\)\.") as refusal:
        run(exploding, tmp_path)
    assert replay(refusal.value, exploding)[0].x.shape[2] == 5


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
