"""Twenty CPU steps of experiments/tiny.toml give the losses they always gave.

A change that should not move numbers must not; one that should records them anew, and says so in its commit:

    python tests/test_golden.py
"""

import io
import json
import tempfile
from pathlib import Path

import pytest
import torch

from tabscm.engine.trainer import train
from tabscm.kernel.config import load
from tabscm.kernel.registry import discover

GOLDEN = Path(__file__).with_name("golden.json")
TINY = Path(__file__).parents[1] / "experiments" / "tiny.toml"


def losses(folder):
    train(load(TINY, discover()), folder, device=torch.device("cpu"), out=io.StringIO())
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "train"]


def test_tiny_gives_the_losses_it_always_gave(tmp_path):
    expected = json.loads(GOLDEN.read_text())
    # processors sum products in different orders; on one machine the losses are equal bit for bit
    assert losses(tmp_path) == pytest.approx(expected, rel=2e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(losses(Path(folder)), indent=1) + "\n")
