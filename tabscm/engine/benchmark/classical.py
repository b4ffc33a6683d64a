"""The classical methods, as causal-learn and gies run them: their defaults, columns as they come, seeded.

Letters: N rows, D variables.
"""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tabscm.engine.benchmark import bdeu
from tabscm.engine.benchmark.answer import Answer, of_pattern, of_weights
from tabscm.engine.benchmark.case import Case, Floats

SEED = 0
ALPHA = 0.05
"""Level of PC's tests, causal-learn's own."""


def pc(case: Case) -> Answer:
    """Tests of independence: Fisher's z of partial correlations, chi-squared on codes.

    Source: Spirtes and Glymour 1991.
    """
    from causallearn.search.ConstraintBased.PC import pc

    test = "chisq" if case.discrete else "fisherz"
    found = _seeded(lambda: pc(_values(case), alpha=ALPHA, indep_test=test, show_progress=False))
    return _read(found.G.graph)


def ges(case: Case) -> Answer:
    """Greedy equivalence search by BIC, by BDeu on codes.

    Source: Chickering 2002.
    """
    from causallearn.search.ScoreBased import GES

    score = bdeu.NAME if case.discrete else "local_score_BIC"
    with bdeu.in_place_of_theirs(GES):
        return _read(_seeded(lambda: GES.ges(_values(case), score_func=score))["G"].graph)


def boss(case: Case) -> Answer:
    """Best order score search by BIC, by BDeu on codes.

    Source: Andrews et al. 2023, arXiv:2310.17679.
    """
    from causallearn.search.PermutationBased import BOSS

    with bdeu.in_place_of_theirs(BOSS):
        return _read(_seeded(lambda: BOSS.boss(_values(case), score_func=_order_score(case), verbose=False)).graph)


def grasp(case: Case) -> Answer:
    """Greedy relaxations of the sparsest permutation by BIC, by BDeu on codes.

    Source: Lam et al. 2022, arXiv:2206.05421.
    """
    from causallearn.search.PermutationBased import GRaSP

    with bdeu.in_place_of_theirs(GRaSP):
        return _read(_seeded(lambda: GRaSP.grasp(_values(case), score_func=_order_score(case), verbose=False)).graph)


def lingam(case: Case) -> Answer:
    """DirectLiNGAM: regress, and take what is left over independent of as the cause.

    Source: Shimizu et al. 2011, JMLR 12.
    """
    from causallearn.search.FCMBased.lingam import DirectLiNGAM

    model = DirectLiNGAM(random_state=SEED)
    _seeded(lambda: model.fit(case.scaled()))
    return of_weights(np.asarray(model.adjacency_matrix_).T, least=0.0)


def gies(case: Case) -> Answer:
    """GES that reads interventions: rows with the same targets are one environment.

    Source: Hauser and Buehlmann 2012, JMLR 13.
    """
    import gies

    x = case.scaled()
    kinds, which = np.unique(case.intervened, axis=0, return_inverse=True)
    data = [x[which.ravel() == kind] for kind in range(len(kinds))]
    targets = [[int(target) for target in np.flatnonzero(kind)] for kind in kinds]
    found, _ = _seeded(lambda: gies.fit_bic(data, targets))
    pattern = np.asarray(found) != 0
    return of_pattern(pattern & ~pattern.T, pattern & pattern.T)


def _values(case: Case) -> Floats:
    return case.x if case.discrete else case.scaled()


def _order_score(case: Case) -> str:
    return bdeu.NAME if case.discrete else "local_score_BIC_from_cov"


def _read(ends: Any) -> Answer:  # noqa: ANN401 - the extra need not be installed
    """The graph in causal-learn's code: -1 at [i, j] and 1 at [j, i] is i -> j; the same sign twice is no direction."""
    tail, head = np.asarray(ends) == -1, np.asarray(ends) == 1
    directed = tail & head.T
    return of_pattern(directed, (tail & tail.T) | (head & head.T))


def _seeded(work: Callable[[], Any]) -> Any:  # noqa: ANN401 - as above
    """What a method gives when chance starts anew; its warnings are about its own code."""
    random.seed(SEED)
    np.random.seed(SEED)  # what these methods use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work()
