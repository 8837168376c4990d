from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from graft.data.dataset import MNIST5k
from graft.logs.answer_pictures import answer_pictures
from graft.results.outcomes import read_outcomes

Run = Callable[..., dict]


def test_the_matrix_has_the_mean_shares_and_the_mistakes_are_the_images_that_most_trials_got_wrong(
    run: Run, tmp_path: Path, digits: MNIST5k, monkeypatch: pytest.MonkeyPatch
):
    result = run("trials=3", "epochs=2", "source.epochs=1")
    outcomes = read_outcomes(tmp_path / "job")
    assert outcomes is not None
    cells: dict[tuple[float, float], str] = {}
    below: list[str] = []
    text, on_figure = Axes.text, Figure.text
    monkeypatch.setattr(
        Axes, "text", lambda self, x, y, s, **more: (cells.setdefault((y, x), s), text(self, x, y, s, **more))[1]
    )
    monkeypatch.setattr(
        Figure, "text", lambda self, x, y, s, **more: (below.append(s), on_figure(self, x, y, s, **more))[1]
    )
    found = answer_pictures(result, outcomes, digits.images)
    assert list(found) == ["confusion matrix", "worst mistakes"]
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in found.values())
    label, said = outcomes.test.label[0], outcomes.test.prediction
    expected = 100 * np.mean([confusion_matrix(label, trial, normalize="true") for trial in said], axis=0)
    drawn = np.array([[float(cells.get((row, column), 0)) for column in range(5)] for row in range(5)])
    assert drawn == pytest.approx(expected, abs=0.51)
    wrong = (said != label).sum(0)
    first = below[0].split("\n")
    assert first[2] == f"by {wrong.max()} of 3 trials"
    assert first[0] in outcomes.classes
    assert first[1].removeprefix("taken for ") in set(outcomes.classes) - {first[0]}
    assert len(below) == 8
