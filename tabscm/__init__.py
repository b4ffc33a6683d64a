"""Give it a table, get the causal graph. The names here are the whole public surface for users and plugin authors.

They are imported when first used, so that `python -m tabscm --help` answers without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabscm.engine.knowledge import Knowledge as Knowledge
    from tabscm.engine.knowledge import read_knowledge as read_knowledge
    from tabscm.engine.result import Result as Result
    from tabscm.estimator import TabSCM as TabSCM
    from tabscm.estimator import discover as discover
    from tabscm.kernel.errors import CheckpointError as CheckpointError
    from tabscm.kernel.errors import ConfigError as ConfigError
    from tabscm.kernel.errors import ContractError as ContractError
    from tabscm.kernel.errors import DataError as DataError
    from tabscm.kernel.errors import MachineError as MachineError
    from tabscm.kernel.errors import PluginError as PluginError
    from tabscm.kernel.errors import TabSCMError as TabSCMError
    from tabscm.kernel.errors import TrainingError as TrainingError
    from tabscm.kernel.experiment import Weighted as Weighted
    from tabscm.kernel.experiment import constant_shares as constant_shares
    from tabscm.kernel.experiment import pick as pick
    from tabscm.kernel.hooks import hookimpl as hookimpl
    from tabscm.kernel.interfaces import Embedding as Embedding
    from tabscm.kernel.interfaces import Encoder as Encoder
    from tabscm.kernel.interfaces import Evidence as Evidence
    from tabscm.kernel.interfaces import Function as Function
    from tabscm.kernel.interfaces import GraphSampler as GraphSampler
    from tabscm.kernel.interfaces import Head as Head
    from tabscm.kernel.interfaces import Intervention as Intervention
    from tabscm.kernel.interfaces import Loss as Loss
    from tabscm.kernel.interfaces import Measurement as Measurement
    from tabscm.kernel.interfaces import Mechanism as Mechanism
    from tabscm.kernel.interfaces import Noise as Noise
    from tabscm.kernel.interfaces import Prediction as Prediction
    from tabscm.kernel.interfaces import Regulariser as Regulariser
    from tabscm.kernel.interfaces import Rows as Rows
    from tabscm.kernel.interfaces import Rule as Rule
    from tabscm.kernel.interfaces import Table as Table
    from tabscm.kernel.interfaces import Truth as Truth
    from tabscm.kernel.scratch import room as room
    from tabscm.kernel.values import Draw as Draw
    from tabscm.kernel.values import Ramp as Ramp
    from tabscm.kernel.values import within as within

_HOMES = {
    "tabscm.engine.knowledge": ("Knowledge", "read_knowledge"),
    "tabscm.engine.result": ("Result",),
    "tabscm.estimator": ("TabSCM", "discover"),
    "tabscm.kernel.errors": (
        "CheckpointError",
        "ConfigError",
        "ContractError",
        "DataError",
        "MachineError",
        "PluginError",
        "TabSCMError",
        "TrainingError",
    ),
    "tabscm.kernel.experiment": ("Weighted", "constant_shares", "pick"),
    "tabscm.kernel.hooks": ("hookimpl",),
    "tabscm.kernel.interfaces": (
        "Embedding",
        "Encoder",
        "Evidence",
        "Function",
        "GraphSampler",
        "Head",
        "Intervention",
        "Loss",
        "Measurement",
        "Mechanism",
        "Noise",
        "Prediction",
        "Regulariser",
        "Rows",
        "Rule",
        "Table",
        "Truth",
    ),
    "tabscm.kernel.scratch": ("room",),
    "tabscm.kernel.values": ("Draw", "Ramp", "within"),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return globals().setdefault(name, getattr(import_module(module), name))
    raise AttributeError(f"module 'tabscm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
