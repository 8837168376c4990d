import pickle

import pytest

from graft.errors import ConfigError, Fault, GraftError, as_typed, nearest


def test_a_configuration_s_faults_are_objects_and_one_message_of_a_line_each():
    faults = [
        Fault("dropout", 1.5, "in [0, 1)", "dropout=0.5"),
        Fault("regularize.clip", True, "null or a number above 0", "regularize.clip=1.0"),
    ]
    error = ConfigError(iter(faults))
    assert isinstance(error, GraftError)
    assert error.faults == faults
    assert str(error) == (
        "dropout must be in [0, 1), got 1.5; try dropout=0.5\n"
        "regularize.clip must be null or a number above 0, got true; try regularize.clip=1.0"
    )


def test_faults_cross_a_process_boundary():
    error = ConfigError([Fault("lr", "fast", "a number", "lr=0.001"), Fault("head.widths", [0], "positive", "[512]")])
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is ConfigError
    assert back.faults == error.faults
    assert str(back) == str(error)


@pytest.mark.parametrize(
    ("value", "typed"),
    [(None, "null"), (True, "true"), (False, "false"), (1, "1"), (0.5, "0.5"), ([1, "a", None], "[1,a,null]")],
)
def test_values_are_shown_as_they_are_typed(value: object, typed: str):
    assert as_typed(value) == typed


def test_the_nearest_words_come_first():
    known = ["epochs", "dropout", "width", "trials"]
    assert nearest("droput", known) == ["dropout"]
    assert nearest("droput", known, 2)[0] == "dropout"
    assert len(nearest("droput", known, 9)) == 4
    assert nearest("WIDTH", known, similarity=0.6) == ["width"]
    assert nearest("cat", ["CAT", "Cat", "dog"], 3, 0.6) == ["CAT", "Cat"]
    assert nearest("zzz", known, similarity=0.6) == []
    assert len(nearest("zzz", known)) == 1
