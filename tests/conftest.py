"""A shelf of made-up components, at least one of each kind, so that tests of the kernel do not need the real one."""

import os

# before torch is imported, here and in what tests start: tables this small gain nothing from threads, and on a busy
# machine threads that wait for each other made the suite ten times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ipaddress
import signal
import socket

import attrs
import pytest
from attrs.validators import ge, min_len

from tabscm import (
    Draw,
    Embedding,
    Encoder,
    GraphSampler,
    Head,
    Intervention,
    Loss,
    Measurement,
    Mechanism,
    Noise,
    Regulariser,
    Weighted,
    within,
)
from tabscm.engine import familiarity
from tabscm.kernel.registry import Entry, Origin, Registry

# a shell that starts the tests in the background has interrupts ignored, and so would a training and all children
signal.signal(signal.SIGINT, signal.default_int_handler)

# the plugin in there is tested as a stranger would test it, see test_door.py
collect_ignore = ["third_party"]

LONG = ["test_local", "test_readme", "test_model", "test_door", "test_processes", "test_check", "test_runner"]
"""Files of tests that take a minute or more: first, so that no process waits for another in the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@attrs.frozen
class Ring(GraphSampler):
    """A ring with one gap."""

    name = "ring"
    density: Draw | None = attrs.field(default=None, validator=within(0.0, 1.0))

    def sample(self, tasks, variables, rng):
        raise NotImplementedError


@attrs.frozen
class Gaussian(Noise):
    """The normal distribution."""

    name = "gaussian"

    def sample(self, shape, rng):
        raise NotImplementedError


@attrs.frozen
class Linear(Mechanism):
    """A sum."""

    name = "linear"

    def draw(self, mask, rng):
        raise NotImplementedError


@attrs.frozen
class Sine(Mechanism):
    """A wave."""

    name = "sine"
    frequency: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    shifted: bool = False

    def draw(self, mask, rng):
        raise NotImplementedError


@attrs.frozen
class Mixture(Mechanism):
    """Several mechanisms."""

    name = "mixture"
    of: tuple[Weighted[Mechanism], ...] = attrs.field(validator=min_len(1))

    def draw(self, mask, rng):
        raise NotImplementedError


@attrs.frozen
class Nothing(Intervention):
    """No intervention."""

    name = "nothing"

    def draw(self, tasks, rows, variables, rng):
        raise NotImplementedError


@attrs.frozen
class Exact(Measurement):
    """As it is."""

    name = "exact"

    def record(self, values, rng):
        raise NotImplementedError


@attrs.frozen
class Identity(Encoder):
    """The evidence as it was."""

    name = "identity"

    def build(self, width):
        raise NotImplementedError


@attrs.frozen
class Blocks(Encoder):
    """Blocks."""

    name = "blocks"
    sizes: tuple[int, ...] = (1, 2)

    def build(self, width):
        raise NotImplementedError


@attrs.frozen
class Moments(Embedding):
    """Products."""

    name = "moments"
    features: int = attrs.field(default=8, validator=ge(1))
    label: str = "plain"
    between: Encoder = Identity()

    def build(self, width):
        raise NotImplementedError


@attrs.frozen
class Pair(Head):
    """Logits from pairs."""

    name = "pair"
    gives = frozenset({"edges"})

    def build(self, width):
        raise NotImplementedError


@attrs.frozen
class Cross(Loss):
    """Cross-entropy."""

    name = "bce"

    def __call__(self, prediction, truth, table):
        raise NotImplementedError


@attrs.frozen
class Focal(Loss):
    """Cross-entropy that fades."""

    name = "focal"
    gamma: float = attrs.field(default=2.0, validator=ge(0))
    low: float = 0.0
    high: float = 1.0

    def __attrs_post_init__(self):
        if self.low > self.high:
            raise ValueError(f"low is {self.low}, above high, which is {self.high}")

    def __call__(self, prediction, truth, table):
        raise NotImplementedError


@attrs.frozen
class Cap(Regulariser):
    """A cap."""

    name = "kl-cap"
    cap: float = 1.0

    def __call__(self, prediction):
        raise NotImplementedError


SHELF = (Ring, Gaussian, Linear, Sine, Mixture, Nothing, Exact, Identity, Blocks, Moments, Pair, Cross, Focal, Cap)


@pytest.fixture(scope="session")
def shelf():
    """A registry of made-up components."""
    return Registry(Entry(component, Origin("shelf", "1.0", "conftest.py")) for component in SHELF)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Refuse every connection from the test process but to itself: nothing here may need a network.

    Processes that tests start are not covered; they run the same code.
    """
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}

    def guarded(name):
        def call(self, *words):
            address = words[-1]
            # to connect a datagram socket sends nothing: so Dask asks what the address of this machine is
            silent = name == "connect" and self.type == socket.SOCK_DGRAM
            if self.family in (socket.AF_INET, socket.AF_INET6) and not silent and not is_here(address[0]):
                raise AssertionError(f"a test reaches for the network: {name} to {address}")
            return real[name](self, *words)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(socket.socket, name, guarded(name))
        yield


@pytest.fixture(autouse=True, scope="session")
def few_tables_are_looked_at():
    """Releases look at few tables of their stream, which takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(familiarity, "TABLES", 60)
        yield


def is_here(host):
    """Whether this is the machine itself."""
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
