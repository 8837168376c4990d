from collections.abc import Mapping

import numpy as np
import pytest

from graft.report import sentences
from graft.report.sentences import answer, baseline_answer, baseline_gaps, copies_answer, deciding_answers
from graft.report.verdicts import Answer, judge
from graft.statistics.accuracies import Accuracies, Copies
from graft.statistics.comparison import Comparison, Difference, compare_all


def answer_to(levels: dict[str, float], trials: int = 15) -> str:
    random = np.random.default_rng(0)
    configurations = {
        name: dict(enumerate((level + random.normal(0, 0.002, trials)).tolist())) for name, level in levels.items()
    }
    return judged(configurations)


def judged(configurations: Mapping[str, Accuracies], margin: float = 0.0) -> str:
    comparison = compare_all(configurations)
    return answer(configurations, comparison, judge(configurations, comparison, margin))


def test_the_sentence_of_the_best_its_equals_and_the_worse():
    text = answer_to({"dense512 without dropout": 0.86, "dense512 with dropout 0.5": 0.859, "plain": 0.836})
    assert text.startswith("dense512 without dropout has the highest mean (86.0 %); dense512 with dropout 0.5 is und")
    assert " undecided after 15 trials; plain is 2." in text
    assert " points worse (95 %: 2." in text


def test_many_configurations_are_counted_rather_than_named():
    text = answer_to({f"c{index}": 0.9 - 0.01 * (index > 6) * index for index in range(40)})
    assert len(text) < 400
    assert "and 4 others are undecided after 15 trials" in text
    assert "33 others are" in text


def test_one_configuration_has_nothing_to_be_compared_with():
    assert answer_to({"only": 0.5}, trials=1) == "only has 50.0 % in 1 trial; there is nothing to compare it with."


def test_equal_configurations_are_called_equal():
    configurations = {name: dict.fromkeys(range(8), 0.5) for name in "ab"}
    assert judged(configurations) == "a and b have the highest mean (50.0 %); b is undecided after 8 trials."


def test_configurations_without_common_trials_cannot_be_compared():
    configurations = {"a": dict.fromkeys(range(8), 0.5), "b": dict.fromkeys(range(8, 16), 0.4)}
    text = judged(configurations)
    assert (
        text
        == "a has the highest mean (50.0 %), but was not tested against any other: a test needs 6 common trials, got 0."
    )


def test_configurations_with_too_few_common_trials_are_named_last():
    configurations = {
        "a": dict.fromkeys(range(8), 0.5),
        "b": dict.fromkeys(range(2), 0.4),
        "c": dict.fromkeys(range(8), 0.4),
        "d": dict.fromkeys(range(8, 16), 0.3),
    }
    text = judged(configurations)
    assert text == (
        "a is best (50.0 %); c is 10.0 points worse (p 0.008); "
        "d and b have fewer than 6 trials in common with it, too few for a test."
    )


def significant(*points: float) -> dict[str, Difference]:
    means = [value / 100 for value in points]
    return {f"c{mean:+.3f}": Difference(np.full(8, mean), 0.001, (mean - 0.001, mean + 0.001)) for mean in means}


@pytest.mark.parametrize(
    ("points", "end"),
    [
        ((5,), "c+0.050 is 5.0 points better (95 %: 4.9 to 5.1)."),
        ((-1,), "c-0.010 is 1 point worse (95 %: 0.9 to 1.1)."),
        ((9, 8, 7, 6), "c+0.090, c+0.080 and 2 others are 6.0 to 9.0 points better."),
        (
            (9, 6, -4, -5),
            ": c+0.090 and c+0.060 are 6.0 to 9.0 points better; c-0.040 and c-0.050 are 4.0 to 5.0 points worse.",
        ),
    ],
)
def test_configurations_are_better_or_worse_than_a_baseline_and_the_first_of_several_are_named(
    points: tuple[float, ...], end: str
):
    text = baseline_answer("scratch", significant(*points))
    assert text.startswith("Compared with the baseline scratch: ")
    assert text.endswith(end)


def test_a_baseline_alone_has_no_other_job():
    assert baseline_answer("scratch", {}) == "Compared with the baseline scratch: there is no other job."


