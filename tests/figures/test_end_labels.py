import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from graft.figures.end_labels import apart, label_ends


@given(st.lists(st.tuples(st.floats(-20, 120), st.floats(1, 9)), min_size=1, max_size=11))
def test_labels_neither_overlap_nor_leave_the_panel(given_labels: list[tuple[float, float]]):
    wanted, sizes = map(list, zip(*sorted(given_labels), strict=True))
    centers = apart(wanted, sizes, 100)
    ends = [(center - size / 2, center + size / 2) for center, size in zip(centers, sizes, strict=True)]
    assert ends[0][0] >= -1e-9
    assert ends[-1][1] <= 100 + 1e-9
    assert all(one[1] <= other[0] + 1e-9 for one, other in itertools.pairwise(ends))


def test_labels_with_room_stay_where_they_are_wanted():
    assert apart([10, 50, 90], [8, 8, 8], 100) == [10, 50, 90]


def panel(*labels: str, ends: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Figure:
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    for label, end in zip(labels, ends, strict=False):
        axes.plot([0, 1, 2], [0, end, np.nan], label=label)
    return figure


def test_each_line_is_named_at_its_last_point():
    figure = panel("one", "two", "three")
    assert label_ends(figure.axes)
    named = {text.get_text(): text.xy for text in figure.axes[0].texts}  # type: ignore[attr-defined]
    assert {name: tuple(np.round(point, 9)) for name, point in named.items()} == {
        "one": (1, 0.1),
        "two": (1, 0.5),
        "three": (1, 0.9),
    }


def test_a_horizontal_line_ends_at_the_panel_s_side():
    figure = panel("curve")
    figure.axes[0].axhline(0.3, label="ridge")
    assert label_ends(figure.axes)
    (point,) = [text.xy for text in figure.axes[0].texts if text.get_text() == "ridge"]  # type: ignore[attr-defined]
    assert point[1] == pytest.approx(0.3)
    assert point[0] == pytest.approx(figure.axes[0].get_xlim()[1])


@pytest.mark.parametrize("labels", [("x" * 60,), ("one\ntwo\nthree",) * 12, ()])
def test_where_there_is_no_room_nothing_is_written(labels: tuple[str, ...]):
    figure = panel(*labels, ends=(0.1,) * len(labels))
    assert not label_ends(figure.axes)
    assert not figure.axes[0].texts
