"""Contact sheets: pictures of findings, with their names, labels and what is said of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from graft.data.images import Images
from graft.figures.canvas import save, shortened, styled, wrapped
from graft.inference.job_images import picture

SIDE = 160  # pixels of a picture
COLUMNS = 5
LETTERS = 24  # of a line below a picture
INCHES = 1.75  # of a picture with its margin
LINES = 0.16  # inches of a line


class Tile(NamedTuple):
    """A picture and the lines below it: first its name, of which the middle may be left out, then words."""

    image: int
    lines: tuple[str, ...]


@styled
def draw_sheet(path: Path, title: str, images: Images, tiles: Sequence[Tile], paired: bool = False) -> None:
    """Write pictures of a data set, in rows, as a PNG file.

    Args:
        path: the file.
        title: above them.
        images: the data set.
        tiles: its images; they can be read.
        paired: whether each two belong together.
    """
    columns = COLUMNS - paired  # even
    texts = [caption(tile) for tile in tiles]
    rows, most = -(-len(tiles) // columns), max(map(len, texts))
    height, head = INCHES + LINES * most, 0.4
    figure = Figure((columns * INCHES, rows * height + head), dpi=110)
    figure.text(0.01, 1 - 0.12 / (rows * height + head), wrapped(title, 30 * columns), va="top", fontsize=10)
    for place, (tile, text) in enumerate(zip(tiles, texts, strict=True)):
        row, column = divmod(place, columns)
        bottom = 1 - (head + row * height + INCHES) / (rows * height + head)
        shift = 0.04 + paired * (-0.03 if column % 2 else 0.07)  # two of a pair are near each other
        axes = figure.add_axes(
            ((column + shift) / columns, bottom, 0.9 / columns, 0.9 * INCHES / (rows * height + head))
        )
        axes.imshow(picture(images, tile.image, SIDE), interpolation="nearest", vmin=0, vmax=255, cmap="gray")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color="lightgray", linewidth=0.5)  # or a white picture would not be seen
        axes.text(0, -0.04, "\n".join(text), va="top", fontsize=7, transform=axes.transAxes, linespacing=1.15)
    save(figure, path)


def caption(tile: Tile) -> list[str]:
    """Return the lines below a picture, each of at most `LETTERS` letters."""
    name, *words = tile.lines
    parts = shortened(name, 2 * LETTERS), *words
    return [line for part in parts for line in wrapped(part, LETTERS).split("\n")]
