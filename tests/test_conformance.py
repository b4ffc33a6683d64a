"""Every registered component keeps the promises of its kind. A new component is tested by being on the menu."""

import attrs
import pytest
import torch
from tabscm_builtin.embeddings.cross_moment import CrossMoment
from tabscm_builtin.embeddings.gated_fusion import GatedFusion
from tabscm_builtin.embeddings.tabpfn import TabPFN
from tabscm_builtin.embeddings.variational import Variational
from tabscm_builtin.encoders.columns import Columns
from tabscm_builtin.encoders.graph import Graph
from tabscm_builtin.encoders.moe import MixtureOfExperts
from tabscm_builtin.encoders.triangle import Triangle
from tabscm_builtin.graphs.blocks import Blocks
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.geometric import Geometric
from tabscm_builtin.graphs.layered import Layered
from tabscm_builtin.graphs.scale_free import ScaleFree
from tabscm_builtin.graphs.small_world import SmallWorld
from tabscm_builtin.heads.ordered import Ordered
from tabscm_builtin.interventions.activity import Activity
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.interventions.shift import Shift
from tabscm_builtin.interventions.unknown_target import UnknownTarget
from tabscm_builtin.losses.bce import BCE
from tabscm_builtin.losses.focal import Focal
from tabscm_builtin.losses.weighted_bce import WeightedBCE
from tabscm_builtin.measurements.chain import Chain
from tabscm_builtin.measurements.counts import Counts
from tabscm_builtin.measurements.levels import Levels
from tabscm_builtin.measurements.missing import Missing
from tabscm_builtin.measurements.mixture import Mixture as MeasurementMixture
from tabscm_builtin.measurements.noisy import Noisy
from tabscm_builtin.measurements.rounded import Rounded
from tabscm_builtin.mechanisms.additive import Additive
from tabscm_builtin.mechanisms.categorical import Categorical
from tabscm_builtin.mechanisms.conditional_table import ConditionalTable
from tabscm_builtin.mechanisms.gaussian_process import GaussianProcess
from tabscm_builtin.mechanisms.heteroscedastic import Heteroscedastic
from tabscm_builtin.mechanisms.linear import Linear
from tabscm_builtin.mechanisms.mixture import Mixture
from tabscm_builtin.mechanisms.mlp import MLP
from tabscm_builtin.mechanisms.multiplicative import Multiplicative
from tabscm_builtin.mechanisms.noisy_or import NoisyOr
from tabscm_builtin.mechanisms.ordinal import Ordinal
from tabscm_builtin.mechanisms.polynomial import Polynomial
from tabscm_builtin.mechanisms.post_nonlinear import PostNonlinear
from tabscm_builtin.mechanisms.random_fourier import RandomFourier
from tabscm_builtin.mechanisms.sine import Sine
from tabscm_builtin.mechanisms.threshold import Threshold
from tabscm_builtin.mechanisms.tree import Tree
from tabscm_builtin.noises.bimodal import Bimodal
from tabscm_builtin.noises.cauchy import Cauchy
from tabscm_builtin.noises.exponential import Exponential
from tabscm_builtin.noises.gumbel import Gumbel
from tabscm_builtin.noises.log_normal import LogNormal
from tabscm_builtin.noises.student import Student
from tabscm_builtin.regularisers.acyclicity import Acyclicity
from tabscm_builtin.regularisers.kl_cap import KLCap
from tabscm_builtin.regularisers.sparsity import Sparsity

from tabscm import Draw, Weighted
from tabscm.kernel.interfaces import KINDS
from tabscm.kernel.registry import discover
from tabscm.testing import conformance
from tabscm.testing.pretended_gpu import pretended_gpu

ENTRIES = discover().entries()
COMPONENTS = [entry.component_class for entry in ENTRIES]
SHIPPED = [entry.component_class for entry in ENTRIES if entry.origin.distribution == "tabscm"]

