"""How good a prediction is, over ordered pairs of variables; the diagonal never counts.

`score` judges every table on its own, `summarise` a whole evaluation, `best_threshold` chooses for one. Letters: T
tables, D variables, M = D (D - 1) ordered pairs of one table, or those of many tables laid end to end, X experts.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tabscm.kernel.shapes import expect

BINS = 10
"""Equal-width bins of probability for the calibration error."""


def score(logits: Tensor, adj: Tensor, *, threshold: float = 0.5, base_rate: float | None = None) -> dict[str, Tensor]:
    """Judge each table on its own.

    Args:
        logits: [T, D, D] float, finite, log-odds of i -> j.
        adj: [T, D, D] bool, the true graphs.
        threshold: the edges whose probability is above it are the graph that precision, recall, F1 and SHD judge.
        base_rate: share of ordered pairs that are edges, for "log_prob_base"; None takes that of these tables.

    Returns:
        [T] float64 by name, NaN where a table leaves a value undefined (the AUROC of a graph without edges):

        - "auroc", "ap": ranking of the ordered pairs; ties count as in scikit-learn. Chance is 0.5 and "density".
        - "precision", "recall", "f1": of the edges above the threshold.
        - "f1_oracle": F1 at the best threshold of each table, which only who knows the truth could choose.
        - "shd": unordered pairs whose edges differ, so that a reversed edge counts once (the field's convention).
        - "shd_empty": the SHD of the empty graph.
        - "edges", "density": how many ordered pairs are edges, and their share.
        - "direction": share of true edges that are more probable than their reverse; a tie counts half, chance is 0.5.
          AUROC mixes this with the skeleton: the right skeleton without any direction has an AUROC above 0.9.
        - "log_prob", "log_prob_base": of the truth, and the same at the base rate; nats, summed over ordered pairs.
        - "log_prob_gain": their difference per ordered pair; nats, above 0 is better than the base rate.
    """
    sizes = expect(logits, "T D D", what="logits", finite=True)
    expect(adj, "T D D", what="adj", dtype=torch.bool, T=sizes["T"], D=sizes["D"])
    logits = logits.double()
    asserted = logits.sigmoid() > threshold
    scores, labels = _ordered_pairs(logits), _ordered_pairs(adj)  # [T, M]
    pairs, edges = labels.shape[1], _count(labels)
    log_prob = logsigmoid(torch.where(labels, scores, -scores)).sum(-1)
    rate = _share(labels) if base_rate is None else base_rate
    log_prob_base = torch.xlogy(edges, rate) + torch.xlogy(pairs - edges, 1 - rate)
    return {
        **_ranking(scores, labels),
        **_decisions(_ordered_pairs(asserted), labels),
        "shd": _shd(asserted, adj),
        "shd_empty": _shd(torch.zeros_like(adj), adj),
        "edges": edges,
        "density": edges / pairs,
        "direction": _direction(logits, adj),
        "log_prob": log_prob,
        "log_prob_base": log_prob_base,
        "log_prob_gain": (log_prob - log_prob_base) / pairs,
    }


def summarise(batches: Sequence[tuple[Tensor, Tensor]], *, threshold: float = 0.5) -> dict[str, float]:
    """Judge a whole evaluation: means over tables with their standard errors, and values pooled over all pairs.

    Args:
        batches: (logits [T, D, D], adj [T, D, D]); T and D may differ from batch to batch.
        threshold: see `score`.

    Returns:
        By name, NaN where undefined:

        - "tables": how many there were.
        - every name of `score`: the mean over the tables that define it, and "..._se", the standard error of that mean.
        - "auroc_pooled", "ap_pooled", "precision_pooled", "recall_pooled", "f1_pooled", "f1_oracle_pooled": one value
          for the ordered pairs of all tables together (what is called micro-averaged).
        - "ece": expected calibration error, pooled; mean distance between probability and frequency in bins.
    """
    scores = torch.cat([_ordered_pairs(logits).double().flatten() for logits, _ in batches])  # [M]
    labels = torch.cat([_ordered_pairs(adj).flatten() for _, adj in batches])  # [M]
    rate = _share(labels)
    parts = [score(logits, adj, threshold=threshold, base_rate=rate) for logits, adj in batches]
    summary = {"tables": float(sum(len(adj) for _, adj in batches))}
    for name in parts[0]:
        values = torch.cat([part[name] for part in parts])
        values = values[~values.isnan()]
        summary[name] = values.mean().item()
        summary[f"{name}_se"] = values.std().item() / len(values) ** 0.5 if len(values) > 1 else torch.nan
    probability = scores.sigmoid()
    pooled = _ranking(scores[None], labels[None]) | _decisions((probability > threshold)[None], labels[None])
    summary |= {f"{name}_pooled": value.item() for name, value in pooled.items()}
    summary["ece"] = _calibration_error(probability, labels)
    return summary


def calibration(batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """What was claimed and what occurred, in BINS bins of probability of equal width.

    Args:
        batches: (logits [T, D, D], adj [T, D, D]); T and D may differ from batch to batch.

    Returns:
        [BINS] each: the ordered pairs of the bin, the sum of their probabilities, and how many of them are edges.
    """
    probability = torch.cat([_ordered_pairs(logits).double().sigmoid().flatten() for logits, _ in batches])
    labels = torch.cat([_ordered_pairs(adj).flatten() for _, adj in batches])
    return _binned(probability, labels)


def best_threshold(batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The threshold at which the graphs of a whole evaluation have the best F1, over all ordered pairs of all tables.

    Choose it on validation and pass it to `score` or `summarise` elsewhere: on its own batches it reaches their
    "f1_oracle_pooled", and promises too much.

    Args:
        batches: (logits [T, D, D], adj [T, D, D]); T and D may differ from batch to batch.

    Returns:
        A probability in [0, 1), half-way between the least probable edge that is asserted and the most probable one
        that is not. Of equally good ones the highest; 0.5 where no threshold has an F1: without edges, without pairs.
    """
    probability = torch.cat([_ordered_pairs(logits).double().sigmoid().flatten() for logits, _ in batches])  # [M]
    labels = torch.cat([_ordered_pairs(adj).flatten() for _, adj in batches])  # [M]
    if not labels.any():
        return 0.5
    probability, order = probability.sort(descending=True)
    hits, found = labels[order].cumsum(0), torch.arange(1, len(order) + 1, device=order.device)
    f1 = 2 * hits / (found + labels.sum())
    below = torch.cat([probability[1:], probability.new_zeros(1)])
    best = int(torch.where(probability > below, f1, -1).argmax())  # ties are asserted together or not at all
    least, most = probability[best].item(), below[best].item()
    middle = (least + most) / 2
    return middle if middle < least else most  # no number lies between neighbours


def effects_error(batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Mean absolute error over the ordered pairs of all tables together; NaN where there is none.

    Args:
        batches: (effects [T, D, D] as predicted, effects [T, D, D] as they are), in standard deviations.
    """
    errors = [_ordered_pairs((found - true).abs()).double().flatten() for found, true in batches]
    return torch.cat(errors).mean().item() if errors else torch.nan


def acyclicity(logits: Tensor) -> Tensor:
    """How far the probabilities P of the edges are from an acyclic graph: trace(exp(P * P)) - D, 0 without a cycle.

    Source: Zheng et al. 2018, arXiv:1803.01422 (NOTEARS), eq. 6. Differs: of probabilities instead of weights.

    Args:
        logits: [T, D, D], log-odds.

    Returns:
        [T] float64, >= 0, unitless; what is logged, whatever a regulariser may ask for.
    """
    off = ~torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    squares = torch.sigmoid(logits.double()).square() * off
    walks = torch.linalg.matrix_exp(squares)
    return torch.diagonal(walks, dim1=1, dim2=2).sum(1) - logits.shape[1]


def gini(shares: Tensor) -> Tensor:
    """How unequal shares are, as the Gini coefficient: mean difference of two of them over twice their mean.

    Args:
        shares: [..., X] float, not negative, of any sum above 0.

    Returns:
        [...] float64 from 0, all equal, to 1 - 1 / X, one has everything; without unit. NaN where all are 0.
    """
    shares = shares.double()
    difference = (shares[..., :, None] - shares[..., None, :]).abs().mean((-2, -1))
    return difference / (2 * shares.mean(-1))


def entropy(shares: Tensor) -> Tensor:
    """How evenly shares are spread, as the entropy of their proportions.

    Args:
        shares: [..., X] float, not negative, of any sum above 0.

    Returns:
        [...] float64 in nats from 0, one has everything, to log X, all equal. NaN where all are 0.
    """
    shares = shares.double() / shares.double().sum(-1, keepdim=True)
    return -torch.xlogy(shares, shares).sum(-1)


def mean(values: Sequence[float]) -> float:
    """Over those that are defined; NaN without any."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _ranking(scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What depends only on the order of the scores: [T, M] float64 and [T, M] bool -> [T] by name."""
    ordered, order = scores.sort(-1, descending=True)
    positive = labels.gather(-1, order).double()
    hits, misses = positive.cumsum(-1), (1 - positive).cumsum(-1)
    # tied scores share one step of the curve: each has the counts at the end of its group
    first, last = _ties(ordered)
    misses_above = (misses - 1 + positive).gather(-1, first)
    hits, misses = hits.gather(-1, last), misses.gather(-1, last)
    edges = _count(labels)
    others = labels.shape[1] - edges
    # a positive is ranked above every negative that comes later, and above half of those it is tied with
    auroc = (positive * (others[:, None] - (misses_above + misses) / 2)).sum(-1) / (edges * others)
    ap = (positive * hits / (hits + misses)).sum(-1) / edges
    f1 = 2 * hits / (hits + misses + edges[:, None])
    f1 = torch.cat([edges[:, None] * 0, f1], -1).amax(-1)
    return {"auroc": auroc, "ap": ap, "f1_oracle": torch.where(edges > 0, f1, torch.nan)}


def _ties(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """For each place of sorted scores [T, M], the first and the last place of the same score: [T, M] int64 each."""
    ends = ordered.new_full((len(ordered), 1), torch.inf)
    place = torch.arange(ordered.shape[1], device=ordered.device).expand_as(ordered)
    first = torch.where(ordered.diff(prepend=ends) != 0, place, 0).cummax(-1).values
    last = torch.where(ordered.diff(append=ends) != 0, place, ordered.shape[1]).flip(-1).cummin(-1).values.flip(-1)
    return first, last


def _decisions(asserted: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What depends only on which edges are asserted: [T, M] bool both -> [T] by name."""
    hits, found, edges = _count(asserted & labels), _count(asserted), _count(labels)
    return {"precision": hits / found, "recall": hits / edges, "f1": 2 * hits / (found + edges)}


def _shd(asserted: Tensor, adj: Tensor) -> Tensor:
    """Unordered pairs on which two graphs [T, D, D] differ: [T]."""
    differs = asserted != adj
    return _count((differs | differs.transpose(1, 2)).triu(1))


def _direction(logits: Tensor, adj: Tensor) -> Tensor:
    """Share of edges i -> j with logits[i, j] above logits[j, i], a tie counting half: [T]."""
    forward, backward = logits, logits.transpose(1, 2)
    one_way = adj & ~adj.transpose(1, 2)
    right = _count(one_way & (forward > backward)) + _count(one_way & (forward == backward)) / 2
    return right / _count(one_way)


def _calibration_error(probability: Tensor, labels: Tensor) -> float:
    """Expected calibration error of [M] probabilities, given [M] bool."""
    _, claimed, occurred = _binned(probability, labels)
    return ((claimed - occurred).abs().sum() / len(labels)).item()


def _binned(probability: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How many fell into each bin, the sum of their probabilities, and how many are True: [BINS] each."""
    bins = (probability * BINS).long().clamp(max=BINS - 1)
    claimed = torch.bincount(bins, weights=probability, minlength=BINS)
    occurred = torch.bincount(bins, weights=labels.double(), minlength=BINS)
    return torch.bincount(bins, minlength=BINS), claimed, occurred


def _ordered_pairs(matrix: Tensor) -> Tensor:
    """Everything off the diagonal: [T, D, D] -> [T, M]."""
    off = ~torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return matrix[:, off]


def _count(chosen: Tensor) -> Tensor:
    """How many are True: [T, ...] bool -> [T] float64."""
    return chosen.flatten(1).sum(1).double()


def _share(labels: Tensor) -> float:
    return labels.double().mean().item()
