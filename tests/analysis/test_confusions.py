import numpy as np
from sklearn.metrics import confusion_matrix

from graft.analysis.confusions import Confusions

NAMES = ["cat", "dog", "hen", "never seen"]


def test_counts_are_those_of_a_confusion_matrix():
    random = np.random.default_rng(0)
    true, said = random.integers(0, 3, (2, 200))
    found = Confusions((NAMES[own], NAMES[other]) for own, other in zip(true, said, strict=True))
    table = confusion_matrix(true, said, labels=range(4))
    assert found.right == np.trace(table)
    assert found.recalls(NAMES) == [(name, table[row, row], table[row].sum()) for row, name in enumerate(NAMES)]
    wrong = found.wrong()
    assert {(true, said): count for true, said, count, _ in wrong} == {
        (NAMES[row], NAMES[column]): table[row, column] for row in range(3) for column in range(3) if row != column
    }
    assert [count for _, _, count, _ in wrong] == sorted((count for _, _, count, _ in wrong), reverse=True)
    assert all(total == table[NAMES.index(true)].sum() for true, _, _, total in wrong)


def test_no_prediction_is_no_confusion():
    assert (Confusions().right, Confusions().wrong()) == (0, [])
    assert Confusions().recalls(["cat"]) == [("cat", 0, 0)]
