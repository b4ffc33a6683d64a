"""What training and prediction do on a GPU, on a pretended one: the same numbers, and the host runs ahead of it.

The encoder "moe" is not among the networks whose steps wait for nothing: it has to know how many rows each expert gets.
"""

import contextlib
import io
import json
from functools import partial
from itertools import pairwise

import attrs
import pytest
import torch

from tabscm import Draw
from tabscm.__main__ import main
from tabscm.engine.ahead import Ahead
from tabscm.engine.health.finite import NotFinite
from tabscm.engine.health.watch import Health
from tabscm.engine.model import Model, autocast
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.progress import Progress
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms, train
from tabscm.kernel.config import load
from tabscm.testing.pretended_gpu import Event, Queue, pretended_gpu
from tests.engine.conftest import EXPERIMENTS

CPU = torch.device("cpu")


@pytest.fixture
def short(tiny):
    """Six steps, of which every third is logged, all in float32."""
    return attrs.evolve(
        tiny,
        trainer=attrs.evolve(
            tiny.trainer, steps=6, log_every=3, validate_every=3, validation_tables=8, precision="fp32"
        ),
    )


def trained(experiment, folder, device, **options):
    """The weights after training, on the host, and what was logged of each step."""
    folder.mkdir(exist_ok=True)
    weights = train(experiment, folder, device=device, out=io.StringIO(), **options).state_dict()
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {name: weight.cpu() for name, weight in weights.items()}, [
        (line["step"], line["loss"]) for line in lines if line["kind"] == "train"
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimiser": "adamw", "log_every": 2},
        {"accumulate": 2, "split": 2, "gradient_checkpointing": True},
        {"optimiser": "muon", "precision": "bf16"},
    ],
    ids=["as it is", "AdamW", "in parts", "bfloat16"],
)
def test_training_gives_the_numbers_of_a_cpu(changes, short, tmp_path):
    experiment = attrs.evolve(short, trainer=attrs.evolve(short.trainer, **changes))
    weights, losses = trained(experiment, tmp_path / "cpu", CPU)
    with pretended_gpu() as gpu:
        found, logged = trained(experiment, tmp_path / "gpu", gpu.device)
    assert [step for step, _ in logged] == [step for step, _ in losses]
    within = 1e-4 if experiment.trainer.precision == "fp32" else 1e-2  # bfloat16 has steps of 4e-3
    assert [loss for _, loss in logged] == pytest.approx([loss for _, loss in losses], rel=within)
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight, atol=within, rtol=10 * within)


def test_between_log_lines_the_host_waits_for_no_step(short, tmp_path):
    class Counting(Progress):
        def count(self, tables):
            super().count(tables)
            waited.append(sum(gpu.waits.values()))

    waited = []
    settings = short.trainer
    with pretended_gpu() as gpu:
        trained(short, tmp_path / "run", gpu.device, progress=Counting(io.StringIO(), steps=settings.steps, step=0))
    logged = [step % settings.log_every == 0 for step in range(1, settings.steps)]
    between = [after - before for before, after in pairwise(waited)]
    # a batch of tables: for its graphs, whether anything was intervened on, whether all of it is finite
    assert [waits for waits, log in zip(between, logged, strict=True) if not log] == [3] * logged.count(False)
    assert all(waits > 3 for waits, log in zip(between, logged, strict=True) if log)


def test_training_resumes_there_as_the_run_that_would_have_been(short, tmp_path):
    whole = attrs.evolve(short, trainer=attrs.evolve(short.trainer, schedule="constant"))
    half = attrs.evolve(whole, trainer=attrs.evolve(whole.trainer, steps=3))
    with pretended_gpu() as gpu:
        expected, _ = trained(whole, tmp_path / "whole", gpu.device)
        trained(half, tmp_path / "half", gpu.device)
        found, _ = trained(whole, tmp_path / "half", gpu.device, resume=True)
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_tables_drawn_ahead_are_waited_for(short, tmp_path, monkeypatch):
    monkeypatch.setattr(Queue, "wait_stream", lambda *_: None)
    with pretended_gpu() as gpu, pytest.raises(RuntimeError, match="call wait_stream"):
        trained(short, tmp_path / "run", gpu.device)


