"""What the engine's tests share."""

from pathlib import Path

import pytest

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
