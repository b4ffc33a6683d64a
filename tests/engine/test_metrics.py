"""Metrics against scikit-learn, against values worked by hand, and at degenerate sizes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from tabscm import ContractError
from tabscm.engine.metrics import acyclicity, best_threshold, effects_error, entropy, gini, mean, score, summarise

UNDEFINED_WITHOUT_PAIRS = {
    *("auroc", "ap", "precision", "recall", "f1", "f1_oracle", "density", "direction"),
    *("log_prob_base", "log_prob_gain"),
}


def draw(seed, *, tables=3, variables=5, levels=4, density=0.3):
    """Logits with many ties, and graphs that need not be acyclic: the metrics do not care."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randint(-levels, levels + 1, (tables, variables, variables), generator=rng) / 2 + 0.25
    return logits, torch.rand((tables, variables, variables), generator=rng) < density


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def edges(variables, *pairs):
    adj = torch.zeros((1, variables, variables), dtype=torch.bool)
    for source, target in pairs:
        adj[0, source, target] = True
    return adj


def values(scores, table=0):
    return {name: value[table].item() for name, value in scores.items()}


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), variables=st.integers(2, 7), levels=st.integers(0, 5), density=st.floats(0.0, 1.0))
def test_agrees_with_scikit_learn_table_by_table(seed, variables, levels, density):
    logits, adj = draw(seed, variables=variables, levels=levels, density=density)
    got = score(logits, adj)
    for table in range(len(adj)):
        scores, labels = off_diagonal(logits[table].numpy()), off_diagonal(adj[table].numpy())
        found = values(got, table)
        if not labels.any():
            assert math.isnan(found["ap"])
            assert math.isnan(found["f1_oracle"])
        else:
            assert found["ap"] == pytest.approx(average_precision_score(labels, scores))
            precision, recall, _ = precision_recall_curve(labels, scores)
            best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
            assert found["f1_oracle"] == pytest.approx(best)
        if labels.any() and not labels.all():
            assert found["auroc"] == pytest.approx(roc_auc_score(labels, scores))
        else:
            assert math.isnan(found["auroc"])
        if labels.any() or (scores > 0).any():
            assert found["f1"] == pytest.approx(f1_score(labels, scores > 0))
        else:
            assert math.isnan(found["f1"])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_pooled_values_join_batches_of_different_sizes(seed):
    batches = [draw(seed, tables=2, variables=4), draw(seed + 1, tables=3, variables=6)]
    scores = np.concatenate([off_diagonal(table.numpy()) for logits, _ in batches for table in logits])
    labels = np.concatenate([off_diagonal(table.numpy()) for _, adj in batches for table in adj])
    if not labels.any():
        return
    summary = summarise(batches)
    assert summary["auroc_pooled"] == pytest.approx(roc_auc_score(labels, scores))
    assert summary["ap_pooled"] == pytest.approx(average_precision_score(labels, scores))
    assert summary["f1_pooled"] == pytest.approx(f1_score(labels, scores > 0))
    assert summary["tables"] == 5


def test_means_and_standard_errors_leave_out_undefined_tables():
    logits, adj = draw(1, tables=4)
    adj[2] = False
    per_table = [values(score(logits, adj), table)["auroc"] for table in (0, 1, 3)]
    summary = summarise([(logits[:1], adj[:1]), (logits[1:], adj[1:])])
    assert summary["auroc"] == pytest.approx(np.mean(per_table))
    assert summary["auroc_se"] == pytest.approx(np.std(per_table, ddof=1) / math.sqrt(3))


def test_one_table_has_no_standard_error():
    assert math.isnan(summarise([draw(1, tables=1)])["auroc_se"])


def test_the_diagonal_never_counts():
    logits, adj = draw(3)
    diagonal = torch.eye(5, dtype=torch.bool)
    other_logits, other_adj = logits.masked_fill(diagonal, 9.0), adj ^ diagonal
    for before, after in zip(score(logits, adj).values(), score(other_logits, other_adj).values(), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0, equal_nan=True)


