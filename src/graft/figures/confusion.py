"""The picture of what a job's classes are taken for: a matrix, or of many classes the worst confusions."""

import numpy as np
import pandas
from matplotlib.figure import Figure

from graft.figures.canvas import COLUMN, PAGE, SMALL, num_lines, shortened, styled, wrapped
from graft.figures.end_labels import LETTER
from graft.nouns import counted

MATRIX = 30  # classes, at most, of a matrix
NUMBERS = 15  # classes, at most, of a matrix with numbers
WORST = 20  # confusions of a picture of more classes


@styled
def draw_confusion(table: pandas.DataFrame, classes: list[str], job: str) -> Figure:
    """Draw the mean share of each class's test images that the trials take for each class.

    Args:
        table: as `confusion_table` returns it.
        classes: their names.
        job: what it is of.
    """
    return _matrix(table, classes, job) if len(classes) <= MATRIX else _worst(table, len(classes), job)


def _matrix(table: pandas.DataFrame, classes: list[str], job: str) -> Figure:
    places = {name: place for place, name in enumerate(classes)}
    true, said = ([places[name] for name in table[column]] for column in ("class", "prediction"))
    percent = np.zeros((len(classes), len(classes)))
    percent[true, said] = 100 * table["share"].to_numpy(float)
    images = np.bincount(true, table["images"].to_numpy(float), len(classes)).round()
    size = COLUMN if len(classes) <= 10 else PAGE * min(1, 0.4 + 0.02 * len(classes))
    figure = Figure(figsize=(size, 0.95 * size), layout="constrained")
    axes = figure.subplots()
    # The root shows confusions of a few percent; gray stays gray in print.
    axes.imshow((percent / 100) ** 0.5, cmap="Greys", vmin=0, vmax=1)
    if len(classes) <= NUMBERS:
        for row, column in np.argwhere(percent >= 0.5):
            color = "white" if percent[row, column] > 30 else "black"
            look = {"ha": "center", "va": "center", "color": color, "fontsize": SMALL if len(classes) <= 10 else 5.5}
            # Within the axes it moves nothing, and measuring it takes a sixth of the time of ten classes.
            axes.text(column, row, f"{percent[row, column]:.0f}", in_layout=False, **look)
    names = [wrapped(name, 14) for name in classes]
    if len({*names}) < len(names):  # long ones of one beginning: the end tells them apart
        names = [wrapped(shortened(name, 28), 14) for name in classes]
    long = max(len(line) for name in names for line in name.split("\n")) * LETTER > 0.7 * 72 * size / len(classes)
    axes.set_xticks(range(len(classes)), names, rotation=90 if long else 0)
    axes.set_yticks(range(len(classes)), [f"{name} ({count:.0f})" for name, count in zip(names, images, strict=True)])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL if len(classes) <= NUMBERS else 5.5)
    axes.set(xlabel="predicted class", ylabel="true class (test images)")
    axes.set_title(wrapped(f"{job}: % of each class's images", 44 if size <= COLUMN else 80))
    return figure


def _worst(table: pandas.DataFrame, num_classes: int, job: str) -> Figure:
    wrong = table.iloc[np.flatnonzero(table["class"].to_numpy() != table["prediction"].to_numpy())]
    worst = wrong.iloc[np.lexsort((-wrong["images"].to_numpy(), -wrong["share"].to_numpy()))].head(WORST)
    pairs = zip(worst["class"], worst["prediction"], strict=True)
    labels = [wrapped(f"{shortened(true, 50)} taken for {shortened(said, 50)}", 40) for true, said in pairs]
    height = 0.19 * max(map(num_lines, labels), default=1) ** 0.7
    figure = Figure(figsize=(PAGE * 0.75, 0.9 + height * max(len(labels), 1)), layout="constrained")
    axes = figure.subplots()
    percent = 100 * worst["share"].to_numpy(float)
    bars = axes.barh(range(len(labels)), percent, color="#7a7a7a", height=0.7)
    sizes = (100 * worst["images"] / percent).round()
    numbers = [f"{share:.0f} % of {size:.0f}" for share, size in zip(percent, sizes, strict=True)]
    axes.bar_label(bars, numbers, padding=3, fontsize=SMALL)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.15, y=0.03)
    axes.set(xlabel="% of the class's test images")
    words = f"{job}: the worst of {counted(len(wrong), 'confusion')} between {num_classes} classes"
    figure.suptitle(wrapped(words, 75))
    return figure
