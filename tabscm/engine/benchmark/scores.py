"""How good an answer is.

An edge without direction is judged as a coin would direct it: half a hit and half a miss where there is an edge, in F1
and in the SHD, one miss where there is none. One that is asserted in both directions is a cycle, and wrong in one of
them. The metrics that rank pairs take the scores, those of graphs the graph.
"""

import math
from importlib.util import find_spec

import numpy as np
import torch

from tabscm.engine import metrics
from tabscm.engine.benchmark.answer import Answer
from tabscm.engine.benchmark.case import Bools, Case, Floats
from tabscm.engine.benchmark.equivalence import cpdag, distance, one_graph, without_cycles
from tabscm.engine.sortability import r2_sortability, var_sortability

SHARED = ("edges", "density", "shd_empty", "varsortability", "r2_sortability")
"""What is known of a table whoever answers."""


def judge(answer: Answer, case: Case) -> dict[str, float]:
    """Judge an answer.

    Returns:
        By name, NaN where undefined:

        - "auroc", "ap", "direction", "edges", "density", "shd_empty": see `metrics.score`, of the scores.
        - "skeleton_auroc", "skeleton_ap": of unordered pairs, whose score is the sum of both directions'.
        - "f1", "precision", "recall", "shd": of the graph, open edges as said above.
        - "cpdag_shd": unordered pairs on which the graph's Markov class differs from that of the truth.
        - "sid": structural intervention distance, ordered pairs whose effect the graph's parents do not identify; open
          edges are directed along an order that fits the others. Only where gadjid is installed.
        - "invalid": 1 where the graph has a directed cycle; its least sure edges are left out for the two above.
        - "log_prob", "log_prob_gain": of the truth under the probabilities, in nats, see `metrics.score`.
        - "varsortability", "r2_sortability": of the table, see sortability.py.
    """
    adj, scores = torch.from_numpy(case.adj)[None], torch.from_numpy(answer.scores)[None]
    ranked = metrics.score(scores, adj)
    found = {name: ranked[name].item() for name in ("auroc", "ap", "direction", "edges", "density", "shd_empty")}
    sure = scores.sigmoid() if answer.logits is not None else scores
    skeleton = metrics.score(sure + sure.mT, adj | adj.mT)
    found |= {f"skeleton_{name}": skeleton[name].item() for name in ("auroc", "ap")}
    found |= _decided(answer.graph, case.adj)
    pattern, invalid = without_cycles(answer.graph, answer.scores)
    open_ = bool((pattern & pattern.T).any())
    found["invalid"] = float(invalid)
    found["cpdag_shd"] = float(distance(pattern if open_ else cpdag(pattern), cpdag(case.adj)))
    found["sid"] = _sid(case.adj, one_graph(pattern))
    if answer.logits is not None:
        judged = metrics.score(torch.from_numpy(answer.logits)[None], adj)
        found |= {name: judged[name].item() for name in ("log_prob", "log_prob_gain")}
    x = torch.from_numpy(case.x)[None]
    found["varsortability"] = var_sortability(x, adj).item()
    found["r2_sortability"] = r2_sortability(x, adj).item()
    return found


def bins(answer: Answer, case: Case) -> list[list[float]] | None:
    """What `metrics.calibration` makes of the probabilities of one table; None without probabilities."""
    if answer.logits is None:
        return None
    counts = metrics.calibration([(torch.from_numpy(answer.logits)[None], torch.from_numpy(case.adj)[None])])
    return [values.tolist() for values in counts]


def calibration_error(tables: list[list[list[float]]]) -> float:
    """Expected calibration error over the pairs of all tables, given the `bins` of each; NaN without any."""
    if not tables:
        return math.nan
    pairs, claimed, occurred = np.sum(tables, axis=0)
    return float(np.abs(claimed - occurred).sum() / pairs.sum())


def _decided(graph: Floats, adj: Bools) -> dict[str, float]:
    hits, found, edges = float(graph[adj].sum()), float(graph.sum()), int(adj.sum())
    linked, true = (graph + graph.T) > 0, adj | adj.T
    # of a pair: 1 for a wrong or missing edge, else how much of it points the wrong way
    wrong = np.where(linked & true, (graph * adj.T + (graph * adj.T).T) > 0, linked != true).astype(float)
    wrong *= np.where(linked & true & (graph == 0.5), 0.5, 1.0)
    return {
        "precision": hits / found if found else math.nan,
        "recall": hits / edges if edges else math.nan,
        "f1": 2 * hits / (found + edges) if found + edges else math.nan,
        "shd": float(np.triu(wrong, 1).sum()),
    }


def _sid(adj: Bools, graph: Bools) -> float:
    """Source: Peters and Buehlmann 2015, arXiv:1306.1043; computed by gadjid, Henckel et al. 2024, arXiv:2402.08616."""
    if find_spec("gadjid") is None or len(adj) < 2:
        return math.nan
    import gadjid

    return float(gadjid.sid(adj.astype(np.int8), graph.astype(np.int8), edge_direction="from row to column")[1])
