"""What all pictures share: labels as they were typed, axes that end at 0 and 100 %, files written whole."""

import functools
import io
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from graft.files import write_bytes
from graft.report.unit import PERCENT, Unit

P = ParamSpec("P")
R = TypeVar("R")

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
LINES = [  # color, line and marker of each curve in a picture
    ("#000000", "-", "o"),
    ("#d95f02", "--", "s"),
    ("#3a6bb0", "-.", "^"),
    ("#7a7a7a", ":", "D"),
]


def plain_text(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw texts as they are: a label with two dollar signs is no formula, and letters come from any installed font."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context({"text.parse_math": False, "font.family": ["sans-serif"], "font.sans-serif": _fonts()}):
            return draw(*args, **kwargs)

    return drawn


def wrapped(label: str, width: int = 44) -> str:
    r"""Return a label as lines of a picture; a letter that no font has is its number, \u732b, and stays distinct."""
    letters = _letters()
    shown = "".join(letter if ord(letter) in letters else f"\\u{ord(letter):04x}" for letter in " ".join(label.split()))
    lines = textwrap.wrap(shown, width, max_lines=MAX_LINES, placeholder=" ...")
    text = "\n".join(lines)
    return f" {text}" if text.startswith("_") else text  # Matplotlib leaves labels with _ out of legends


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


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(path, content.getvalue())


@functools.cache
def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [font for font in FONTS if font in installed]


@functools.cache
def _letters() -> set[int]:
    """Return the code points that the fonts have."""
    paths = [font_manager.findfont(font) for font in _fonts()]
    return {letter for path in paths for letter in font_manager.get_font(path).get_charmap()}
