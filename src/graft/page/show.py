"""Reports: the comparison of several jobs as sentences, tables and pictures."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from graft.analysis.predictions import job_predictions
from graft.errors import GraftError
from graft.figures.draw import draw, remove_pictures
from graft.files import write_text
from graft.page.facts import write_facts
from graft.page.pictures import NO_PICTURES, PagePictures
from graft.page.show_job import write_job
from graft.page.whole_page import PAGE, write_page
from graft.report.compare import Report, compare_jobs
from graft.report.effects import Effects
from graft.report.leaderboard import Leaderboard
from graft.report.table import cells, effects_table, markdown, short_lines, table_rows
from graft.report.terminal import terminal
from graft.results.baseline import common_figures
from graft.results.records import Record

LEAST_NAME = 11  # of a job, in characters: a longer one may be folded
# Columns that a narrow terminal goes without, in this order.
DISPENSABLE = (
    *("test accuracy", "balanced", "images/s", "GFLOPs", "front", "published", "to the baseline"),
    *("95 % interval", "rank"),
)


def show_sweep(folder: Path, baseline: str | None = None, pictures: PagePictures = NO_PICTURES) -> dict[str, str]:
    """Report on a sweep, within its folder, as `show_jobs` does.

    Returns:
        The failed and the skipped jobs' reasons by name.
    """
    report = compare_jobs([folder], baseline, required=False)
    show_report(report, folder, pictures=pictures)
    return report.records.failed | report.records.skipped


def show_jobs(
    folders: Sequence[Path],
    output: Path,
    baseline: str | None = None,
    margin: float | None = None,
    metric: str | None = None,
    figures: Sequence[str] | None = None,
    pictures: PagePictures = NO_PICTURES,
) -> bool:
    """Compare all jobs below some folders: print the report, and write it.

    Writes `report.html`, `leaderboard.csv`, `leaderboard.md`, the tables of module facts, and the pictures of
    `PICTURES` for which there is something to draw.

    Args:
        folders: searched at any depth.
        output: the folder to write into.
        baseline: what to compare the jobs with besides the best, as source:scratch; None: the baseline in their
            configurations, if all have the same.
        margin: in percent points; None: that of their configurations, if all have the same, or else 0.
        metric: what ranks them; None: that of their configurations, if all have the same, or else accuracy.
        figures: the formats of pictures besides PNG; None: those of their configurations, if all have the same.
        pictures: of single images, which the page shows.

    Returns:
        Whether the page could be made; the terminal has said why, if not.

    Raises:
        GraftError: a folder is missing, has no results, no job matches the baseline, or a job lacks the metric.
    """
    report = compare_jobs(folders, baseline, margin=margin, metric=metric)
    return show_report(report, output, figures, pictures)


def show_report(
    report: Report, output: Path, figures: Sequence[str] | None = None, pictures: PagePictures = NO_PICTURES
) -> bool:
    """Print a report, and write its tables, pictures and page into a folder.

    Args:
        report: the comparison.
        output: the folder.
        figures: as `show_jobs` has it.
        pictures: as `show_jobs` has it.

    Returns:
        As `show_jobs` does.
    """
    records, board, console = report.records, report.board, terminal()
    for name, reason in records.damaged.items():
        console.print(f"left out {name}: {reason}", style="red", soft_wrap=True)
    for name, reason in records.read_without.items():
        console.print(f"read without {name}: {reason}", style="red", soft_wrap=True)
    remove_pictures(output)
    write_facts(None, "", output)  # removes an earlier report's
    if board.records:
        print_table(board, console)
        sentences = report.missing + report.sentences
        for sentence in sentences:
            console.print(sentence, soft_wrap=True)
        missing = [f"Failed: {name}: {reason}." for name, reason in records.failed.items()]
        missing += [f"Skipped: {name}: {reason}." for name, reason in report.skipped.items()]
        missing += [f"Left out: {name}: {reason}." for name, reason in records.damaged.items()]
        missing += [f"Read without {name}: {reason}." for name, reason in records.read_without.items()]
        missing += [f"Not finished: {name}: {reason}." for name, reason in records.unfinished.items()]
        _write(board, report.effects, sentences + missing, output)
        # Only now: what fails below shall not hide the answer.
        write_facts(job_predictions(board.best), board.best.name if board.best else "", output)
        configs = [record.config for record in records.finished]
        draw(report, output, common_figures(configs) if figures is None else figures)
    _print_unfinished(report, console)
    if board.records or not records.refits:
        console.print(f"written to {output}", soft_wrap=True)
    return show_page(report, output, pictures)


def show_alone(result: dict, folder: Path, pictures: PagePictures = NO_PICTURES) -> None:
    """Write the pictures, tables and page of a job that is no part of a sweep into its folder."""
    report = compare_jobs([folder], required=False)
    read = {record.folder: record for record in report.records.finished}  # with outcomes, which may be large
    write_job(read.get(folder.resolve()) or Record(folder.name, result, folder))
    show_page(report, folder, pictures)


def show_page(report: Report, output: Path, pictures: PagePictures = NO_PICTURES) -> bool:
    """Write a report's page, and print its path, on terminals as a link; why there is none, if it cannot be made.

    Returns:
        Whether it could be made.
    """
    try:
        path = write_page(report, output, pictures)
    except (GraftError, OSError, MemoryError) as error:
        why = f"{PAGE} could not be made: {str(error) or 'out of memory'}"
        mend = f"mend this, and python src/report.py {shlex.quote(str(output))} makes it"
        terminal().print(f"{why}; {mend}", style="red", soft_wrap=True)
        return False
    link = Style(link=path.resolve().as_uri())
    terminal().print(Text.assemble("page: ", (str(path), link)), soft_wrap=True)
    return True


def print_table(board: Leaderboard, console: Console) -> None:
    """Print the ranked jobs."""
    console.print(board.heading, soft_wrap=True)
    lines = short_lines(board.table, board.metric)
    shown = list(lines[0])
    heads = {header: header for header in shown}
    for dispensable in (None, *DISPENSABLE):
        if sum(_widths(lines, heads, shown)) + 3 * len(shown) + 1 <= console.width:  # with lines and blanks
            break
        heads = {header: "\n".join(header.rsplit(" ", 1)) for header in shown}
        shown = [header for header in shown if header != dispensable]
    table = Table()
    for header, width in zip(shown, _widths(lines, heads, shown), strict=True):
        justify, own = "left" if header in ("rank", "job", "verdict") else "right", header == "job"
        table.add_column(heads[header], justify=justify, overflow="fold", no_wrap=not own, min_width=width)
    for line in lines:
        table.add_row(*(line[header] for header in shown))
    console.print(table)
    left_out = [header for header in lines[0] if header not in shown]
    if left_out:
        console.print(f"Left out, as the terminal is narrow: {', '.join(left_out)}; leaderboard.md has all.")


def _widths(lines: Sequence[Mapping[str, str]], heads: Mapping[str, str], shown: Sequence[str]) -> list[int]:
    """Return how wide the columns must be; a job's name may be folded, but stays readable, and nothing else is cut."""
    return [
        LEAST_NAME
        if header == "job"
        else max(map(cell_len, (*heads[header].split("\n"), *(line[header] for line in lines))))
        for header in shown
    ]


