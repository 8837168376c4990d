"""A page's reliability diagram: whether predictions of a confidence are as often right as it says."""

from typing import NamedTuple

import numpy as np

from graft.analysis.predictions import Predictions
from graft.analysis.reliability import reliability
from graft.nouns import counted

SIDE, MARGIN = 260, 34  # of the diagram, in its own units


class Point(NamedTuple):
    """One bin of the diagram.

    Attributes:
        x: place of its mean confidence.
        y: place of its accuracy, from the top.
        texts: confidence, accuracy and images, in texts.
    """

    x: float
    y: float
    texts: tuple[str, str, str]


class Diagram(NamedTuple):
    """A reliability diagram.

    Attributes:
        points: its bins.
        ticks: places from the left and numbers, the same from the bottom.
        error: the expected calibration error in words.
        words: the diagram, for readers who do not see it.
        single: whether it is of one trial.
    """

    points: list[Point]
    ticks: list[tuple[float, float, str]]
    error: str
    words: str
    single: bool


def diagram_of(found: Predictions) -> Diagram | None:
    """Return how well a job's trials are calibrated; None where the probabilities are not stored."""
    known = reliability(found)
    if known is None:
        return None
    single = len(found.outcomes.seeds) == 1
    decimals = 0 if single else 1
    points = [
        Point(
            _x(row["confidence"]),
            _y(row["accuracy"]),
            (f"{100 * row['confidence']:.1f}", f"{100 * row['accuracy']:.1f}", f"{row['images']:,.{decimals}f}"),
        )
        for row in known.bins.to_dict("records")
    ]
    ticks = [(_x(each / 4), _y(each / 4), str(25 * each)) for each in range(5)]
    gap = float(np.average(known.bins["confidence"] - known.bins["accuracy"], weights=known.bins["images"]))
    words = f"reliability diagram of {counted(len(points), 'bin')}; confidence is in the mean of the images "
    return Diagram(
        points,
        ticks,
        known.words[0].upper() + known.words[1:],
        f"{words}{abs(100 * gap):.1f} points {'above' if gap > 0 else 'below'} accuracy",
        single,
    )


def _x(share: float) -> float:
    return round(MARGIN + (SIDE - MARGIN - 8) * share, 1)


def _y(share: float) -> float:
    return round(8 + (SIDE - MARGIN - 8) * (1 - share), 1)
