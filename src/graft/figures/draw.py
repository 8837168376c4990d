"""Which pictures a report or a job has, drawn into its folder."""

import os
from collections.abc import Collection
from pathlib import Path

import pandas

from graft.analysis.confusion_table import confusion_table
from graft.analysis.predictions import Predictions, job_predictions
from graft.analysis.reliability import reliability
from graft.config.values import FORMATS
from graft.figures.canvas import LINES, save
from graft.figures.confusion import draw_confusion
from graft.figures.curves import draw_best_curves, draw_curves
from graft.figures.diagram import draw_reliability
from graft.figures.plot import draw_budget, draw_differences, draw_effects, draw_ranges
from graft.job_folder import HISTORY
from graft.report.compare import Report
from graft.report.leaderboard import Leaderboard
from graft.report.terminal import terminal
from graft.results.job_files import read_history
from graft.results.labels import BUDGETS, title
from graft.results.metric import split_of

CURVES, CONFUSION, RELIABILITY = "curves.png", "confusion.png", "reliability.png"
OF_JOB = (CURVES, CONFUSION, RELIABILITY)
PICTURES = ("leaderboard.png", "differences.png", "effects.png", "budget.png", *OF_JOB)


def remove_pictures(output: Path, pictures: Collection[str] = PICTURES) -> None:
    """Remove earlier pictures, some of which may not be drawn again, in all formats."""
    for picture in pictures:
        for kind in FORMATS:
            (output / picture).with_suffix(f".{kind}").unlink(missing_ok=True)


def draw(report: Report, output: Path, formats: Collection[str] = ()) -> None:
    """Draw all pictures that the jobs allow, into a folder: as PNG, and in further formats."""
    board, effects = report.board, report.effects
    figures = {"leaderboard.png": draw_ranges(board.compared(), board.order, board.measure)}
    compared = board.comparison
    if compared is not None and any(len(difference.per_trial) for difference in compared.differences.values()):
        figures["differences.png"] = draw_differences(compared.best, compared.differences, board.measure)
    if len(effects.main):
        figures["effects.png"] = draw_effects(effects.main, board.measure)
    if effects.budget:
        figures["budget.png"] = draw_budget(effects.curves, BUDGETS[effects.budget], board.measure)
    for name, figure in figures.items():
        save(figure, output / name, formats)
    _draw_curves(board, output, formats)
    found = job_predictions(board.best)
    if board.best is not None and found is not None:
        show_predictions(found, board.best.label, output, formats)


def show_predictions(found: Predictions, job: str, output: Path, formats: Collection[str] = ()) -> None:
    """Draw what one job's trials took the test images for, and how far they could be believed.

    Args:
        found: the predictions.
        job: what the pictures call it.
        output: the folder to draw into.
        formats: besides PNG.
    """
    save(draw_confusion(confusion_table(found), found.classes, job), output / CONFUSION, formats)
    believed = reliability(found)
    if believed is not None:
        save(draw_reliability(believed, job), output / RELIABILITY, formats)


def _draw_curves(board: Leaderboard, output: Path, formats: Collection[str]) -> None:
    """Draw the learning curves of one job or of the best; none of jobs that answer different questions."""
    if len(board.records) == 1:
        (record,) = board.records
        show_curves(record.folder, record.config, output, formats)
    elif board.comparison is not None:
        best = board.records[: len(LINES)]
        found = {record.label: history(record.folder, record.name) for record in best}
        histories = {label: history for label, history in found.items() if history is not None}
        solved = {record.label for record in best if record.solved}
        for split in (split_of(board.metric), "train"):  # images that are tested at the end alone have no curve
            if any(history.query(f"split == '{split}'")["epoch"].nunique() > 1 for history in histories.values()):
                save(draw_best_curves(histories, split, solved), output / CURVES, formats)
                break


def show_curves(folder: Path, config: dict, output: Path, formats: Collection[str] = ()) -> None:
    """Draw one job's learning curves, if it has a history.

    Args:
        folder: the job's.
        config: its plain configuration.
        output: the folder to draw into.
        formats: besides PNG.
    """
    found = history(folder, folder.name)
    if found is not None and len(set(found["epoch"])) > 1:  # a head that is fitted in closed form has no curve
        save(draw_curves(found, title(config) or folder.name), output / CURVES, formats)


def history(folder: Path, name: str) -> pandas.DataFrame | None:
    """Return a job's history; None if it has none, or a damaged one, which is told."""
    if not os.path.lexists(folder / HISTORY):
        return None
    try:
        return read_history(folder / HISTORY)
    except (ValueError, OSError) as error:
        terminal().print(f"left out {name}/{HISTORY}: {error}", style="red", soft_wrap=True)
        return None
