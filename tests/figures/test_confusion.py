import numpy as np
import pandas
import pytest

from graft.analysis.confusion_table import COLUMNS
from graft.figures.confusion import MATRIX, WORST, draw_confusion


def table(counts: np.ndarray, classes: list[str]) -> pandas.DataFrame:
    rows = [
        (classes[true], classes[said], counts[true, said], counts[true, said] / counts[true].sum(), 0, 1)
        for true, said in np.argwhere(counts)
    ]
    return pandas.DataFrame(rows, columns=COLUMNS)


def test_a_few_classes_are_a_matrix_of_shares_in_the_order_of_classes():
    classes = ["dog", "cat", "never seen"]
    figure = draw_confusion(table(np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]]), classes), classes, "a job")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog (10)", "cat (4)", "never seen (0)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == classes
    numbers = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "80", (1, 0): "20", (0, 1): "25", (1, 1): "75"}  # column, row
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown**2, [[0.8, 0.2, 0], [0.25, 0.75, 0], [0, 0, 0]])


@pytest.mark.parametrize("count", [MATRIX, MATRIX + 1, 1000])
def test_many_classes_have_a_matrix_or_their_worst_confusions(count: int):
    classes = [f"class{place}" for place in range(count)]
    counts = np.diag(np.full(count, 20))
    counts[np.arange(count), (np.arange(count) + 1) % count] = np.arange(count) % 7
    figure = draw_confusion(table(counts, classes), classes, "a job")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    if count <= MATRIX:
        assert len(labels) == count
    else:
        assert labels[0] == "class6 taken for class7"
        assert len(labels) == WORST
        assert figure.axes[0].texts[0].get_text() == "23 % of 26"


def test_no_confusion_between_many_classes_is_an_empty_picture():
    classes = [f"class{place}" for place in range(40)]
    figure = draw_confusion(table(np.diag(np.full(40, 3)), classes), classes, "a job")
    assert "0 confusions" in figure.get_suptitle()


@pytest.mark.parametrize("count", [5, MATRIX + 1])
def test_long_names_of_one_beginning_are_told_apart(count: int):
    classes = [
        f"Lepidoptera Nymphalidae Heliconiinae Heliconius of a valley, species {place:02}" for place in range(count)
    ]
    counts = np.diag(np.full(count, 20))
    counts[np.arange(count), (np.arange(count) + 1) % count] = np.arange(count) % 7
    axes = draw_confusion(table(counts, classes), classes, "a job").axes[0]
    labels = ["".join(label.get_text().split()) for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels)
    if count <= MATRIX:
        assert [label.get_text()[-2:] for label in axes.get_xticklabels()] == [name[-2:] for name in classes]
    else:
        assert labels[0].endswith("species07")
        assert "species06takenfor" in labels[0]
