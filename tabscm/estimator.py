"""The network as an estimator in the manner of scikit-learn, which need not be installed."""

import inspect
import warnings
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.frames import Frame, read_frame
from tabscm.engine.knowledge import Knowledge, read_knowledge
from tabscm.engine.loading import load_model
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.released import find
from tabscm.engine.result import Result
from tabscm.engine.rows import show
from tabscm.engine.tables import DataTable
from tabscm.engine.targets import aligned, cells_of_variables, described, intervened_cells
from tabscm.kernel.errors import DataError, TabSCMError, did_you_mean
from tabscm.kernel.registry import discover as discover_components

if TYPE_CHECKING:
    from sklearn.utils import Tags

CHOSEN = "chosen"
"""The threshold that was best on the validation tables of the training."""


class TabSCM:
    """The causal graph of a table, read off by a trained network; nothing is fitted to the table.

    Follows the conventions of scikit-learn: `get_params`, `set_params` and `clone` work, and what `fit` finds ends in
    an underscore.

        est = TabSCM.from_pretrained().fit(X)
        est.edge_prob_[0, 1]          # the probability that the first variable causes the second directly
        est.result_.to_dag()          # and everything else that `Result` offers

    Args:
        model: folder of a trained run, or name of a released network; None is the one of the package; RUN:SPECIALIST
            asks one of several alone, such as "base:discrete".
        threshold: probability above which an edge belongs to `adjacency_matrix_` and `causal_graph_`, in [0, 1], or
            "chosen", the one that was best in the network's validation.
        acyclic: whether these two are the best graph without a cycle; else edges are judged one by one.
        knowledge: what is known already, which the result obeys, or the file that says so; see `read_knowledge`.
        bootstrap: how many tables are drawn again from the rows, with replacement, to see how steady the graph is, at
            this `threshold` and with `acyclic`; `result_.bootstrap` holds the frequencies. 0 for none.
        device: "auto" takes a GPU if there is one; "cpu", "cuda".

    Attributes:
        edge_prob_: [d, d] float64; at [i, j] the probability that i causes j directly, 0 on the diagonal.
        direction_prob_: [d, d] float64; at [i, j] that of i -> j if there is an edge between i and j; [i, j] and [j, i]
            have the sum 1, 0 on the diagonal.
        adjacency_matrix_: [d, d] int64; 1 at [i, j] for i -> j.
        causal_graph_: networkx.DiGraph of all variables by name, edges with the attribute "probability".
        feature_names_in_: [d] of str, the variables; only where the columns of X have names that are text.
        n_features_in_: d, the number of variables.
        result_: the `Result`, with names, notes and exports.
    """

    edge_prob_: NDArray[np.float64]
    direction_prob_: NDArray[np.float64]
    adjacency_matrix_: NDArray[np.int64]
    causal_graph_: nx.DiGraph
    feature_names_in_: NDArray[np.object_]
    n_features_in_: int
    result_: Result

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        threshold: float | str = 0.5,
        acyclic: bool = False,
        knowledge: Knowledge | str | Path | None = None,
        bootstrap: int = 0,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.threshold = threshold
        self.acyclic = acyclic
        self.knowledge = knowledge
        self.bootstrap = bootstrap
        self.device = device

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | Path | None = None,
        *,
        threshold: float | str = 0.5,
        acyclic: bool = False,
        knowledge: Knowledge | str | Path | None = None,
        bootstrap: int = 0,
        device: str = "auto",
    ) -> Self:
        """An estimator whose network is read now and not at the first `fit`; the arguments are those of the class.

        Raises:
            CheckpointError: there is no such network, or it is damaged.
        """
        estimator = cls(
            path_or_name,
            threshold=threshold,
            acyclic=acyclic,
            knowledge=knowledge,
            bootstrap=bootstrap,
            device=device,
        )
        estimator._obtain()
        return estimator

    def fit(self, X: object, y: object = None, *, interventions: object = None, conditions: object = None) -> Self:
        """Read the graph of a table in one forward pass. The weights of the network do not change.

        Args:
            X: [n, d], a DataFrame of pandas or polars, a Table of pyarrow, or an array. Its variables are numbers,
                truth values, and text or categories of 2 to 20 different values, which become numbers as
                `result_.notes` says. Other text (names of rows, remarks) and dates are left aside with a warning, and
                refused where the columns have no names, which would say what the variables are.
                Cells that are NaN or None are missing, and those of text that are blank or say NA, nan or null.
            y: not used; scikit-learn passes one.
            interventions: which cells an intervention set, in one of four forms: a boolean mask [n, d]; a column of n
                target names, where None or "" is an observational row and a list several targets; the name of such a
                column of X; or a mapping from each condition to its targets. None: all rows are observational.
            conditions: with a mapping, the condition of each of the n rows, or the name of a column of X. A column of X
                that is named here or above is no variable.

        Raises:
            DataError: X or the interventions cannot be used; a ValueError, too.
            CheckpointError: the network cannot be read.
            ConfigError: the knowledge names other variables, or contradicts itself.
        """
        _expect_no_interventions(y)
        aligned(X, interventions, "interventions")
        aligned(X, conditions, "conditions")
        frame, cells = intervened_cells(read_frame(X), interventions, conditions)
        data = frame.table()
        _expect_names(frame, data)
        cells = cells_of_variables(frame, cells, data)
        if interventions is not None:
            note = described(data.names, cells, np.ones(len(cells), dtype=np.int64))
            data = attrs.evolve(data, notes=(*data.notes, note))
        for line in data.aside:
            warnings.warn(f"{data.source}: {line}", stacklevel=2)
        model, device = self._obtain()
        threshold = _threshold(self.threshold, model)
        result = predict(
            model,
            data,
            device=device,
            intervened=cells,
            knowledge=_knowledge(self.knowledge),
            repeats=_repeats(self.bootstrap),
            threshold=threshold,
            acyclic=self.acyclic,
        )
        self.result_ = result
        self.edge_prob_ = result.edge_prob
        self.direction_prob_ = result.direction_prob
        self.adjacency_matrix_ = result.graph(threshold, acyclic=self.acyclic).astype(np.int64)
        self.causal_graph_ = result.to_networkx(threshold, acyclic=self.acyclic)
        self.n_features_in_ = len(result.names)
        if frame.named:
            self.feature_names_in_ = np.array(result.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_  # of a table before
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the class by name; `deep` makes no difference, for none of them is an estimator."""
        return {name: getattr(self, name) for name in _parameters(type(self))}

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401 - of different types
        """Set arguments of the class by name.

        Raises:
            ValueError: there is no such argument.
        """
        known = _parameters(type(self))
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self!r}.{did_you_mean(name, known)} "
                    f"Valid parameters are: {known!r}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """The call that makes it, with what differs from the defaults."""
        defaults = inspect.signature(type(self)).parameters
        given = {name: value for name, value in self.get_params().items() if value != defaults[name].default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def __getstate__(self) -> dict[str, object]:
        """What is pickled: no weights, which are read again from where they lie."""
        return {name: value for name, value in vars(self).items() if name != "_network"}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "result_")

    def __sklearn_tags__(self) -> "Tags":
        from sklearn.utils import InputTags, Tags, TargetTags

        takes = InputTags(allow_nan=True, categorical=True, string=True)
        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=takes)

    def _obtain(self) -> tuple[Model, torch.device]:
        """The network on its device, read when it is asked for first, or anew where another one is meant."""
        device = _device(self.device)
        path = find(None if self.model is None else Path(self.model)).resolve()
        key = (path, device)
        network: tuple[tuple[Path, torch.device], Model] | None = getattr(self, "_network", None)
        if network is None or network[0] != key:
            network = (key, load_model(path, discover_components(), device))
            self._network = network
        return network[1], device


def discover(
    X: object,
    *,
    interventions: object = None,
    conditions: object = None,
    knowledge: Knowledge | str | Path | None = None,
    bootstrap: int = 0,
    model: str | Path | None = None,
    device: str = "auto",
) -> Result:
    """The causal graph of a table in one call; the arguments are those of `TabSCM` and `TabSCM.fit`."""
    return (
        TabSCM(model, knowledge=knowledge, bootstrap=bootstrap, device=device)
        .fit(X, interventions=interventions, conditions=conditions)
        .result_
    )


def _parameters(estimator: type[TabSCM]) -> list[str]:
    return sorted(name for name in inspect.signature(estimator.__init__).parameters if name != "self")


def _expect_no_interventions(y: object) -> None:
    """Refuse interventions that were passed where scikit-learn passes y: they would be ignored."""
    if y is None:
        return
    values = np.asarray(y)
    if values.ndim != 1 or values.dtype.kind == "b":
        raise DataError("y is not used; give interventions by name, fit(X, interventions=...)")


def _expect_names(frame: Frame, data: DataTable) -> None:
    """Refuse columns without names of which some are left aside: the place of a variable would not be its column's."""
    aside = [name for name in frame.names if name not in data.names]
    if aside and not frame.named:
        raise DataError(
            f"{data.source}: column {show(aside[0])} is no variable, and no names of columns say which are; make "
            "numbers of it, or leave it out"
        )


def _knowledge(known: Knowledge | str | Path | None) -> Knowledge | None:
    if isinstance(known, str | Path):
        return read_knowledge(Path(known))
    if known is not None and not isinstance(known, Knowledge):
        raise DataError(f"knowledge: expected Knowledge or the path of a file, found {type(known).__name__}")
    return known


def _threshold(threshold: float | str, model: Model) -> float:
    if threshold == CHOSEN:
        return model.chosen_threshold()
    if isinstance(threshold, str | bool) or not 0 <= threshold <= 1:
        raise ValueError(f'threshold: expected a number from 0 to 1, or "{CHOSEN}", found {threshold!r}')
    return float(threshold)


def _repeats(bootstrap: int) -> int:
    if isinstance(bootstrap, bool) or not isinstance(bootstrap, Integral) or bootstrap < 0:
        raise ValueError(f"bootstrap: expected a whole number from 0, how many tables to draw, found {bootstrap!r}")
    return int(bootstrap)


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f'device: expected "auto", "cpu" or "cuda", found {name!r}')
    if name == "cuda" and not torch.cuda.is_available():
        raise TabSCMError('there is no CUDA device here. Use device="cpu", or leave it out.')
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
