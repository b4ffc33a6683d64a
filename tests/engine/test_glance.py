"""What is looked at late, as on CUDA, and what is drawn ahead there: the same run, bit for bit."""

import io
import json

import attrs
import pytest
import torch

from tabscm import Loss, TrainingError
from tabscm.engine import trainer
from tabscm.engine.ahead import Ahead
from tabscm.engine.checkpoint import restore
from tabscm.engine.curriculum import Curriculum
from tabscm.engine.glance import Glance
from tabscm.engine.health import gradient
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import train

CPU = torch.device("cpu")


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(trainer, "Ahead", lambda device: Ahead(device, enabled=True))
    monkeypatch.setattr(trainer, "Glance", lambda model, late: Glance(model, late=True))


def settings(experiment, **changes):
    return attrs.evolve(experiment, trainer=attrs.evolve(experiment.trainer, **changes))


def run(experiment, folder):
    folder.mkdir()
    train(experiment, folder, device=CPU, out=io.StringIO())
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return restore(folder, "last"), [line["loss"] for line in lines if line["kind"] == "train"]


def test_a_late_look_and_tables_drawn_ahead_change_nothing(tiny, tmp_path, request):
    experiment = settings(tiny, steps=12, accumulate=2, log_every=5, validate_every=6)
    expected, losses = run(experiment, tmp_path / "at once")
    request.getfixturevalue("as_on_a_gpu")
    found, late = run(experiment, tmp_path / "late")
    assert late == losses
    for index in (0, 1):
        for name, value in expected[index].items():
            assert torch.equal(value, found[index][name]), name


@attrs.frozen
class BreaksOn(Loss):
    """Infinite on tables of five variables."""

    name = "breaks"

    def __call__(self, prediction, truth, table):
        broken = float("inf") if table.x.shape[2] == 5 else 0.0
        return prediction.logits.square().mean((1, 2)) * (1.0 + broken)


def first_of_five(experiment):
    stream = Stream(experiment.stream, seed=experiment.seed, device=CPU)
    return next(step for step in range(100) if stream.batch(step)[0].x.shape[2] == 5)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_the_step_that_broke_is_named_late_with_its_own_weights(tiny, tmp_path):
    experiment = attrs.evolve(settings(tiny, log_every=100, validate_every=100, steps=100), loss=BreaksOn())
    step = first_of_five(experiment)
    with pytest.raises(TrainingError) as late:
        train(experiment, tmp_path, device=CPU, out=io.StringIO())
    # the network itself was whole: had its broken update been kept, the weights would be blamed
    assert str(late.value).startswith(f"step {step}: the term breaks is not finite. Its tables come back with ")
    assert f"batch({step})" in str(late.value)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_no_step_begins_after_the_one_that_finds_out(tiny, tmp_path, monkeypatch):
    experiment = attrs.evolve(settings(tiny, log_every=100, validate_every=100, steps=100), loss=BreaksOn())
    begun = []
    advance = Curriculum.advance
    monkeypatch.setattr(Curriculum, "advance", lambda own, *at: begun.append(at[1]) or advance(own, *at))
    with pytest.raises(TrainingError):
        train(experiment, tmp_path, device=CPU, out=io.StringIO())
    assert begun[-1] <= first_of_five(experiment) + 1


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_late_look_at_an_explosion_sees_the_weights_and_tables_of_its_step(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(gradient, "HUGE", 0.0)  # the first step is one
    seen = []
    by_term = trainer.Health.by_term
    monkeypatch.setattr(
        trainer.Health, "by_term", lambda self, step, batches: seen.append(by_term(self, step, batches)) or seen[-1]
    )
    experiment = settings(tiny, steps=3, log_every=3, validate_every=3, clip=1e9)
    train(experiment, tmp_path, device=CPU, out=io.StringIO())
    monkeypatch.setattr(trainer, "Glance", Glance)
    (tmp_path / "again").mkdir()
    train(experiment, tmp_path / "again", device=CPU, out=io.StringIO())
    late, at_once = seen
    assert late == at_once


def test_tables_drawn_ahead_are_those_asked_for_or_none(tiny):
    one, other = (Stream(tiny.stream, seed=seed, device=CPU) for seed in (0, 1))
    ahead = Ahead(CPU, enabled=True)
    for stream, step, part in ((one, 3, 0), (one, 3, 1), (one, 4, 0), (other, 3, 0)):
        ahead.prepare(one, 3, 0)
        table, truth = ahead.take(stream, step, part)
        expected, graph = stream.batch(step, part)
        assert torch.equal(table.x, expected.x)
        assert torch.equal(truth.adj, graph.adj)
