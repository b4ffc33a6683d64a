"""The shelf of components that ship with TabSCM. They enter by the same hook as a stranger's."""

from tabscm import hookimpl
from tabscm_builtin.embeddings.axial import Axial
from tabscm_builtin.embeddings.cross_moment import CrossMoment
from tabscm_builtin.embeddings.gated_fusion import GatedFusion
from tabscm_builtin.embeddings.set import Set
from tabscm_builtin.embeddings.simple import Simple
from tabscm_builtin.embeddings.tabpfn import TabPFN
from tabscm_builtin.embeddings.variational import Variational
from tabscm_builtin.encoders.columns import Columns
from tabscm_builtin.encoders.graph import Graph
from tabscm_builtin.encoders.identity import Identity
from tabscm_builtin.encoders.moe import MixtureOfExperts
from tabscm_builtin.encoders.triangle import Triangle
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.scale_free import ScaleFree
from tabscm_builtin.heads.bilinear import Bilinear
from tabscm_builtin.heads.pair import Pair
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.interventions.none import NoIntervention
from tabscm_builtin.losses.bce import BCE
from tabscm_builtin.losses.focal import Focal
from tabscm_builtin.mechanisms.linear import Linear
from tabscm_builtin.mechanisms.mixture import Mixture
from tabscm_builtin.mechanisms.mlp import MLP
from tabscm_builtin.mechanisms.quadratic import Quadratic
from tabscm_builtin.mechanisms.sine import Sine
from tabscm_builtin.mechanisms.tanh import Tanh
from tabscm_builtin.mechanisms.threshold import Threshold
from tabscm_builtin.noises.gaussian import Gaussian
from tabscm_builtin.noises.laplace import Laplace
from tabscm_builtin.noises.uniform import Uniform
from tabscm_builtin.regularisers.acyclicity import Acyclicity


@hookimpl
def tabscm_components() -> list[type]:
    """The menu: every shipped component, grouped by kind."""
    return [
        # graphs
        ErdosRenyi,
        ScaleFree,
        # noises
        Gaussian,
        Uniform,
        Laplace,
        # mechanisms
        Linear,
        MLP,
        Sine,
        Tanh,
        Quadratic,
        Threshold,
        Mixture,
        # interventions
        NoIntervention,
        Do,
        # embeddings
        Simple,
        Set,
        TabPFN,
        Axial,
        CrossMoment,
        GatedFusion,
        Variational,
        # encoders
        Identity,
        Columns,
        MixtureOfExperts,
        Graph,
        Triangle,
        # heads
        Bilinear,
        Pair,
        # losses
        BCE,
        Focal,
        # regularisers
        Acyclicity,
    ]
