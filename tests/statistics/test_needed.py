from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from graft.statistics.crossed import Estimate, Parts, estimate
from graft.statistics.margin import Verdict, verdict
from graft.statistics.needed import Further, Needed, in_words, needed


def two_sided(degrees: float) -> float:
    return float(stats.t.ppf(0.975, degrees))


def known(mean: float, trial: float, image: float, rest: float, sizes: tuple[int, int]) -> Estimate:
    """Return the estimate that numbers of trials and images have if the variances of one of each are these."""
    trials, images = sizes
    parts = Parts(trial / trials, image / images, rest / trials / images)
    variance = parts.trials + parts.images + parts.rest
    spread = (parts.trials + parts.rest) ** 2 / (trials - 1) + (parts.images + parts.rest) ** 2 / (images - 1)
    spread += parts.rest**2 / ((trials - 1) * (images - 1))
    return Estimate(mean, variance, variance**2 / spread, parts, trials, images)


@pytest.mark.parametrize(("mean", "margin"), [(0.0145, 0), (0.004, 0.017)])
def test_the_verdict_falls_with_the_numbers_that_are_needed_and_not_with_one_less(mean: float, margin: float):
    variances = (4e-4, 0.02, 0.06)

    def said(trials: int, images: int) -> Verdict:
        found = known(mean, *variances, (15 + trials, 450 + images))
        return verdict(found, two_sided(found.degrees), margin)

    found = known(mean, *variances, (15, 450))
    answer = needed(found, two_sided(found.degrees), margin)
    assert said(0, 0) == Verdict.UNDECIDED
    assert answer.trials is not None
    assert answer.images is not None
    trials, images = answer.trials.expected, answer.images.expected
    assert trials is not None
    assert images is not None
    expected = Verdict.EQUAL if margin else Verdict.BETTER
    assert (said(trials, 0), said(trials - 1, 0)) == (expected, Verdict.UNDECIDED)
    assert (said(0, images), said(0, images - 1)) == (expected, Verdict.UNDECIDED)
    assert answer.trials.low <= trials <= (answer.trials.high or trials)


def test_only_what_varies_helps():
    by_images = known(0.005, 1e-7, 0.02, 0.02, (15, 450))
    answer = needed(by_images, two_sided(by_images.degrees))
    assert answer.trials is None
    assert answer.images is not None
    assert in_words(answer).startswith("no number of trials would decide; about 2,")
    by_trials = known(0.005, 4e-4, 1e-6, 1e-4, (15, 5000))
    answer = needed(by_trials, two_sided(by_trials.degrees))
    assert answer.images is None
    assert in_words(answer).endswith("; no number of test images would decide")


def test_where_neither_alone_decides_both_may():
    found = known(0.005, 4e-4, 0.02, 0.06, (15, 450))
    answer = needed(found, two_sided(found.degrees))
    assert answer.both is not None
    more = answer.both.expected
    assert more is not None
    later = known(0.005, 4e-4, 0.02, 0.06, (15 + more, 450 + 30 * more))
    assert verdict(later, two_sided(later.degrees)) == Verdict.BETTER
    assert "more trials" in in_words(answer)
    assert "together with" in in_words(answer)


def test_nothing_decides_a_difference_of_0_without_a_margin():
    found = known(0.0, 4e-4, 0.02, 0.06, (15, 450))
    words = in_words(needed(found, two_sided(found.degrees)))
    assert words == "no number of trials and test images would decide, because the difference is too small"
    assert needed(found, two_sided(found.degrees), 0.02).both is None  # one of them alone shows that it is small


def test_a_correction_stays_whatever_is_added():
    found = known(0.0105, 4e-4, 0.001, 0.001, (15, 450))
    assert needed(found, two_sided(found.degrees)).trials is not None
    corrected = replace(found, variance=found.variance + 1e-3)
    answer = needed(corrected, two_sided(corrected.degrees))
    assert answer == Needed(None, None, None, 30.0, shared=True)
    assert in_words(answer).endswith(
        "would decide, because the doubt that is left is about the images that all trials draw from"
    )


def test_more_doubt_makes_wider_ranges():
    few, many = (known(0.002, 4e-4 * size / 15, 1e-7, 1e-4, (size, 5000)) for size in (15, 150))
    ranges = []
    for found in (few, many):
        trials = needed(found, two_sided(found.degrees)).trials
        assert trials is not None
        assert trials.expected is not None
        assert trials.high is not None
        ranges.append(trials.high / trials.low)
        assert trials.exact == (found is many)
    assert ranges[0] > 2 * ranges[1]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Needed(Further(8, 9, 10), Further(300, 400, 500)), "9 more trials, or 400 more test images"),
        (Needed(Further(1, 1, 1), None), "1 more trial; no number of test images would decide"),
        (
            Needed(Further(5, 9, 40), Further(300, None, None)),
            "about 9 more trials (5 to 40); no number of test images is likely to decide",
        ),
        (
            Needed(None, Further(600, 1234, None)),
            "no number of trials would decide; about 1,300 more test images (600 or more) would",
        ),
        (
            Needed(Further(20, None, None), None, Further(25, 30, 36), 30.0),
            "30 more trials together with 900 more test images",
        ),
        (
            Needed(None, None, Further(900, None, None), 1.0),
            "no number of trials and test images is likely to decide, because the difference is too small",
        ),
    ],
)
def test_what_is_needed_in_words(answer: Needed, words: str):
    assert in_words(answer) == words


def test_groups_are_counted_by_their_name():
    assert in_words(Needed(None, Further(9, 10, 11)), "patients") == (
        "no number of trials would decide; 10 more patients would"
    )


def test_ranges_hold_the_number_that_the_true_variances_give():
    random, held, exact, right = np.random.default_rng(0), [], 0, 0
    for _ in range(150):
        values = 0.006 + 0.02 * random.normal(size=(30, 1)) + 0.2 * random.normal(size=600)
        found = estimate(values + 0.25 * random.normal(size=(30, 600)))
        true = known(found.mean, 4e-4, 0.04, 0.0625, (30, 600))
        for kind in ("trials", "images"):
            said = getattr(needed(found, two_sided(found.degrees)), kind)
            truth = getattr(needed(true, two_sided(true.degrees)), kind)
            number = truth and truth.expected
            if said is None or number is None:
                held.append(number is None and (said is None or said.high is None))
                continue
            held.append(said.low <= number <= (said.high or number))
            exact += said.exact
            right += said.exact and 1 / 1.5 <= said.expected / number <= 1.5
    assert np.mean(held) >= 0.9
    assert right >= 0.9 * exact > 0


def test_a_range_holds_its_number():
    random = np.random.default_rng(0)
    numbers = []
    for _ in range(60):
        trials, images = int(random.integers(2, 9)), int(random.integers(10, 400))
        easy, better = random.random(images), random.uniform(0, 0.1)
        first, second = (random.random((trials, images)) < easy + lead for lead in (better, 0))
        found = estimate(first.astype(float) - second)
        answer = needed(found, float(stats.t.ppf(0.99, found.degrees)))
        numbers += [each for each in (answer.trials, answer.images, answer.both) if each and each.expected]
    assert len(numbers) > 60
    for each in numbers:
        assert each.low <= (each.expected or 0) <= (each.high or 10**9)
