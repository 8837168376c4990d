import pandas

from graft.report.effect_sentences import effects_answer


def test_a_main_effect_is_significant_or_not_or_was_not_tested():
    values = [("a", "0", 0.5, 0.001), ("a", "1", 0.6, None), ("b", "0", 0.5, 0.4), ("b", "1", 0.6, None)]
    values += [("c", "0", 0.5, None), ("c", "1", 0.6, None)]
    effects = pandas.DataFrame(values, columns=["key", "value", "mean", "p"])
    assert effects_answer(effects) == (
        "Main effects, averaged over the other keys: a: 0 (50.0 %), 1 (60.0 %); b: 0 (50.0 %), 1 (60.0 %), no "
        "significant effect; c: 0 (50.0 %), 1 (60.0 %), not tested."
    )
    of_c = pandas.DataFrame(values[4:], columns=["key", "value", "mean", "p"])
    assert effects_answer(of_c, left_out=["lda", "ridge"]) == (
        "Main effects, averaged over the other keys (without lda and ridge, which ran with some of their values only): "
        "c: 0 (50.0 %), 1 (60.0 %), not tested."
    )


def test_of_many_values_the_lowest_and_the_highest_are_named():
    values = [("lr", str(place), 0.5 + 0.1 * (place == 3) - 0.1 * (place == 1), None) for place in range(6)]
    effects = pandas.DataFrame(values, columns=["key", "value", "mean", "p"])
    assert effects_answer(effects) == (
        "Main effects, averaged over the other keys: lr: 6 values from 1 (40.0 %) to 3 (60.0 %), not tested."
    )