def test_a_table_is_judged_the_same_alone_and_in_company():
    logits, adj = draw(4, tables=3)
    together = score(logits, adj, base_rate=0.2)
    alone = score(logits[1:2], adj[1:2], base_rate=0.2)
    for name, value in alone.items():
        torch.testing.assert_close(value[0], together[name][1], equal_nan=True, msg=name)


def test_no_pairs_at_all():
    found = values(score(torch.zeros(1, 1, 1), edges(1)))
    assert {name for name, value in found.items() if math.isnan(value)} == UNDEFINED_WITHOUT_PAIRS
    assert {found[name] for name in found.keys() - UNDEFINED_WITHOUT_PAIRS} == {0.0}


def test_two_variables():
    logits = torch.tensor([[[0.0, 2.0], [-1.0, 0.0]]])
    right, wrong = values(score(logits, edges(2, (0, 1)))), values(score(logits, edges(2, (1, 0))))
    assert (right["auroc"], right["direction"], right["f1"], right["shd"]) == (1, 1, 1, 0)
    assert (wrong["auroc"], wrong["direction"], wrong["f1"], wrong["shd"]) == (0, 0, 0, 1)


@pytest.mark.parametrize("full", [False, True])
def test_without_edges_and_with_all_edges(full):
    adj = torch.full((1, 4, 4), full)
    found = values(score(torch.full((1, 4, 4), 3.0 if full else -3.0), adj))
    assert math.isnan(found["auroc"])
    assert found["shd"] == 0
    assert found["shd_empty"] == (6 if full else 0)
    assert found["edges"] == (12 if full else 0)
    assert found["f1"] == pytest.approx(1.0 if full else math.nan, nan_ok=True)
    assert found["log_prob_base"] == 0  # the base rate is certain
    assert found["log_prob"] == pytest.approx(12 * math.log(torch.tensor(3.0).sigmoid().item()), rel=1e-5)


