"""Which pictures a report or a job has, drawn into its folder."""

import os
from pathlib import Path

import pandas

from graft.figures.canvas import LINES
from graft.figures.curves import draw_best_curves, draw_curves
from graft.figures.plot import draw_budget, draw_differences, draw_effects, draw_ranges
from graft.job_folder import HISTORY
from graft.report.compare import Report
from graft.report.leaderboard import Leaderboard
from graft.report.terminal import terminal
from graft.results.job_files import read_history
from graft.results.labels import BUDGETS, title
from graft.results.metric import split_of

CURVES = "curves.png"
PICTURES = ("leaderboard.png", "differences.png", "effects.png", "budget.png", CURVES)


def draw(report: Report, output: Path) -> None:
    """Draw all pictures that the jobs allow, into a folder."""
    board, effects = report.board, report.effects
    draw_ranges(output / "leaderboard.png", board.compared(), board.order, board.measure)
    _draw_curves(board, output)
    if board.comparison is None:
        return
    differences = board.comparison.differences
    if any(len(difference.per_trial) for difference in differences.values()):
        draw_differences(output / "differences.png", board.comparison.best, differences, board.measure)
    if len(effects.main):
        draw_effects(output / "effects.png", effects.main, board.measure)
    if effects.budget:
        draw_budget(output / "budget.png", effects.curves, BUDGETS[effects.budget], board.measure)


def _draw_curves(board: Leaderboard, output: Path) -> None:
    """Draw the learning curves of one job or of the best; none of jobs that answer different questions."""
    if len(board.records) == 1:
        (record,) = board.records
        show_curves(record.folder, record.config, output)
    elif board.comparison is not None:
        split = split_of(board.metric)
        best = board.records[: len(LINES)]
        found = {record.label: history(record.folder, record.name) for record in best}
        histories = {label: history for label, history in found.items() if history is not None}
        solved = {record.label for record in best if record.solved}
        if any(history.query(f"split == '{split}'")["epoch"].nunique() > 1 for history in histories.values()):
            draw_best_curves(output / CURVES, histories, split, solved)


def show_curves(folder: Path, config: dict, output: Path) -> None:
    """Draw one job's learning curves, if it has a history.

    Args:
        folder: the job's.
        config: its plain configuration.
        output: the folder to draw into.
    """
    found = history(folder, folder.name)
    if found is not None and len(set(found["epoch"])) > 1:  # a head that is fitted in closed form has no curve
        draw_curves(output / CURVES, found, title(config) or folder.name)


def history(folder: Path, name: str) -> pandas.DataFrame | None:
    """Return a job's history; None if it has none, or a damaged one, which is told."""
    if not os.path.lexists(folder / HISTORY):
        return None
    try:
        return read_history(folder / HISTORY)
    except (ValueError, OSError) as error:
        terminal().print(f"left out {name}/{HISTORY}: {error}", style="red", soft_wrap=True)
        return None