def test_several_at_the_top_are_equal_and_the_others_worse():
    configurations = {
        "a": dict.fromkeys(range(8), 0.9),
        "b": {trial: 0.8 if trial % 2 else 1.0 for trial in range(8)},
        "c": {trial: 0.5 + 0.01 * trial for trial in range(8)},
    }
    text = judged(configurations)
    assert text.startswith(
        "a and b have the highest mean (90.0 %); b is undecided after 8 trials; c is 36.5 points worse (95 %: "
    )


def test_copies_count_as_one_trial_and_have_no_p_value():
    ridge, logistic = (Copies(dict.fromkeys(range(6), value)) for value in (0.9, 0.92))
    configurations = {"ridge": ridge, "logistic": logistic}
    comparison = compare_all(configurations)
    assert comparison.differences["ridge"].p is None
    assert judged(configurations) == (
        "logistic has the highest mean (92.0 %), but was not tested against any other: "
        "a test needs 6 common trials, got 1."
    )
    assert copies_answer(configurations) == [
        "All trials of ridge and logistic are the same computation, which no seed changes: they count as one, and "
        "between two of these there is no test."
    ]
    assert copies_answer({"plain": dict(ridge)}) == []
    trained = {trial: 0.7 + 0.01 * trial for trial in range(6)}
    assert compare_all({"ridge": ridge, "plain": trained}).differences["plain"].p is not None


def test_equal_copies_were_not_tested_either():
    configurations = {name: Copies(dict.fromkeys(range(6), 0.9)) for name in ("ridge", "logistic")}
    assert judged(configurations) == (
        "ridge and logistic have the highest mean (90.0 %), but no pair was tested: "
        "a test needs 6 common trials, got 1."
    )


def test_what_was_not_compared_with_the_baseline_is_said():
    assert baseline_gaps("", []) == []
    assert baseline_gaps("source:big", []) == [
        "No finished job has source:big: nothing is compared with this baseline."
    ]
    assert baseline_gaps("", ["a", "b"]) == ["a and b have no counterpart in the baseline."]


def test_what_holds_for_these_test_images_only_is_said():
    known = Difference(np.zeros(8), 1.0, (0.0, 0.0), design="crossed")
    unknown = Difference(np.zeros(8), 1.0, None)
    assert sentences.images_answer([known, Difference(np.zeros(2), None, None)]) == []
    (text,) = sentences.images_answer([known, unknown])
    assert text.startswith("1 of 2 differences is for other training draws and these test images only")
    assert sentences.images_answer([unknown])[0].startswith("Differences are for")


def test_what_would_decide_is_not_said_of_a_pair_with_one_mean_if_there_is_another():
    tie = Difference(np.array([0.1, -0.1]), 1.0, None)
    comparison = Comparison("best", {"tie": tie, "near": Difference(np.full(2, -0.01), 0.5, None)}, 2)
    found = Answer(deciding={"tie": "no number", "near": "9 more trials"})
    assert "between best and near, " in deciding_answers("best", comparison, found)[0]
    alone = deciding_answers("best", Comparison("best", {"tie": tie}, 1), Answer(deciding={"tie": "no number"}))
    assert alone == ["What would decide between best and tie: no number."]


def test_what_would_decide_is_said_of_the_closest_that_differs():
    means = {"same": 0.0, "far": -0.1, "near": -0.01}
    differences = {name: Difference(np.full(8, mean), 0.5, None) for name, mean in means.items()}
    comparison = Comparison("best", differences, 3)
    found = Answer(deciding={"same": "nothing", "far": "9 more trials", "near": "300 more trials"})
    assert deciding_answers("best", comparison, found) == [
        "What would decide between best and near, the closest of those undecided that has another mean: "
        "300 more trials."
    ]
    found = Answer(deciding={"far": "9 more trials", "near": "300 more trials"})
    assert deciding_answers("best", comparison, found) == [
        "What would decide between best and near, the closest of those undecided: 300 more trials."
    ]
    same = Answer(deciding={"same": "nothing"})
    assert deciding_answers("best", comparison, same) == [
        "same has the same value as best in every trial: report.margin=1 would call them equal."
    ]
    assert deciding_answers("best", comparison, Answer()) == []
