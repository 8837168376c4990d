"""An answer as HTML, for notebooks: the table, sentences and pictures."""

import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from graft.figures.draw import PICTURES, draw
from graft.page.pictures import figure
from graft.report.compare import Report
from graft.report.table import short_lines


def page(report: Report, sentences: Sequence[str], failed: Mapping[str, str]) -> str:
    """Return a report as HTML.

    Args:
        report: the comparison.
        sentences: the answer in words.
        failed: why jobs failed, by name.
    """
    board = report.board
    parts = [f"<p>{escape(board.heading)}</p>", _table(short_lines(board.table, board.metric))]
    parts += [f"<p>{escape(sentence)}</p>" for sentence in sentences]
    parts += [f"<p><b>skipped</b> {escape(name)}: {escape(reason)}</p>" for name, reason in report.skipped.items()]
    parts += [f"<p><b>failed</b> {escape(name)}: {escape(reason)}</p>" for name, reason in failed.items()]
    return f"<div>{''.join([*parts, *_pictures(report)])}</div>"


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _pictures(report: Report) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        draw(report, Path(folder))
        drawn = {name: figure(Path(folder), name) for name in PICTURES}
    return [f'<img alt="{name}" style="max-width: 100%" src="{data}">' for name, data in drawn.items() if data]