def test_structural_hamming_distance_by_hand():
    # true: 0->1, 1->2, 2->3; asserted: 0->1 right, 2->1 reversed, 2->3 missed, 0->3 extra
    logits = torch.full((1, 4, 4), -2.0)
    for source, target in [(0, 1), (2, 1), (0, 3)]:
        logits[0, source, target] = 2.0
    found = values(score(logits, edges(4, (0, 1), (1, 2), (2, 3))))
    assert (found["shd"], found["shd_empty"], found["edges"]) == (3, 3, 3)
    assert (found["precision"], found["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    logits[0, 1, 0] = 2.0  # asserting a pair in both directions is one mistake
    assert values(score(logits, edges(4, (0, 1), (1, 2), (2, 3))))["shd"] == 4


def test_direction_looks_at_true_edges_only_and_halves_ties():
    logits = torch.zeros(1, 4, 4)
    logits[0, 0, 1], logits[0, 2, 1], logits[0, 3, 0] = 1.0, 1.0, 5.0
    assert values(score(logits, edges(4, (0, 1), (1, 2), (2, 3))))["direction"] == pytest.approx((1 + 0 + 0.5) / 3)


def test_threshold_is_a_probability_and_exclusive():
    logits = torch.logit(torch.tensor([[[0.5, 0.5], [0.8, 0.5]]]))
    adj = edges(2, (1, 0))
    assert values(score(logits, adj))["precision"] == 1
    assert values(score(logits, adj, threshold=0.3))["precision"] == 0.5
    assert values(score(logits, adj, threshold=0.9))["recall"] == 0


def test_log_probability_by_hand():
    logits = torch.logit(torch.tensor([[[0.5, 0.9], [0.2, 0.5]]], dtype=torch.float64))
    found = values(score(logits, edges(2, (0, 1))))
    assert found["log_prob"] == pytest.approx(math.log(0.9) + math.log(0.8))
    assert found["log_prob_base"] == pytest.approx(2 * math.log(0.5))
    assert found["log_prob_gain"] == pytest.approx((math.log(0.9) + math.log(0.8)) / 2 - math.log(0.5))


def test_the_base_rate_is_that_of_the_whole_evaluation():
    rate = 0.25
    adj = torch.cat([edges(2, (0, 1)), edges(2)])  # 1 edge in 4 ordered pairs
    logits = torch.logit(torch.full((2, 2, 2), rate, dtype=torch.float64))
    summary = summarise([(logits[:1], adj[:1]), (logits[1:], adj[1:])])
    assert summary["log_prob_gain"] == pytest.approx(0, abs=1e-12)
    assert summary["log_prob_base"] == pytest.approx((math.log(0.25) + 3 * math.log(0.75)) / 2)


def test_calibration_error_by_hand():
    # bin 0.2-0.3 claims .25 on average and gets 1 in 4, bin 0.7-0.8 claims .75 and gets 0 in 2
    probability = torch.tensor([0.21, 0.29] * 2 + [0.75] * 2, dtype=torch.float64)
    logits, adj = torch.zeros(1, 3, 3, dtype=torch.float64), edges(3, (0, 1))
    logits[0, ~torch.eye(3, dtype=torch.bool)] = torch.logit(probability)
    assert summarise([(logits, adj)])["ece"] == pytest.approx(2 / 6 * 0.75)


def test_certain_predictions_share_the_last_bin():
    # claims 1 and .95, gets the second only: apart the errors would be 1 and .05
    logits = torch.tensor([[[0.0, 1e4], [math.log(0.95 / 0.05), 0.0]]], dtype=torch.float64)
    assert summarise([(logits, edges(2, (1, 0)))])["ece"] == pytest.approx(0.95 / 2)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ContractError) as refused:
        score(torch.full((1, 2, 2), math.nan), edges(2))
    assert str(refused.value) == "logits: holds NaN or infinity"


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    levels=st.integers(0, 5),
    density=st.floats(0.0, 1.0),
    size=st.sampled_from([1e-9, 1.0, 40.0]),
)
def test_best_threshold_reaches_the_best_pooled_f1(seed, levels, density, size):
    batches = [
        (size * logits, adj)
        for logits, adj in (
            draw(seed, tables=2, variables=4, levels=levels, density=density),
            draw(seed + 1, tables=3, variables=6, levels=levels, density=density),
        )
    ]
    threshold = best_threshold(batches)
    assert 0 <= threshold < 1
    if not any(adj[:, ~torch.eye(adj.shape[1], dtype=torch.bool)].any() for _, adj in batches):
        assert threshold == 0.5
        return
    # logits that differ may share a probability, which is what a threshold sees
    best = max(
        summarise(batches, threshold=cut)["f1_pooled"]
        for cut in (0.0, *torch.cat([logits.double().sigmoid().flatten() for logits, _ in batches]).unique().tolist())
        if any((logits.double().sigmoid() > cut).any() for logits, _ in batches)
    )
    assert summarise(batches, threshold=threshold)["f1_pooled"] == pytest.approx(best)


def test_best_threshold_is_half_way():
    logits = torch.logit(torch.tensor([[[0.5, 0.9, 0.4], [0.3, 0.5, 0.2], [0.1, 0.1, 0.5]]], dtype=torch.float64))
    assert best_threshold([(logits, edges(3, (0, 1), (0, 2)))]) == pytest.approx(0.35)
    assert best_threshold([(logits, edges(3, (2, 0), (2, 1), (1, 2), (1, 0), (0, 1), (0, 2)))]) == pytest.approx(0.05)


def test_best_threshold_asserts_ties_together():
    # 0 -> 1 alone would be best, but 1 -> 0 is as probable
    logits = torch.logit(torch.tensor([[[0.5, 0.8], [0.8, 0.5]]], dtype=torch.float64))
    assert best_threshold([(logits, edges(2, (0, 1)))]) == pytest.approx(0.4)


