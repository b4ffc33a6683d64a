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
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.scale_free import ScaleFree
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.mechanisms.linear import Linear
from tabscm_builtin.mechanisms.mixture import Mixture
from tabscm_builtin.mechanisms.mlp import MLP
from tabscm_builtin.mechanisms.sine import Sine
from tabscm_builtin.mechanisms.threshold import Threshold

from tabscm import Draw, Weighted
from tabscm.kernel.interfaces import KINDS
from tabscm.kernel.registry import discover
from tabscm.testing import conformance

ENTRIES = discover().entries()
COMPONENTS = [entry.component_class for entry in ENTRIES]
SHIPPED = [entry.component_class for entry in ENTRIES if entry.origin.distribution == "tabscm"]

EXAMPLES = {
    ErdosRenyi: [ErdosRenyi(density=Draw.constant(0.3)), ErdosRenyi(density=Draw.constant(1.0))],
    ScaleFree: [ScaleFree(degree=Draw(low=0.0, high=6.0))],
    Mixture: [
        Mixture(of=(Weighted(Linear()), Weighted(Sine()), Weighted(MLP()), Weighted(Threshold()))),
        Mixture(of=(Weighted(Linear()), Weighted(Mixture(of=(Weighted(MLP()), Weighted(Sine())))))),
    ],
    MLP: [MLP(hidden=1)],
    Sine: [Sine(frequency=Draw.constant(5.0), phase=Draw(low=-3.2, high=3.2))],
    Do: [Do(rows=Draw.constant(1.0), targets=Draw.constant(0.0))],
    TabPFN: [TabPFN(layers=1, heads=1)],
    GatedFusion: [GatedFusion(crosses=1, heads=1, state=1, products=1)],
    Variational: [Variational(of=CrossMoment(features=2, steps=1), latent=1), Variational(of=Variational())],
    Columns: [Columns(dropout=0.3)],
    MixtureOfExperts: [MixtureOfExperts(layers=16, experts=2, top_k=1), MixtureOfExperts(top_k=8, dropout=0.3)],
    Graph: [Graph(rounds=1, dropout=0.3)],
    Triangle: [Triangle(dropout=0.3)],
}
"""Settings to try besides the defaults; the only ones of a component that has no defaults."""


def settings_of(component):
    required = [field.name for field in attrs.fields(component) if field.default is attrs.NOTHING]
    assert not required or component in EXAMPLES, f"{component.name} needs {required}: add an example to EXAMPLES"
    return ([] if required else [component()]) + EXAMPLES.get(component, [])


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: f"{component.kind}-{component.name}")
def test_conformance(component):
    conformance(*settings_of(component))


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


def test_shipped_components_are_not_derived_from_each_other():
    derived = [one.__name__ for one in SHIPPED for other in SHIPPED if one is not other and issubclass(one, other)]
    assert not derived


def test_nothing_that_ships_is_set_aside():
    assert discover().quarantined == ()
    assert {component.kind for component in SHIPPED} == set(KINDS)
