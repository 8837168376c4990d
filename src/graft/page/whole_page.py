"""The page of a report: one HTML file with everything inside, from which no request leaves."""

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from graft.analysis.ensemble import ensemble
from graft.analysis.predictions import Predictions, predictions_of
from graft.files import write_text
from graft.page import calibrated, forest
from graft.page.budget import gains
from graft.page.calibrated import diagram_of
from graft.page.examples import examples
from graft.page.matrix import SHADES, classes_table, matrix_of
from graft.page.pictures import PagePictures, figure, wanted
from graft.page.ranking import compared, effects_table, paired_words, ranked, trials_in_words
from graft.page.what_ran import what_ran
from graft.report.compare import Report
from graft.report.leaderboard import Leaderboard
from graft.report.verdicts import claim_of
from graft.results.labels import title
from graft.results.metric import split_of
from graft.results.records import Record
from graft.statistics.margin import VARIES

PAGE = "report.html"
# What a browser cannot show in a text: control characters, halves of letters from names that are no UTF-8.
HIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(55296, 57344)), "�")


def write_page(report: Report, output: Path, pictures: PagePictures) -> Path:
    """Write a report's page into the folder that has its figures, and return its path.

    Args:
        report: the comparison.
        output: the folder.
        pictures: of single images.
    """
    path = output / PAGE
    path.unlink(missing_ok=True)  # an earlier report's, if this one cannot be made
    write_text(path, page(report, output, pictures))
    return path


def page(report: Report, output: Path, pictures: PagePictures) -> str:
    """Return a report's page."""
    records, board = report.records, report.board
    found: dict[str, Any] = {
        "title": output.resolve().name,
        "subject": title(board.best.config) if board.best else "",
        "single": all(len(record.accuracies(board.metric)) == 1 for record in board.records),
        "sentences": [*report.missing, *_unranked(report), *report.sentences],
        "failed": records.failed,
        "skipped": report.skipped,
        "damaged": records.damaged,
        "unfinished": records.unfinished,
        "read_without": records.read_without,
        "pruned": records.pruned,
        "refits": records.refits,
        "board": board,
        "records": board.records,
    }
    if board.records:
        found |= _comparison(report, output)
        allowed, why = wanted(board.records, pictures)
        found["ran"] = what_ran(report, output, allowed)
        found |= _best(report, allowed, why)
    return _environment().get_template("report.html.jinja").render(found)


def _comparison(report: Report, output: Path) -> dict[str, Any]:
    """Return the sections that compare jobs."""
    board, effects = report.board, report.effects
    found: dict[str, Any] = {
        "ranking": ranked(board),
        "unlike": board.unlike,
        "computed": trials_in_words(board.records, board.metric),
        "interval_words": _interval_words(board),
        "own": VARIES[board.vary],
        "figures": {name: figure(output, f"{name}.png") for name in ("effects", "budget", "curves")},
    }
    if board.comparison is not None:
        found["paired"] = paired_words(board.records)
        found["differences"] = compared(board, board.comparison.differences, board.comparison.best, "differences")
        found["baseline"] = compared(board, board.versus_baseline, board.baseline, "baseline")
        found["effects"] = effects_table(effects, board)
        found["gains"] = gains(effects, board)
    return found


def _unranked(report: Report) -> list[str]:
    """Return why jobs are not ranked, if they are not, and how they compare with their published ranges."""
    board = report.board
    if board.best is not None:
        return []
    if not board.records:
        return [f"{name}: {each}." for name, each in report.records.refits.items()] or ["No job has finished."]
    sentences = [f"The jobs are {board.unlike}, so that none is the best; they are sorted by name."]
    if "verdict" in board.table:
        verdicts = [str(each).split()[0] for each in board.table["verdict"].dropna()]
        counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("within", "above", "below"))
        sentences.insert(0, f"Each job is compared with its own published range: {counts}.")
    return sentences


def _interval_words(board: Leaderboard) -> str:
    """Say for what the jobs' intervals hold; if that is more than the sizes of draws, for what the first one's does."""
    found: dict[str, None] = {}
    for record in board.records:
        unknown = record.spread(board.metric).counts is None
        found["needs two trials" if unknown else f"is {claim_of(record, board.metric)}"] = None
    first, *others = found
    if not others:
        return first
    alike = {re.sub(r"(?<=draws of ).*", "as many images", words) for words in found}
    return f"of the first job {first}" if len(alike) > 1 else alike.pop()


def _best(report: Report, pictures: PagePictures, why: str) -> dict[str, Any]:
    """Return the sections about the predictions of the best job, or in words why there are none.

    Args:
        report: the comparison.
        pictures: of single images that the jobs' configurations allow.
        why: there are none, if these forbid them.
    """
    board = report.board
    if board.comparison is None and len(board.records) > 1:
        silent = "This page has no best job whose errors it could show; python src/report.py JOB shows those of a job."
        return {"silent": silent}
    best, *others = board.records
    found = _predictions(best)
    if isinstance(found, str):
        return {"silent": f"What {best.label} got wrong is not known: {found}."}
    second = _predictions(others[0]) if others else ""
    shown = examples((best, found), None if isinstance(second, str) else (others[0], second), pictures)
    return {
        "best": best.label,
        "matrix": matrix_of(found),
        "classes": classes_table(found),
        "diagram": diagram_of(found),
        "together": best.outcomes and ensemble(found, best.outcomes.images),
        "examples": shown,
        "no_pictures": why or shown.why,
        "validated": split_of(board.metric) == "val",
    }


def _predictions(record: Record) -> Predictions | str:
    """Return what a job's trials said, or why it is not known."""
    if record.outcomes is None:
        return record.unreadable or "its folder has no outcomes of single images, as older versions wrote none"
    try:
        return predictions_of(record.result, record.outcomes)
    except ValueError as error:
        return str(error)


@functools.cache
def _environment() -> jinja2.Environment:
    """Return the templates, in which all text is escaped."""
    loader = jinja2.PackageLoader("graft.page")
    made = jinja2.Environment(
        autoescape=True, loader=loader, undefined=jinja2.ChainableUndefined, finalize=_visible, trim_blocks=True
    )
    shades = [
        f".{kind}{shade} {{ background: rgba(var(--{name}), {0.55 * shade / SHADES:.2f}); }}"
        for kind, name in (("r", "right"), ("w", "wrong"))
        for shade in range(SHADES + 1)
    ]
    style = loader.get_source(made, "style.css")[0].replace("SHADES", "\n".join(shades))
    script = loader.get_source(made, "script.js")[0]
    # Nothing is fetched from anywhere, and no other script or style runs, whatever a name contains.
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    made.filters["breakable"] = _breakable
    made.globals |= {
        "style": Markup(style),
        "script": Markup(script),
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "width": forest.WIDTH,
        "height": forest.HEIGHT,
        "side": calibrated.SIDE,
        "margin": calibrated.MARGIN,
    }
    return made


def _breakable(path: object) -> Markup:
    """Return a path that breaks after its slashes, and whose parts do not turn each other round."""
    return Markup("/<wbr>").join(Markup("<bdi>{}</bdi>").format(part) for part in str(_visible(path)).split("/"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _visible(value: object) -> object:
    return value.translate(HIDDEN) if isinstance(value, str) and not isinstance(value, Markup) else value