def test_of_equally_good_thresholds_the_highest():
    # F1 is 2/3 for the first pair alone, and for the first four
    probability = torch.tensor([[[0.5, 0.9, 0.8], [0.7, 0.5, 0.6], [0.2, 0.1, 0.5]]], dtype=torch.float64)
    assert best_threshold([(torch.logit(probability), edges(3, (0, 1), (1, 2)))]) == pytest.approx(0.85)


@pytest.mark.parametrize("place", range(4))
def test_best_threshold_between_neighbouring_numbers(place):
    logits = torch.full((1, 2, 2), place * 4.5e-16, dtype=torch.float64)
    logits[0, 1, 0] += 4.5e-16
    other, asserted = logits.sigmoid()[0, 0, 1].item(), logits.sigmoid()[0, 1, 0].item()
    assert math.nextafter(other, 1) == asserted
    assert best_threshold([(logits, edges(2, (1, 0)))]) == other


@pytest.mark.parametrize("logits", [torch.zeros(1, 1, 1), torch.full((2, 3, 3), 5.0), torch.zeros(0, 3, 3)])
def test_best_threshold_without_edges(logits):
    assert best_threshold([(logits, torch.zeros(logits.shape, dtype=torch.bool))]) == 0.5


def test_the_error_of_effects_leaves_out_the_diagonal_and_counts_every_pair_once():
    found = torch.tensor([[[9.0, 1.0], [0.0, 9.0]]])
    three = torch.full((1, 3, 3), 2.0)
    batches = [(found, torch.zeros(1, 2, 2)), (three, torch.zeros(1, 3, 3))]
    assert effects_error(batches) == pytest.approx((1 + 0 + 6 * 2) / 8)
    assert math.isnan(effects_error([]))
    assert math.isnan(effects_error([(torch.ones(1, 1, 1), torch.zeros(1, 1, 1))]))


def test_gini_and_entropy_by_hand():
    shares = torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    torch.testing.assert_close(gini(shares), torch.tensor([0.0, 0.75, 0.5], dtype=torch.float64))
    expected = torch.tensor([math.log(4), 0.0, math.log(2)], dtype=torch.float64)
    torch.testing.assert_close(entropy(shares), expected)
    assert gini(shares.view(3, 1, 4)).shape == entropy(shares.view(3, 1, 4)).shape == (3, 1)


def test_gini_and_entropy_look_at_proportions():
    shares = torch.rand(5, 3, 8, generator=torch.Generator().manual_seed(0))
    for measure in (gini, entropy):
        torch.testing.assert_close(measure(7 * shares), measure(shares))
        torch.testing.assert_close(measure(shares.flip(-1)), measure(shares))
        assert measure(torch.zeros(2, 4)).isnan().all()


def test_one_expert_has_everything_and_shares_it_evenly():
    assert gini(torch.ones(1)).item() == entropy(torch.ones(1)).item() == 0


def test_acyclicity_is_zero_without_a_cycle_and_grows_with_it():
    sure = torch.full((3, 4, 4), -40.0)
    sure[0].triu_(1)  # below the diagonal every edge has even odds, above none is there
    sure[1, 0, 1] = sure[1, 1, 0] = 40.0
    sure[2, 0, 1] = sure[2, 1, 0] = 0.0
    found = acyclicity(sure)
    # a cycle of two edges of probability p: 2 cosh(p^2) - 2
    expected = [0.0, 2 * math.cosh(1.0) - 2, 2 * math.cosh(0.25) - 2]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)
    assert acyclicity(torch.zeros(2, 1, 1)).tolist() == [0, 0]


def test_the_mean_leaves_out_what_is_undefined():
    assert mean([1.0, math.nan, 4.0]) == 2.5
    assert math.isnan(mean([math.nan]))
    assert math.isnan(mean([]))
