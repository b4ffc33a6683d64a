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
from tabscm_builtin.graphs.blocks import Blocks
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.geometric import Geometric
from tabscm_builtin.graphs.layered import Layered
from tabscm_builtin.graphs.scale_free import ScaleFree
from tabscm_builtin.graphs.small_world import SmallWorld
from tabscm_builtin.heads.bilinear import Bilinear
from tabscm_builtin.heads.effects import Effects
from tabscm_builtin.heads.intervention import Intervention
from tabscm_builtin.heads.ordered import Ordered
from tabscm_builtin.heads.pair import Pair
from tabscm_builtin.interventions.activity import Activity
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.interventions.none import NoIntervention
from tabscm_builtin.interventions.shift import Shift
from tabscm_builtin.interventions.unknown_target import UnknownTarget
from tabscm_builtin.losses.bce import BCE
from tabscm_builtin.losses.effects import Effects as EffectsLoss
from tabscm_builtin.losses.focal import Focal
from tabscm_builtin.losses.graph import Graph as GraphLoss
from tabscm_builtin.losses.intervention import Intervention as InterventionLoss
from tabscm_builtin.losses.order import Order
from tabscm_builtin.losses.pair import Pair as PairLoss
from tabscm_builtin.losses.skeleton import Skeleton
from tabscm_builtin.losses.weighted_bce import WeightedBCE
from tabscm_builtin.measurements.censored import Censored
from tabscm_builtin.measurements.chain import Chain
from tabscm_builtin.measurements.common_factor import CommonFactor
from tabscm_builtin.measurements.counts import Counts
from tabscm_builtin.measurements.exact import Exact
from tabscm_builtin.measurements.levels import Levels
from tabscm_builtin.measurements.missing import Missing
from tabscm_builtin.measurements.mixture import Mixture as MeasurementMixture
from tabscm_builtin.measurements.noisy import Noisy
from tabscm_builtin.measurements.positive import Positive
from tabscm_builtin.measurements.rounded import Rounded
from tabscm_builtin.measurements.warped import Warped
from tabscm_builtin.mechanisms.additive import Additive
from tabscm_builtin.mechanisms.categorical import Categorical
from tabscm_builtin.mechanisms.conditional_table import ConditionalTable
from tabscm_builtin.mechanisms.discrete_additive import DiscreteAdditive
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
from tabscm_builtin.mechanisms.quadratic import Quadratic
from tabscm_builtin.mechanisms.random_fourier import RandomFourier
from tabscm_builtin.mechanisms.sine import Sine
from tabscm_builtin.mechanisms.tanh import Tanh
from tabscm_builtin.mechanisms.threshold import Threshold
from tabscm_builtin.mechanisms.tree import Tree
from tabscm_builtin.noises.bimodal import Bimodal
from tabscm_builtin.noises.cauchy import Cauchy
from tabscm_builtin.noises.exponential import Exponential
from tabscm_builtin.noises.gaussian import Gaussian
from tabscm_builtin.noises.gumbel import Gumbel
from tabscm_builtin.noises.laplace import Laplace
from tabscm_builtin.noises.log_normal import LogNormal
from tabscm_builtin.noises.student import Student
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
        SmallWorld,
        Blocks,
        Geometric,
        Layered,
        # noises
        Gaussian,
        Uniform,
        Laplace,
        Exponential,
        Gumbel,
        Student,
        LogNormal,
        Cauchy,
        Bimodal,
        # mechanisms
        Linear,
        MLP,
        Sine,
        Tanh,
        Quadratic,
        Threshold,
        RandomFourier,
        GaussianProcess,
        Additive,
        Polynomial,
        Multiplicative,
        Tree,
        ConditionalTable,
        Categorical,
        NoisyOr,
        DiscreteAdditive,
        Ordinal,
        PostNonlinear,
        Heteroscedastic,
        Mixture,
        # interventions
        NoIntervention,
        Do,
        Shift,
        UnknownTarget,
        Activity,
        # measurements
        Exact,
        Noisy,
        Positive,
        Warped,
        CommonFactor,
        Counts,
        Rounded,
        Levels,
        Censored,
        Missing,
        MeasurementMixture,
        Chain,
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
        Ordered,
        Intervention,
        Effects,
        # losses
        BCE,
        PairLoss,
        WeightedBCE,
        Focal,
        Skeleton,
        GraphLoss,
        Order,
        InterventionLoss,
        EffectsLoss,
        # regularisers
        Acyclicity,
        Sparsity,
        KLCap,
        LoadBalance,
    ]
