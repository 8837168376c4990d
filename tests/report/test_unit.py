import numpy as np

from graft.report.unit import LOSS, PERCENT, TEST_ACCURACY, measure_of, unit_of


def test_accuracies_are_percentages_and_their_differences_points():
    assert (PERCENT.value(0.9234), PERCENT.span(0.9, 0.913)) == ("92.3 %", "90.0 to 91.3")
    assert [PERCENT.signed(it) for it in (-0.024, 0.0004, -0.0004, 0.01)] == ["-2.4", "0.0", "0.0", "+1.0"]
    assert PERCENT.span(-0.026, 0.0001) == "-2.6 to 0.0"
    assert [PERCENT.gap(it) for it in (-0.024, 0.01, -0.0001)] == [
        "2.4 points worse", "1 point better", "less than 0.1 points worse",
    ]  # fmt: skip
    assert (PERCENT.sizes(-0.04, -0.039), PERCENT.sizes(-0.0401, -0.0399)) == ("3.9 to 4.0", "4.0")


def test_losses_are_written_without_their_minus_and_a_higher_one_is_worse():
    assert (LOSS.value(-0.4125), LOSS.span(-0.5, -0.4)) == ("0.412", "0.400 to 0.500")
    assert (LOSS.signed(-0.034), LOSS.span(-0.05, -0.02), LOSS.gap(-0.034)) == (
        "+0.034",
        "0.020 to 0.050",
        "0.034 worse",
    )
    assert (LOSS.gap(-1.0), LOSS.gap(0.0001), LOSS.sizes(-0.05, -0.02)) == (
        "1.000 worse", "less than 0.001 better", "0.020 to 0.050",
    )  # fmt: skip


def test_ends_of_ranges_are_in_their_written_order():
    for unit, expected in ((PERCENT, [[10, 30], [20, 40]]), (LOSS, [[-0.2, -0.4], [-0.1, -0.3]])):
        np.testing.assert_allclose(unit.ends([0.1, 0.3], [0.2, 0.4]), expected)
    assert np.isnan(PERCENT.ends([np.nan], [np.nan])).all()


def test_measures_name_their_axis():
    assert measure_of("accuracy") == TEST_ACCURACY
    assert (TEST_ACCURACY.axis, measure_of("val_loss").axis) == ("test accuracy, %", "validation loss")
    assert unit_of("val_loss") is LOSS
