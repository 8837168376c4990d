"""`python src/predict.py`: a finished job says what images show. Rows go to standard output, all else to the error."""

import sys
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from graft.bars import Bar
from graft.commands.named_job import named_job
from graft.errors import GraftError
from graft.files import check_writable
from graft.inference.conformal import ConformalSets
from graft.inference.image_list import ImageList, find_images
from graft.inference.load import load
from graft.inference.novelty import NEIGHBORS, WITHIN, read_novelty
from graft.inference.predict import Predictor
from graft.inference.tables import COLUMNS, format_of, opened
from graft.job_folder import read_result
from graft.nouns import counted
from graft.process import tell
from graft.results.refits import in_words, refit_of

KEPT = {
    "all": "the mean of {trials}",
    "val_accuracy": "the trial with the best validation accuracy, seed {seed}",
    "train_loss": "the trial with the lowest training loss, seed {seed}",
    "first": "the first trial, seed {seed}, as nothing says which solved head is the best",
}


def main(words: Mapping[str, Any]) -> int:
    """Predict images and write a table of them; return the exit status.

    Args:
        words: the values of the keys of `src/predict.py`.

    Raises:
        GraftError: the job, the images or the table are not what they should be.
    """
    output = Path(words["output"]).expanduser() if words["output"] else None
    kind = format_of(output, words["format"])
    typed = Path(words["weights"]).expanduser() if words["weights"] else None
    model = load(named_job(Path(words["run"]).expanduser()), words["modules"], typed)
    if not words["calibrate"]:
        model.temperature = None
    sets = ConformalSets(model.calibration.unseen, len(model.seeds), words["coverage"]) if words["coverage"] else None
    novelty = read_novelty(model.folder, model.config["frozen_stages"]) if words["novelty"] else None
    found = find_images(words["images"], words["truth"], model.classes, sys.stdin, words["group"])
    _check_output(output, words["images"])
    device = _device(words["device"])
    predictor = Predictor(model, device, words["precision"], words["batch_size"], sets=sets, novelty=novelty)
    for line in (*_about(predictor), *_certainty(predictor, words["coverage"]), *_ignored(found)):
        tell(line)
    total, failed = _write(predictor, found, words, output, kind)
    if failed:
        tell(f"{failed:,} of {counted(total, 'image')} have no prediction: the column error says why")
    if output is not None:
        tell(f"written to {output}")
    if total == failed:
        tell("no image was predicted" if total else "there was no image on standard input")
        return 1
    return 1 if failed and words["strict"] else 0


def _write(
    predictor: Predictor, found: ImageList, words: Mapping[str, Any], output: Path | None, kind: str
) -> tuple[int, int]:
    """Write the table; return how many images it has, and how many of them cannot be read."""
    truth = None
    if words["truth"]:
        from graft.inference.truth import Truth, of_groups, pixel_hash, trained_on  # SciPy takes half a second

        model, folder = predictor.model, predictor.model.folder
        truth = Truth(model.classes, trained_on(folder), pixel_hash(model), found.group, of_groups(folder))
    columns = [
        *COLUMNS,
        *["set"] * (predictor.sets is not None),
        *["novelty", "novel"] * (predictor.novelty is not None),
    ]
    total = failed = 0
    warnings.filterwarnings("ignore", module="PIL")  # of damaged files, which have their row
    shown = Bar(found.count, "predict", "image", hidden=not words["progress"], say=tell, stays=True)
    with opened(output, kind, sys.stdout, columns) as write, closing(shown):
        for item, row in predictor.rows(found.items):
            write(row)
            total, failed = total + 1, failed + bool(row.error)
            if truth is not None:
                truth.add(item, row)
            shown.update()
    for line in truth.lines() if truth else ():
        tell(line)
    return total, failed


def _about(predictor: Predictor) -> list[str]:
    """Return in words which model predicts, and what differs from its test."""
    model = predictor.model
    kept = KEPT.get(str(model.config.get("kept")), KEPT["all"] if len(model.seeds) > 1 else "the kept trial {seed}")
    chosen = kept.format(trials=counted(len(model.seeds), "trial"), seed=model.seeds[0])
    lines = [f"{model.named}: {chosen}; {len(model.classes)} classes, {predictor.device}, {predictor.precision}"]
    refit = refit_of(model.folder)
    if refit is not None:
        lines += in_words(refit)
    views = model.config.get("test_views") or 1
    if views > 1:
        lines.append(f"the job's test averaged {views} augmented views of each image; here each image is seen once")
    config = (read_result(model.folder) or {}).get("config") or {}
    if config.get("frozen_precision") == "bf16-mixed" and predictor.typed_precision is None:
        lines.append("the job computed frozen layers in bfloat16 (frozen_precision); here they are in 32 bits")
    return lines


def _certainty(predictor: Predictor, coverage: float | None) -> list[str]:
    """Return in words what probabilities, sets and novelty are from."""
    model, sets, novelty = predictor.model, predictor.sets, predictor.novelty
    fitted = model.calibration.temperature is not None
    lines = ["not calibrated: calibrate=false"] if fitted and model.temperature is None else []
    lines = lines or [f"{'calibrated' if fitted else 'not calibrated'}: {model.calibration.words}"]
    if sets is not None:
        share = f"{100 * (coverage or 0):g} % of them"
        promised = f"about {share}" if sets.combined else f"{share}, or more"  # of combined p-values nothing is proven
        lines.append(f"set: the true class is in {promised}; {sets.words}")
    if novelty is not None:
        lines.append(
            f"novelty: mean distance to the {NEIGHBORS} nearest of {len(novelty.known):,} training images; above 1, as "
            f"for {100 - 100 * WITHIN:g} % of images like these, an image is novel"
        )
    return lines


def _ignored(found: ImageList) -> list[str]:
    return [f"left out: {counted(found.ignored, 'file')} of other formats"] if found.ignored else []


def _device(typed: str | None) -> torch.device | None:
    try:
        return None if typed in (None, "auto") else torch.device(typed)
    except RuntimeError:
        raise GraftError(f"device must be auto, cpu, cuda, cuda:1 or mps, got {typed}; try device=cpu") from None


def _check_output(output: Path | None, images: str) -> None:
    """Refuse to write over what is read, or where nothing can be written."""
    read = Path(images).expanduser()
    if output is not None and output.exists() and read.exists() and output.samefile(read):
        raise GraftError(f"output={output} is what images= reads; try another file")
    if output is not None:
        check_writable("output", output)
