"""The shelf of components that ship with TabSCM. They enter by the same hook as a stranger's."""

from tabscm import hookimpl
from tabscm_builtin.embeddings.axial import Axial
from tabscm_builtin.embeddings.cross_moment import CrossMoment
from tabscm_builtin.embeddings.simple import Simple
from tabscm_builtin.encoders.columns import Columns
from tabscm_builtin.encoders.identity import Identity
from tabscm_builtin.encoders.triangle import Triangle
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.scale_free import ScaleFree
from tabscm_builtin.heads.bilinear import Bilinear
from tabscm_builtin.heads.effects import Effects
from tabscm_builtin.heads.intervention import Intervention
from tabscm_builtin.heads.ordered import Ordered
from tabscm_builtin.heads.pair import Pair
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.interventions.none import NoIntervention
from tabscm_builtin.losses.bce import BCE
from tabscm_builtin.losses.effects import Effects as EffectsLoss
from tabscm_builtin.losses.focal import Focal
from tabscm_builtin.losses.intervention import Intervention as InterventionLoss
from tabscm_builtin.losses.order import Order
from tabscm_builtin.losses.skeleton import Skeleton
from tabscm_builtin.losses.weighted_bce import WeightedBCE
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
from tabscm_builtin.regularisers.kl_cap import KLCap
from tabscm_builtin.regularisers.load_balance import LoadBalance
from tabscm_builtin.regularisers.sparsity import Sparsity


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
        Axial,
        CrossMoment,
        # encoders
        Identity,
        Columns,
        Triangle,
        # heads
        Bilinear,
        Pair,
        Ordered,
        Intervention,
        Effects,
        # losses
        BCE,
        WeightedBCE,
        Focal,
        Skeleton,
        Order,
        InterventionLoss,
        EffectsLoss,
        # regularisers
        Acyclicity,
        Sparsity,
        KLCap,
        LoadBalance,
    ]
