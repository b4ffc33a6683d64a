"""The BDeu score of discrete variables as causal-learn defines it, counted by numpy: ten times faster and more.

Letters: N rows, D variables.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from tabscm.engine.benchmark.case import Floats

NAME = "local_score_BDeu"
"""Of their function, wherever they use it."""


def local_score(data: Floats, child: int, parents: Sequence[int], parameters: object = None) -> float:
    """Log-probability of a column given its parents under a Dirichlet prior, and of having so many parents.

    Args:
        data: [N, D] codes.
        child: the column.
        parents: other columns.
        parameters: their signature; not used.

    Source: Heckerman et al. 1995, with a sample size and a structure prior of 1 as in causal-learn 0.1.4.
    """
    from scipy.special import gammaln

    states = len(np.unique(data[:, child]))
    others = data.shape[1] - 1
    combinations, group = 1, np.zeros(len(data), dtype=np.int64)
    for parent in parents:
        values, codes = np.unique(data[:, parent], return_inverse=True)
        combinations *= len(values)
        group = np.unique(group * len(values) + codes, return_inverse=True)[1]
    together = np.unique(group * states + np.unique(data[:, child], return_inverse=True)[1], return_counts=True)[1]
    alone = np.bincount(group)
    prior, each = 1 / combinations, 1 / (states * combinations)
    structure = len(parents) * np.log(1 / others)
    if others > len(parents):
        structure += (others - len(parents)) * np.log1p(-1 / others) if others > 1 else -np.inf
    score = len(alone) * gammaln(prior) - gammaln(alone + prior).sum()
    score += gammaln(together + each).sum() - len(together) * gammaln(each)
    return float(structure + score)


@contextmanager
def in_place_of_theirs(module: ModuleType) -> Iterator[None]:
    """While this lasts, a module of causal-learn counts with `local_score`."""
    theirs = getattr(module, NAME)
    setattr(module, NAME, local_score)
    try:
        yield
    finally:
        setattr(module, NAME, theirs)
