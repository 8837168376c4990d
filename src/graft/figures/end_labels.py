"""Labels at the ends of lines, in place of a legend, where there is room."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from graft.figures.canvas import SMALL, num_lines

LINE = 1.3 * SMALL  # points: the height of a line of text
LETTER = 0.55 * SMALL  # points: the mean width of a letter
ROOM = 0.3  # of a panel's width, at most, for labels


@dataclass(frozen=True)
class _End:
    """The right end of a line.

    Attributes:
        line: the line.
        point: its last point, in data coordinates.
        height: of that point above the axes' lower end, in points.
    """

    line: Line2D
    point: tuple[float, float]
    height: float

    @property
    def label(self) -> str:
        return str(self.line.get_label())

    @property
    def size(self) -> float:
        """The height of the label, in points."""
        return LINE * num_lines(self.label)


def label_ends(panels: Sequence[Axes]) -> bool:
    """Label each line at its right end, in each of the panels of a figure; return False if there is no room.

    Lines without a label of their own have none. Labels that would overlap are moved apart; a thin line leads to each.
    """
    figure = panels[0].figure
    figure.draw_without_rendering()  # type: ignore[union-attr]  # lays the panels out
    found = [_ends(axes) for axes in panels]
    for axes, ends in zip(panels, found, strict=True):
        width, height = _size(axes)
        letters = max((len(line) for end in ends for line in end.label.split("\n")), default=0)
        if not ends or letters * LETTER > ROOM * width or sum(end.size for end in ends) > height:
            return False
    for axes, ends in zip(panels, found, strict=True):
        _write(axes, ends)
    return True


def _ends(axes: Axes) -> list[_End]:
    """Return the ends of the labeled lines, from the lowest."""
    ends = []
    for line in axes.get_lines():
        points = np.asarray(line.get_xydata(), dtype=float)
        points = points[np.isfinite(points).all(1)]
        if str(line.get_label()).startswith("_") or not len(points):
            continue
        right, up = line.get_transform().transform(points[-1])  # a horizontal line's are not data coordinates
        pixel = right, min(up, axes.get_window_extent().y1)  # a line may be above the panel
        x, y = axes.transData.inverted().transform(pixel)
        height = (pixel[1] - axes.get_window_extent().y0) * 72 / axes.figure.dpi
        ends.append(_End(line, (float(x), float(y)), float(height)))
    return sorted(ends, key=lambda end: end.height)


def _size(axes: Axes) -> tuple[float, float]:
    """Return the width and height of a panel in points."""
    box = axes.get_window_extent()
    return box.width * 72 / axes.figure.dpi, box.height * 72 / axes.figure.dpi


def _write(axes: Axes, ends: Sequence[_End]) -> None:
    _, height = _size(axes)
    places = apart([end.height for end in ends], [end.size for end in ends], height)
    for end, place in zip(ends, places, strict=True):
        look: dict[str, Any] = {"color": end.line.get_color(), "linewidth": 0.5, "arrowstyle": "-", "shrinkB": 0}
        axes.annotate(
            end.label,
            xy=end.point,
            xytext=(1.04, place / height),
            textcoords="axes fraction",
            fontsize=SMALL,
            color=end.line.get_color(),
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={**look, "shrinkA": 1, "relpos": (0, 0.5)},
        )


def apart(wanted: Sequence[float], sizes: Sequence[float], height: float) -> list[float]:
    """Return the centers of labels near the wanted ones, from the lowest, so that none overlap or leave the panel.

    Args:
        wanted: centers, ascending.
        sizes: heights of the labels, which sum to at most `height`.
        height: of the panel.
    """
    centers, low = [], 0.0
    for center, size in zip(wanted, sizes, strict=True):
        centers.append(max(center, low + size / 2))
        low = centers[-1] + size / 2
    high = height
    for place in reversed(range(len(centers))):
        centers[place] = min(centers[place], high - sizes[place] / 2)
        high = centers[place] - sizes[place] / 2
    return centers