def test_numbers_of_a_step_are_looked_at_only_when_they_have_arrived(short, tmp_path, monkeypatch):
    monkeypatch.setattr(Event, "synchronize", lambda _: None)
    with pretended_gpu() as gpu, pytest.raises(NotFinite):
        trained(short, tmp_path / "run", gpu.device)


@pytest.mark.parametrize(
    "name",
    [
        "quick",
        "prod",
        "specialists/nonlinear",
        "specialists/discrete",
        "specialists/recorded",
        "ablations/axial",
        "ablations/gated-fusion",
        "ablations/variational",
    ],
)
def test_no_step_waits_and_no_batch_but_for_its_graphs(name, registry):
    experiment = load(EXPERIMENTS / f"{name}.toml", registry)
    small = attrs.evolve(experiment.stream, tables=3, variables=Draw.constant(6), rows=Draw.constant(60))
    experiment = attrs.evolve(experiment, stream=small)
    with pretended_gpu() as gpu:
        model = Model(experiment).to(gpu.device).train()
        optimiser = Optimiser(model, experiment.trainer)
        health = Health(experiment, model, partial(loss_terms, experiment), step=0)
        effects = "effects" in experiment.asks
        stream = Stream(small, seed=0, device=gpu.device, effects=effects)
        on_cpu, ahead = Stream(small, seed=0, device=CPU, effects=effects), Ahead(gpu.device)
        for step in range(3):  # the first makes the optimiser's state
            health.begin(step)
            gpu.waits.clear()
            table, truth = health.sample(stream, step, 0, ahead)
            # what depends on what; whether anything was intervened on; whether all is finite; and once, where to begin
            assert [*gpu.waits.values()] == [1] * (3 + (step == 0)), gpu.waits
            expected, expected_truth = on_cpu.batch(step)
            torch.testing.assert_close(table.x.cpu(), expected.x, atol=1e-3, rtol=1e-3)
            assert torch.equal(truth.adj.cpu(), expected_truth.adj)
            gpu.waits.clear()
            with autocast(gpu.device, "bf16"):
                prediction = model(table)
            terms = loss_terms(experiment, step, prediction, truth, table)
            torch.autograd.backward(sum(terms.values(), torch.zeros((), device=gpu.device)))
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), experiment.trainer.clip)
            torch.stack([*terms.values(), norm])
            optimiser.step(step)
            health.after_update(step, optimiser.state(), late=True)
            assert not gpu.waits


def said(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*arguments]) == 0
    return json.loads(out.getvalue())


def test_the_released_network_says_there_what_it_says_on_a_cpu():
    data = EXPERIMENTS.parent / "tabscm" / "data"
    asked = ("predict", str(data / "sachs.csv"), "--conditions", "condition", "--bootstrap", "2", "--json")
    asked += ("--targets", str(data / "sachs_targets.toml"))
    on_cpu = said(*asked, "--device", "cpu")
    with pretended_gpu() as gpu:
        on_gpu = said(*asked, "--device", "auto")
    assert gpu.waits
    assert on_gpu.keys() == on_cpu.keys()
    assert [(edge["from"], edge["to"]) for edge in on_gpu["edges"]] == [
        (edge["from"], edge["to"]) for edge in on_cpu["edges"]
    ]
    for name in ("edge_prob", "bootstrap", "familiarity"):
        assert flat(on_gpu[name]) == pytest.approx(flat(on_cpu[name]), abs=1e-4)


def flat(found):
    """All numbers in what JSON holds, in order."""
    if isinstance(found, dict):
        return flat([*found.values()])
    if isinstance(found, list):
        return [number for one in found for number in flat(one)]
    return [found] if isinstance(found, int | float) else []
