from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from graft.statistics.crossed import Estimate, Parts, estimate
from graft.statistics.margin import Verdict, quantile_of, shares, shares_in_words, tail_of, verdict


def difference(mean: float, error: float = 0.01, degrees: float = 20.0) -> Estimate:
    part = error**2 / 4
    return Estimate(mean, error**2, degrees, Parts(part, 2 * part, part), 15, 450)


@pytest.mark.parametrize(
    ("mean", "margin", "expected"),
    [
        (0.0209, 0, Verdict.BETTER),  # t(0.975, 20) is 2.0860
        (0.0208, 0, Verdict.UNDECIDED),
        (-0.0209, 0, Verdict.WORSE),
        (0, 0, Verdict.UNDECIDED),
        (0, 0.0173, Verdict.EQUAL),  # t(0.95, 20) is 1.7247
        (0, 0.0172, Verdict.UNDECIDED),
        (-0.01, 0.0273, Verdict.EQUAL),
        (-0.01, 0.0272, Verdict.UNDECIDED),
        (0.0209, 0.05, Verdict.EQUAL),  # real, and too small to matter
        (0.0209, 0.03, Verdict.BETTER),
        (-0.0209, 0.03, Verdict.WORSE),
    ],
)
def test_the_verdicts_of_one_comparison(mean: float, margin: float, expected: Verdict):
    assert verdict(difference(mean), float(stats.t.ppf(0.975, 20)), margin) == expected


def test_equality_is_two_one_sided_t_tests():
    values = 0.01 * np.random.default_rng(0).normal(size=(12, 1)) + np.zeros((12, 2))
    found = replace(estimate(values), degrees=11.0)  # images do not matter: a t-test over trials
    quantile = float(stats.t.ppf(0.975, 11))
    trials = values.mean(1)
    for margin in np.linspace(0.001, 0.02, 40):
        above = stats.ttest_1samp(trials, -margin, alternative="greater")
        below = stats.ttest_1samp(trials, margin, alternative="less")
        rejected = max(above.pvalue, below.pvalue) < 0.05  # type: ignore[attr-defined]
        assert (verdict(found, quantile, float(margin)) == Verdict.EQUAL) == rejected


def test_several_comparisons_keep_their_error_rate_with_a_margin():
    corrected = float(stats.t.ppf(1 - 0.025 / 7, 20))
    assert quantile_of(2 * tail_of(corrected, 20), 20) == pytest.approx(float(stats.t.ppf(1 - 0.05 / 7, 20)))
    random, wrong = np.random.default_rng(0), 0
    quantile = float(stats.norm.ppf(0.975))
    for mean in random.normal(0.05, 0.01, 1000):  # the true difference is the margin
        wrong += verdict(difference(float(mean), degrees=1e6), quantile, 0.05) == Verdict.EQUAL
    assert 30 <= wrong <= 70  # 5 %


def test_shares_of_the_doubt_in_words():
    found = Estimate(0.0, 1.0, 20.0, Parts(0.4, 0.55, 0.05), 15, 450)
    words = "training draws, initialization and batch order 40 %, test images 55 %, these together 5 %"
    assert shares_in_words(shares(found)) == words
    assert shares_in_words(shares(found, "init")).startswith("initialization and batch order 40 %, test")
    assert shares_in_words(shares(found, "data")).startswith("training draws 40 %, test")


def test_shares_have_the_sum_1_and_count_a_correction_among_the_draws():
    corrected = Estimate(0.0, 2.0, 20.0, Parts(0.4, 0.55, 0.05), 15, 450)
    assert list(shares(corrected).values()) == pytest.approx([0.7, 0.275, 0.025])
    thirds = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert shares_in_words(thirds) == "a 34 %, b 33 %, c 33 %"
    nothing = Estimate(0.0, 0.0, 20.0, Parts(0.0, 0.0, 0.0), 15, 450)
    assert set(shares(nothing).values()) == {0.0}
