"""What the engine's tests share."""

import re
from pathlib import Path

import pytest
import torch

from tabscm.engine.stream import Stream
from tabscm.kernel.config import load
from tabscm.kernel.registry import discover

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="session")
def registry():
    return discover()


@pytest.fixture(scope="session")
def tiny(registry):
    return load(EXPERIMENTS / "tiny.toml", registry)


@pytest.fixture(scope="session")
def quick(registry):
    return load(EXPERIMENTS / "quick.toml", registry)


@pytest.fixture
def replay():
    """Does what a message says brings a batch back: (message, experiment) -> table, truth."""

    def do(message, experiment):
        (call,) = re.findall(
            r"come.? back with tabscm\.engine\.stream: (Stream\(.*\)\.batch\([\d, ]+\))\.", str(message)
        )
        return eval(call, {"Stream": Stream, "experiment": experiment, "device": torch.device("cpu")})

    return do