EXAMPLES = {
    ErdosRenyi: [ErdosRenyi(density=Draw.constant(0.3)), ErdosRenyi(density=Draw.constant(1.0))],
    ScaleFree: [ScaleFree(degree=Draw(low=0.0, high=6.0)), ScaleFree(transposed=True)],
    SmallWorld: [SmallWorld(degree=Draw(low=0.0, high=9.0), rewired=Draw(low=0.0, high=1.0))],
    Blocks: [Blocks(degree=Draw(low=0.0, high=9.0), blocks=Draw(low=1.0, high=30.0), between=Draw.constant(0.0))],
    Geometric: [Geometric(degree=Draw(low=0.0, high=9.0), dimensions=1)],
    Layered: [Layered(degree=Draw(low=0.0, high=9.0), layers=Draw(low=1.0, high=30.0))],
    Exponential: [Exponential(mirrored=True)],
    LogNormal: [LogNormal(mirrored=True), LogNormal(sigma=Draw.constant(0.9))],
    Cauchy: [Cauchy(kept=0.9)],
    Bimodal: [Bimodal(separation=Draw.constant(9.0), upper=Draw.constant(0.1))],
    Gumbel: [Gumbel(mirrored=True)],
    Student: [Student(freedom=Draw.constant(4.0))],
    Mixture: [
        Mixture(of=(Weighted(Linear()), Weighted(Sine()), Weighted(MLP()), Weighted(Threshold()))),
        Mixture(of=(Weighted(Linear()), Weighted(Mixture(of=(Weighted(MLP()), Weighted(Sine())))))),
    ],
    MLP: [MLP(hidden=1)],
    RandomFourier: [RandomFourier(features=1), RandomFourier(features=100)],
    Additive: [Additive(features=1, length=Draw.constant(0.2))],
    Polynomial: [Polynomial(degree=1), Polynomial(degree=6, reach=4.0)],
    GaussianProcess: [GaussianProcess(features=1, kernels=("matern-1/2",))],
    Multiplicative: [Multiplicative(multiplied=0.0), Multiplicative(multiplied=1.0, terms=1)],
    ConditionalTable: [ConditionalTable(levels=Draw.constant(2.0), nominal=1.0, entries=4)],
    Categorical: [
        Categorical(levels=Draw.constant(2.0), nominal=1.0, entries=4),
        Categorical(levels=Draw.constant(16.0)),
    ],
    NoisyOr: [NoisyOr(turned=1.0), NoisyOr(leak=Draw.constant(0.0), prevalence=Draw.constant(0.99))],
    Tree: [Tree(trees=3, depth=1), Tree(trees=1, depth=6)],
    PostNonlinear: [PostNonlinear(of=Linear()), PostNonlinear(of=Mixture(of=(Weighted(MLP()), Weighted(Tree()))))],
    Ordinal: [Ordinal(of=Linear()), Ordinal(of=Mixture(of=(Weighted(MLP()), Weighted(Tree()))))],
    Heteroscedastic: [
        Heteroscedastic(of=Linear()),
        Heteroscedastic(of=PostNonlinear(of=Additive())),
        Heteroscedastic(of=Mixture(of=(Weighted(MLP()), Weighted(Linear())))),
    ],
    Sine: [Sine(frequency=Draw.constant(5.0), phase=Draw(low=-3.2, high=3.2))],
    Do: [Do(rows=Draw.constant(1.0), targets=Draw.constant(0.0)), Do(at_once=Draw(low=1.0, high=9.0))],
    Shift: [Shift(rows=Draw.constant(1.0), at_once=Draw.constant(3.0))],
    UnknownTarget: [UnknownTarget(of=Do()), UnknownTarget(of=Shift())],
    Activity: [Activity(of=Do()), Activity(of=UnknownTarget(of=Shift()))],
    MeasurementMixture: [
        MeasurementMixture(of=(Weighted(Counts()), Weighted(Levels()))),
        MeasurementMixture(of=(Weighted(Chain(of=(Noisy(), Missing()))),)),
    ],
    Chain: [Chain(of=(Missing(), Counts())), Chain(of=(Noisy(), MeasurementMixture(of=(Weighted(Rounded()),))))],
    Ordered: [Ordered(temperature=0.01)],
    BCE: [BCE(label_smoothing=0.1)],
    WeightedBCE: [WeightedBCE(positive_weight=2.33), WeightedBCE(label_smoothing=0.1)],
    Focal: [Focal(gamma=3.0, alpha=0.25), Focal(label_smoothing=0.1)],
    # "naive-power" breaks the promise to be finite: tests/plugins/test_regularisers.py
    Acyclicity: [Acyclicity(form=form) for form in ("exponential", "log-determinant", "spectral-radius")],
    KLCap: [KLCap(free_bits=0.5)],
    Sparsity: [Sparsity(density=0.3)],
    TabPFN: [TabPFN(layers=1, heads=1)],
    CrossMoment: [CrossMoment(steps=1, levels=3)],
    GatedFusion: [GatedFusion(crosses=1, heads=1, state=1, products=1)],
    Variational: [Variational(of=CrossMoment(features=2, steps=1), latent=1), Variational(of=Variational())],
    Columns: [Columns(dropout=0.3)],
    MixtureOfExperts: [MixtureOfExperts(layers=16, experts=2, top_k=1), MixtureOfExperts(top_k=8, dropout=0.3)],
    Graph: [Graph(rounds=1, dropout=0.3)],
    Triangle: [Triangle(dropout=0.3)],
}
"""Settings to try besides the defaults; the only ones of a component that has no defaults."""