def _print_unfinished(report: Report, console: Console) -> None:
    records = report.records
    for name, reason in report.skipped.items():
        console.print(f"skipped {name}: {reason}", style="yellow", soft_wrap=True)
    for name, reason in records.failed.items():
        console.print(f"failed {name}: {reason}", style="red", soft_wrap=True)
    for name, reason in records.unfinished.items():
        console.print(f"not finished {name}: {reason}", style="red", soft_wrap=True)
    for name, note in records.pruned.items():
        console.print(f"pruned {name} {note}", soft_wrap=True)
    for name, words in records.refits.items():
        console.print(f"not ranked {name}: {words}", soft_wrap=True)


def _write(board: Leaderboard, effects: Effects, sentences: Sequence[str], output: Path) -> None:
    """Write the leaderboard as data (CSV), and as a page of tables and sentences (Markdown)."""
    write_text(output / "leaderboard.csv", board.table.drop(columns="label").to_csv(index=False))
    lines = [cells(row, board.metric) for row in table_rows(board.table)]
    table = markdown(list(lines[0]), [list(line.values()) for line in lines])
    parts = [f"{board.heading}.", table, *sentences]
    if len(effects.main):
        parts.append(effects_table(effects.main, board.measure.unit))
    write_text(output / "leaderboard.md", "\n\n".join(parts) + "\n")
