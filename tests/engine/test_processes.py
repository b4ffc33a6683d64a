"""Shares of a batch: all of it between them, and gradients that add up. Real processes are in tests/faults."""

import io
import json

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tabscm import Prediction
from tabscm.engine.model import Model
from tabscm.engine.processes import ALONE, Processes, Share
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms, train

CPU = torch.device("cpu")


@given(st.integers(1, 9), st.integers(1, 50), st.integers(0, 9), st.integers(1, 5))
def test_shares_are_the_whole_batch_and_nearly_equal(count, tasks, part, split):
    shares = [share for rank in range(count) for share in Processes(rank, count).shares(tasks, part, split)]
    held = [task for share in shares if share.weight for task in range(tasks)[share.tasks]]
    assert sorted(held) == list(range(tasks))
    assert sum(share.weight for share in shares) == pytest.approx(1)
    lengths = [len(range(tasks)[share.tasks]) if share.weight else 0 for share in shares]
    assert max(lengths) - min(lengths) <= 1
    # each process has something to do, be it for nothing
    assert all(Processes(rank, count).shares(tasks, part, split) for rank in range(count))


def test_one_process_has_the_batch_itself(tiny):
    table, truth = Stream(tiny.stream, seed=0, device=CPU).batch(0)
    (share,) = ALONE.shares(len(table.x), 0)
    assert share == Share(slice(0, len(table.x)), 1.0, len(table.x))
    assert share.cut(table, truth) == (table, truth)


def test_a_task_that_is_alone_falls_to_one_after_the_other():
    turns = [[rank for rank in range(3) if Processes(rank, 3).shares(1, part)[0].weight] for part in range(3)]
    assert sorted(turns) == [[0], [1], [2]]


def gradients(experiment, model, batch, shares):
    model.zero_grad()
    for share in shares:
        table, truth = share.cut(*batch)
        for term in loss_terms(experiment, 0, model(table), truth, table).values():
            (term * share.weight).backward(retain_graph=True)
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("count", "split"), [(2, 1), (1, 2), (3, 1), (1, 3), (2, 2), (11, 1)])
def test_gradients_of_shares_add_up_to_that_of_the_batch(tiny, count, split, several):
    if several:
        tiny = attrs.evolve(tiny, specialists=("one", "two"), gate=tiny.embedding)
    torch.manual_seed(0)
    model = Model(tiny)
    batch = Stream(tiny.stream, seed=0, device=CPU).batch(0)
    tasks = len(batch[0].x)
    expected = gradients(tiny, model, batch, ALONE.shares(tasks, 0))
    found = sum(gradients(tiny, model, batch, Processes(rank, count).shares(tasks, 0, split)) for rank in range(count))
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_predictions_of_shares_are_put_together_again():
    logits, kinds = torch.randn(5, 3, 3), torch.rand(5, 2) > 0.5
    shares = ALONE.shares(5, 0, split=2)
    pieces = [Prediction(logits=logits[one.tasks], aux={"kinds": kinds[one.tasks]}) for one in shares]
    whole = ALONE.whole(pieces, shares)
    assert torch.equal(whole.logits, logits)
    assert torch.equal(whole.aux["kinds"], kinds)


def test_a_split_batch_is_the_same_training(tiny, tmp_path):
    losses = {}
    for split in (1, 3):
        folder = tmp_path / str(split)
        folder.mkdir()
        changed = attrs.evolve(tiny, trainer=attrs.evolve(tiny.trainer, steps=6, validate_every=6, split=split))
        train(changed, folder, device=CPU, out=io.StringIO())
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        records = [line for line in lines if line["kind"] == "train"]
        assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
        losses[split] = [record["loss"] for record in records]
    assert losses[3] == pytest.approx(losses[1], rel=2e-3)
