import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from graft.figures.canvas import FORMATS, LINES, drawn, rendered, save, styled, within, wrapped
from graft.report.unit import PERCENT


def test_a_long_label_has_three_lines_and_a_letter_without_a_font_its_number():
    assert wrapped("plain with dropout 0.5") == "plain with dropout 0.5"
    assert wrapped("very long " * 90).count("\n") == 2
    assert wrapped("x" * 400).endswith("...")
    assert "\n" not in wrapped("two\nlines\tand tabs")
    assert wrapped("error 41.3 %", 11) == "error\n41.3\xa0%"  # a number stays with its unit
    assert wrapped("кот") == "кот"
    assert wrapped("\ue123 and \ue124") == r"\ue123 and \ue124"  # private letters, which no font has


def test_a_label_that_begins_with_an_underscore_stays_in_the_legend():
    axes = Figure().subplots()
    axes.plot([0, 1], label=wrapped("_name"))
    assert [text.get_text().strip() for text in axes.legend().get_texts()] == ["_name"]


@pytest.mark.filterwarnings("error")
def test_dollar_signs_are_no_formula(tmp_path: Path):
    @styled
    def draw(label: str) -> None:
        figure = Figure()
        figure.subplots().set_title(wrapped(label))
        save(figure, tmp_path / "label.png")

    for label in ("$", "$x", "$x_1$", r"$\frac{1$ and $", "a_b^c", "[bold]%", r"\n"):
        draw(label)
    assert rcParams["text.parse_math"]  # the user's own pictures keep theirs


@pytest.mark.parametrize(("low", "high"), [(0.0, 100.0), (99.9, 100.0), (100.0, 100.0), (0.0, 0.0), (93.0, 94.0)])
def test_an_axis_of_accuracies_has_no_tick_beyond_0_and_100_percent(low: float, high: float):
    axes = Figure().subplots()
    axes.plot([0, 1], [low, high], "o")
    within(PERCENT, axes, axes.yaxis)
    assert all(0 <= tick <= 100 for tick in axes.get_yticks())
    assert len(axes.get_yticks()) >= 2
    bottom, top = axes.get_ylim()
    assert bottom <= low <= high <= top
    assert bottom >= -5
    assert top <= 105


def test_an_axis_of_differences_ends_at_100_points_on_both_sides():
    axes = Figure().subplots()
    axes.plot([-100, 100], [0, 1], "o")
    within(PERCENT, axes, axes.xaxis, least=-100)
    assert min(axes.get_xticks()) == -100
    assert max(axes.get_xticks()) == 100


def simple() -> Figure:
    figure = Figure(figsize=(3, 2), layout="constrained")
    figure.subplots().plot([0, 1], [0, 1], label="a line")
    figure.suptitle("two dollars $x$")
    return figure


def test_a_picture_is_written_as_png_and_in_what_else_is_asked_for(tmp_path: Path):
    save(styled(simple)(), tmp_path / "one.png")
    save(styled(simple)(), tmp_path / "two.png", ["svg", "pdf"])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"one.png", "two.png", "two.svg", "two.pdf"}
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "two.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "two.svg").read_text()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_repeated_picture_has_the_same_bytes_whatever_the_user_s_style(kind: str):
    first = rendered(styled(simple)(), kind)
    with rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "black", "svg.hashsalt": None}):
        again = rendered(styled(simple)(), kind)
    assert first == again
    assert b"Date" not in first


def test_the_lines_differ_in_grey():
    gray = sorted(to_rgb(color) @ np.array([0.299, 0.587, 0.114]) for color, *_ in LINES)
    assert min(np.diff(gray)) > 0.08
    assert len({line for _, line, _ in LINES}) == len({marker for *_, marker in LINES}) == len(LINES)


def test_a_picture_s_bytes_are_those_of_its_png():
    def figure() -> Figure:
        made = Figure((2, 1), dpi=100, layout="constrained")
        made.subplots().set(xlabel="epochs", title="head=plain")
        return made

    assert np.array_equal(drawn(figure()), np.asarray(Image.open(io.BytesIO(rendered(figure(), "png"))).convert("RGB")))
