"""One job's summary on the terminal, and its learning curves."""

from pathlib import Path
from typing import Any

from rich.table import Table

from graft.analysis.predictions import job_predictions
from graft.figures.draw import OF_JOB, remove_pictures, show_curves, show_predictions
from graft.job_folder import OUTCOMES
from graft.nouns import counted, few, percent
from graft.page.facts import write_facts
from graft.page.what_ran import marked_words
from graft.report.rows import balanced_mean, uneven, versus_range
from graft.report.terminal import terminal
from graft.report.unit import PERCENT, unit_of
from graft.report.verdicts import claim
from graft.results.baseline import common_figures, common_metric
from graft.results.labels import title
from graft.results.measured import distinct_images, measured
from graft.results.metric import METRICS
from graft.results.outcomes import read_outcomes
from graft.results.records import Record
from graft.results.refits import in_words, is_refit
from graft.results.settings import of_the_least, unused_split
from graft.statistics.accuracies import accuracies, is_copies, num_folds
from graft.statistics.comparison import BOTH, spread, summary
from graft.statistics.cross_validation import unequal_folds

IMAGES = ("big", "small", "val", "test")


def show_job(result: dict, folder: Path) -> None:
    """Print one job's summary: accuracy over the trials, or a refit's words, images, parameters, seconds by part."""
    if is_refit(result):
        for words in in_words(result):
            terminal().print(words, soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, words in summary_rows(result, folder):
        table.add_row(name, words, style="bold" if name == "test accuracy" else None)
    terminal().print(table)
    terminal().print(f"written to {folder}", soft_wrap=True)


def write_job(record: Record) -> None:
    """Write a job's pictures, and the tables of what its trials said of the test images, beside its result."""
    folder, name = record.folder, record.folder.name
    formats, found = common_figures([record.config]), job_predictions(record)
    remove_pictures(folder, OF_JOB)
    show_curves(folder, record.config, folder, formats)
    write_facts(found, name, folder)
    if found is not None:
        show_predictions(found, title(record.config) or name, folder, formats)


def summary_rows(result: dict, folder: Path) -> list[tuple[str, str]]:
    """Return what is said of a job, by name: accuracy over the trials, images, parameters, seconds by part."""
    images, parameters = result["images"], result["parameters"]
    rows = [] if is_refit(result) else _accuracy(result, folder)
    config = result.get("config") or {}
    unused = unused_split(config)
    counts = [
        f"{split} {images[split]:,}{of_the_least(config, split) if images[split] else ''}"
        for split in IMAGES
        if split in images and split != unused
    ]
    rows.append(("images", ", ".join(counts)))
    if images.get("groups"):
        rows.append(("groups", ", ".join(f"{split} {count:,}" for split, count in images["groups"].items())))
    if images.get("domains"):
        words = {split: few(list(names), 4) for split, names in images["domains"].items() if names and split != unused}
        rows.append(("domains", "; ".join(f"{split}: {named}" for split, named in words.items())))
    if images.get("ignored"):
        ignored = ", ".join(f"{count:,} {reason}" for reason, count in images["ignored"].items())
        rows.append(("ignored files", ignored))
    rows += [("marked files", f"{words}, in dataset.exclude") for words in marked_words(images)]
    rows.append(("parameters", ", ".join(f"{kind} {count:,}" for kind, count in parameters.items())))
    rows.append(("seconds", ", ".join(f"{part} {seconds:,.1f}" for part, seconds in result["seconds"].items())))
    return rows


def _accuracy(result: dict, folder: Path) -> list[tuple[str, str]]:
    """Return the rows about the accuracy of a job's trials."""
    values, accuracy = accuracies(result), _summary(result, folder)
    trials = counted(len(values), "trial")
    several = len(values) > 1
    rows = [("test accuracy", f"{percent(accuracy['mean'])} %, {'mean of ' if several else ''}{trials}")]
    rows += [*_failed(result), *_folds(result)]
    ranking = _ranking_metric(result, folder)
    told = METRICS["balanced_accuracy"] in dict(ranking)
    balanced = balanced_mean(result) if uneven(result) and not told else None
    if balanced is not None:
        rows.append(("balanced accuracy", f"{percent(balanced)} %, classes of equal weight"))
    if several:
        rows.append(("lowest to highest", f"{PERCENT.span(accuracy['min'], accuracy['max'])} %"))
    rows.append(("95 % interval", _interval(result, folder, accuracy)))
    rows += ranking
    if is_copies(values):
        rows.append(("trials", "all are the same computation, which no seed changes: they count as one"))
    if result["reference"]:
        low, high, source = (result["reference"][key] for key in ("low", "high", "source"))
        compared = f"{percent(low)} to {percent(high)} % ({source}): {versus_range(accuracy['mean'], low, high)}"
        rows.append(("published range", compared))
    return rows


def _failed(result: dict) -> list[tuple[str, str]]:
    """Return the row of the trials that failed, which no number of the job counts."""
    failed = [trial for trial in result["trials"] if trial.get("error") is not None]
    why = few([f"seed {trial['seed']}: {trial['error']}" for trial in failed], 3)
    ended = "; trials=auto ends with it" if (result.get("config") or {}).get("trials") == "auto" else ""
    words = f"{len(failed)} of {len(result['trials'])}, not counted here ({why}){ended}"
    return [("failed trials", words)] if failed else []


def _folds(result: dict) -> list[tuple[str, str]]:
    """Return the row of folds that fewer trials have tested than others, whose images the mean weighs less."""
    words = unequal_folds(accuracies(result), num_folds(result))
    return [("folds", f"the mean counts each trial once, the interval each image: {words}")] if words else []


def _ranking_metric(result: dict, folder: Path) -> list[tuple[str, str]]:
    """Return the row of the metric that report.metric names, if that is another one than the accuracy."""
    metric = common_metric([result.get("config") or {}])
    if metric == "accuracy":
        return []
    unit = unit_of(metric)
    try:
        found = spread(measured(result, read_outcomes(folder), metric))
    except (ValueError, OSError) as error:
        return [(METRICS[metric], f"unknown: {error}")]
    interval = "" if found.interval is None else f", 95 % interval {unit.span(*found.interval)}{unit.sign}"
    return [(METRICS[metric], f"{unit.value(found.mean)}{interval}")]


def _summary(result: dict, folder: Path) -> dict[str, Any]:
    """Return the summary of a job's accuracies as `result.json` has it; older versions did not say what ci95 counts."""
    if "ci95_counts" in (result.get("accuracy") or {}):
        return result["accuracy"]
    try:
        outcomes = read_outcomes(folder)
    except (ValueError, OSError):
        outcomes = None  # a report names the reason
    return summary(measured(result, outcomes), distinct_images(result, outcomes))


def _interval(result: dict, folder: Path, accuracy: dict[str, Any]) -> str:
    """Return the interval of a job's mean, and what it holds for."""
    if accuracy["ci95"] is None:
        return "needs two trials"
    counts, config = accuracy["ci95_counts"], result.get("config") or {}
    known = counts == BOTH or (folder / OUTCOMES).exists()
    holds = claim(known, bool(num_folds(result)), counts, config, result["images"])
    return f"{PERCENT.span(*accuracy['ci95'])} %, {holds}"