WAITING = {MixtureOfExperts, Mixture}
"""Those that have the host wait for a GPU; but mixtures of mechanisms the stream takes apart."""


def settings_of(component):
    required = [field.name for field in attrs.fields(component) if field.default is attrs.NOTHING]
    assert not required or component in EXAMPLES, f"{component.name} needs {required}: add an example to EXAMPLES"
    return ([] if required else [component()]) + EXAMPLES.get(component, [])


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: f"{component.kind}-{component.name}")
def test_conformance(component):
    conformance(*settings_of(component))


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: f"{component.kind}-{component.name}")
def test_conformance_on_a_pretended_gpu(component):
    with pretended_gpu() as gpu:
        conformance(settings_of(component)[0], device="cuda")
    assert bool(gpu.waits) == (component in WAITING), gpu.waits


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: f"{component.kind}-{component.name}")
def test_conformance_on_a_gpu(component):
    conformance(*settings_of(component), device="cuda")


@pytest.mark.parametrize("component", SHIPPED, ids=lambda component: f"{component.kind}-{component.name}")
def test_shipped_component_says_where_it_comes_from(component):
    assert "Source: " in component.__doc__


@pytest.mark.parametrize("component", SHIPPED, ids=lambda component: f"{component.kind}-{component.name}")
def test_shipped_component_lives_where_its_kind_and_name_say(component):
    folder = {"noise": "noises", "loss": "losses"}.get(component.kind, component.kind + "s")
    assert component.__module__ == f"tabscm_builtin.{folder}.{component.name.replace('-', '_')}"


@pytest.mark.parametrize(
    "component",
    [one for one in SHIPPED if one.kind in ("embedding", "encoder", "head")],
    ids=lambda component: f"{component.kind}-{component.name}",
)
def test_how_large_a_shipped_network_is_can_be_seen_without_its_numbers(component):
    """What takes memory all the same would take it for any width that a stranger's file names."""
    for settings in settings_of(component):
        with torch.device("meta"):
            network = settings.build(32)
        assert all(numbers.is_meta for numbers in network.state_dict().values())


def test_shipped_components_are_not_derived_from_each_other():
    derived = [one.__name__ for one in SHIPPED for other in SHIPPED if one is not other and issubclass(one, other)]
    assert not derived


def test_nothing_that_ships_is_set_aside():
    assert discover().quarantined == ()
    assert {component.kind for component in SHIPPED} == set(KINDS)
