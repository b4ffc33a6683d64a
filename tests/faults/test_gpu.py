"""The script that measures a GPU, on a pretended one."""

import importlib.util
import re
from pathlib import Path

import torch

from tabscm.testing.pretended_gpu import pretended_gpu

_SPEC = importlib.util.spec_from_file_location("gpu", Path(__file__).with_name("gpu.py"))
gpu = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(gpu)

TINY = str(Path(__file__).parents[2] / "experiments/tiny.toml")


def test_it_compares_losses_and_measures(capsys):
    with pretended_gpu():
        assert gpu.main([TINY, "--steps", "2", "--timed", "4"]) == 0
    first, *figures = re.sub(r"\d[\d.,e+-]*", "#", capsys.readouterr().out).splitlines()
    assert first.startswith("tiny.toml on pretended GPU")
    assert figures == [
        "losses within # of those of a CPU, in fp#: # of # (at most #)",
        "tables a second, of # steps: #",
        "peak memory below # GB: # of # (# GB)",
        "matrix products: # TFLOP a second",
    ]


def test_a_network_that_learns_something_else_there_is_noticed(capsys, monkeypatch):
    real = gpu.Model.forward

    def wrong(model, table):
        prediction = real(model, table)
        return gpu.attrs.evolve(prediction, logits=prediction.logits + 0.3 * table.x.is_cuda)

    monkeypatch.setattr(gpu.Model, "forward", wrong)
    with pretended_gpu():
        assert gpu.main([TINY, "--steps", "2", "--timed", "4"]) == 1
    assert "in fp32: 0 of 2" in capsys.readouterr().out


def test_without_a_gpu_it_measures_nothing(capsys):
    if not torch.cuda.is_available():
        assert gpu.main([]) == 0
        assert capsys.readouterr().out == "there is no GPU here; nothing was measured\n"
