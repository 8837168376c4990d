import numpy as np

from graft.report.sentences import answer
from graft.report.statistics import compare_all


def said(levels: dict[str, float], trials: int = 15) -> str:
    random = np.random.default_rng(0)
    configurations = {
        name: dict(enumerate((level + random.normal(0, 0.002, trials)).tolist())) for name, level in levels.items()
    }
    return answer(configurations, compare_all(configurations))


def test_the_sentence_of_the_best_its_equals_and_the_worse():
    text = said({"dense512 without dropout": 0.86, "dense512 with dropout 0.5": 0.859, "plain": 0.836})
    assert text.startswith("dense512 without dropout is best (86.0 %); dense512 with dropout 0.5 cannot be told apart ")
    assert " from it in 15 trials; plain is 2." in text
    assert " points worse (95 %: 2." in text


def test_many_configurations_are_counted_rather_than_named():
    text = said({f"c{index}": 0.9 - 0.01 * (index > 6) * index for index in range(40)})
    assert len(text) < 400
    assert "and 3 others cannot be told apart" in text
    assert "30 others are" in text


def test_one_configuration_has_nothing_to_be_compared_with():
    assert said({"only": 0.5}, trials=1) == "only has 50.0 % in 1 trial, and nothing to be compared with."


def test_equal_configurations_have_a_highest_mean_and_no_best():
    configurations = {name: dict.fromkeys(range(8), 0.5) for name in "ab"}
    text = answer(configurations, compare_all(configurations))
    assert text == "a has the highest mean (50.0 %); b cannot be told apart from it in 8 trials."


def test_configurations_without_common_trials_cannot_be_compared():
    configurations = {"a": dict.fromkeys(range(8), 0.5), "b": dict.fromkeys(range(8, 16), 0.4)}
    assert "but no trial in common cannot tell" in answer(configurations, compare_all(configurations))
