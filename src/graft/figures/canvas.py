"""What all pictures share: one style, labels as they were typed, axes that end at 0 and 100 %, files written whole."""

import functools
import io
import textwrap
from collections.abc import Callable, Collection
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from graft.config.values import FORMATS
from graft.files import write_bytes
from graft.report.unit import PERCENT, Unit

P = ParamSpec("P")
R = TypeVar("R")

# Without dates, so that a repeated report writes the same bytes.
METADATA = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
COLUMN, PAGE = 3.5, 7.2  # inches: widths of one column of a paper and of two
SMALL = 7  # points: of ticks, legends and labels in a picture
STYLE = {
    "font.family": ["sans-serif"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 8,
    "figure.dpi": 200,
    "savefig.dpi": "figure",
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,
    "svg.fonttype": "path",  # looks the same where the fonts are missing
    "svg.hashsalt": "graft",
    "pdf.fonttype": 42,  # journals refuse Type 3
}

# Used for what Matplotlib's own font lacks, where they are installed.
FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "Arial Unicode MS",
)
MAX_LINES = 3  # of a label
LINES = [  # color, line and marker of each curve in a picture; in gray the colors differ, too
    ("#000000", "-", "o"),
    ("#d95f02", "--", "s"),
    ("#1f4e9c", "-.", "^"),
    ("#909090", ":", "D"),
]


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the one style, whatever the user's own is; texts as they are, so that two dollar signs are no formula."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context([{**STYLE, "font.sans-serif": _fonts()}], after_reset=True):
            return draw(*args, **kwargs)

    return drawn


def wrapped(label: str, width: int = 40) -> str:
    r"""Return a label as lines of a picture; a letter that no font has is its number, \u732b, and stays distinct."""
    letters = _letters()
    words = " ".join(label.split()).replace(" %", "\xa0%")  # no line begins with %
    shown = "".join(letter if ord(letter) in letters else f"\\u{ord(letter):04x}" for letter in words)
    lines = textwrap.wrap(shown, width, max_lines=MAX_LINES, placeholder=" ...")
    text = "\n".join(lines)
    return f" {text}" if text.startswith("_") else text  # Matplotlib leaves labels with _ out of legends


def shortened(name: str, width: int) -> str:
    """Return a name of at most so many letters: its end, which tells names apart, and what fits of its start."""
    if len(name) <= width:
        return name
    start = width // 3
    return f"{name[:start]}…{name[-(width - start - 1) :]}"


def num_lines(label: str) -> int:
    """Return the number of lines of a wrapped label."""
    return 1 + label.count("\n")


def within(unit: Unit, axes: Axes, axis: Axis, least: float = 0) -> None:
    """Remove a percent axis's ticks below the least and above 100 %, and all space that is not needed for marks."""
    if unit is not PERCENT:
        return
    low, high = axis.get_view_interval()
    margin = 0.05 * min(high - low, 100)
    low, high = max(low, least - margin), min(high, 100 + margin)
    limit = axes.set_xlim if axis is axes.xaxis else axes.set_ylim
    limit(low, high)
    axis.set_ticks([tick for tick in axis.get_majorticklocs() if max(low, least) <= tick <= min(high, 100)])


@styled
def rendered(figure: Figure, kind: str) -> bytes:
    """Return a picture as a file's content.

    Args:
        figure: the picture.
        kind: one of `FORMATS`.
    """
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata=METADATA[kind])
    return content.getvalue()


@styled
def drawn(figure: Figure) -> np.ndarray:
    """Return a picture's bytes, (height, width, 3), equal to those of its PNG without packing and unpacking one."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def save(figure: Figure, path: Path, formats: Collection[str] = ()) -> None:
    """Write a picture as PNG, and in further formats beside it."""
    for kind in FORMATS:
        if kind == "png" or kind in formats:
            write_bytes(path.with_suffix(f".{kind}"), rendered(figure, kind))


@functools.cache
def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [font for font in FONTS if font in installed]


@functools.cache
def _letters() -> set[int]:
    """Return the code points that the fonts have."""
    paths = [font_manager.findfont(font) for font in _fonts()]
    return {letter for path in paths for letter in font_manager.get_font(path).get_charmap()}
