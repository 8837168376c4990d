"""`python src/export.py`: a finished job's model as a file that needs no Graft, verified before it is kept."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import graft
from graft.commands.named_job import named_job
from graft.errors import GraftError
from graft.export.account import make_account
from graft.export.exported_model import ExportedModel
from graft.export.hub import USE_TIMM, front_matter, write_hub
from graft.export.job_images import JobImages, find_images, job_result, stored_outcomes
from graft.export.model_card import Card
from graft.export.model_files import FILES, check_installed, earlier_files, write_int8, write_onnx, write_torch
from graft.export.predict_file import predict_file
from graft.export.verify import verify
from graft.files import check_writable
from graft.inference.load import load
from graft.inference.model_file import MODEL
from graft.inference.trained_model import TrainedModel
from graft.job_folder import EXPORT, HISTORY, HUB
from graft.process import tell
from graft.results.best_trial import best_trial
from graft.results.job_files import read_history
from graft.results.refits import is_refit

FOLDERS = {"hub": HUB}  # in the job's, by format; others: EXPORT
CARD, PREDICT, README = "MODEL_CARD.md", "predict.py", "README.md"
USE = """    pip install {packages}
    python predict.py IMAGE [IMAGE ...]

`{file}` takes bytes, (images, height, width, 3), red, green, blue, of any height and width, and returns
probabilities, (images, classes). It resizes by itself; `predict.py` lets Pillow do it, as in training."""


def main(words: Mapping[str, Any]) -> int:
    """Export a job; return the exit status.

    Args:
        words: the values of the keys of `src/export.py`.

    Raises:
        GraftError: the job cannot be exported, or the file says something else than its model.
    """
    kind, precision = words["format"], words["precision"]
    if precision != "fp32" and kind != "onnx":
        raise GraftError(f"precision={precision} is for format=onnx, got format={kind}; try precision=fp32")
    check_installed(kind)
    run = Path(words["run"]).expanduser()
    if run.is_file() and not words["output"]:
        raise GraftError(f"{run} is a file, which has no place for an export; add output=DIR")
    model = load(named_job(run), words["modules"], Path(words["weights"]).expanduser() if words["weights"] else None)
    result = job_result(model.folder)
    rows = chosen_rows(model, result, words["trial"])
    output = Path(words["output"]).expanduser() if words["output"] else model.folder / FOLDERS.get(kind, EXPORT)
    _check_output(output)
    found = _images(model, result)
    job = Export(model, result, rows, found, run, words)
    if precision == "int8" and isinstance(found, GraftError):
        raise GraftError(
            f"precision=int8 needs the job's training images, which cannot be read ({found}); try precision=fp16"
        )
    with _whole(output) as folder:
        lines = job.write_hub(folder) if kind == "hub" else job.write_file(folder)
    for line in (*lines, *earlier_files(output, kind)):
        tell(line)
    tell(f"written to {output}")
    return 0


class Export:
    """One export of a job.

    Args:
        model: the job's.
        result: the content of its `result.json`.
        rows: of the kept trials that are exported.
        found: the job's images, or why they cannot be read.
        run: what was typed for it.
        words: the values of all keys.
    """

    def __init__(
        self,
        model: TrainedModel,
        result: Mapping[str, Any],
        rows: Sequence[int],
        found: JobImages | GraftError,
        run: Path,
        words: Mapping[str, Any],
    ):
        self.model, self.result, self.found, self.words = model, result, found, words
        self.rows, self.seeds = list(rows), [model.seeds[row] for row in rows]
        self.name = run.stem if run.is_file() else model.folder.resolve().name

    @property
    def trials(self) -> str:
        """The exported trials in words."""
        if len(self.seeds) > 1:
            return f"the mean of {len(self.seeds)} trials' probabilities"
        return f"one trial, seed {self.seeds[0]}"

    def write_file(self, folder: Path) -> list[str]:
        """Write the file with its predict.py and its card; return what is to be said."""
        kind, precision = self.words["format"], self.words["precision"]
        path = folder / FILES[kind]
        tell(f"writing {path.name}: {self.trials}; {len(self.model.classes)} classes, {precision}")
        exported = ExportedModel(self.model, self.seeds, half=precision == "fp16")
        about = self.about() | {"temperature": exported.temperature}
        if kind == "torch":
            write_torch(exported, path, about)
        else:
            write_onnx(exported, path, about)
        if precision == "int8":
            assert not isinstance(self.found, GraftError)
            write_int8(path, self.found.batches(self.found.train, 1))
        verified = verify(path, self.model, self.seeds, self.found, precision == "fp32", self.words["progress"])
        (folder / PREDICT).write_text(predict_file(kind, self.model.reading.fit), "utf-8")
        packages = "numpy pillow " + ("torch" if kind == "torch" else "onnxruntime")
        lines = [f"{path.name}, {precision}, {path.stat().st_size / 2**20:.1f} MiB", *verified]
        text = self.card(lines, USE.format(packages=packages, file=path.name), exported.temperature)
        (folder / CARD).write_text(text, "utf-8")
        return verified

    def write_hub(self, folder: Path) -> list[str]:
        """Write the hub's folder; return what is to be said."""
        use = write_hub(folder, self.model, self.rows)
        by_timm = use == USE_TIMM
        said = "timm's network says the same as the model on random images" if by_timm else "the model's own weights"
        text = front_matter("timm" if by_timm else "graft") + self.card([said], use)
        (folder / README).write_text(text, "utf-8")
        return [use.splitlines()[0].rstrip(":")]

    def card(self, verified: Sequence[str], use: str, temperature: float | None = None) -> str:
        """Return the model card."""
        stored = "a refit has none" if is_refit(self.result) else stored_outcomes(self.model.folder)
        account = None if isinstance(stored, str) else make_account(stored, self.seeds)
        usual = {"precision": "fp32", "trial": "ensemble"}
        shown = ("run", "format", "output", *usual)
        typed = {key: self.words[key] for key in shown if self.words[key] not in (None, "", usual.get(key))}
        command = shlex.join(["python", "src/export.py", *(f"{key}={value}" for key, value in typed.items())])
        folder, classes = self.model.folder, self.model.classes
        about = (self.name, folder, self.result, classes, self.trials)
        return Card(*about, account, verified, use, command, temperature).text()

    def about(self) -> dict[str, Any]:
        """Return the metadata of the file."""
        fit, white, interpolation = self.model.reading
        return {
            "classes": self.model.classes,
            "preprocessing": {
                "image": list(self.model.image_shape),
                "fit": fit,
                "interpolation": interpolation,
                "white": white and asdict(white),
                "network": self.model.preprocess.settings,
            },
            "job": {
                "name": self.name,
                "identity": self.result.get("identity"),
                "seeds": self.seeds,
                "accuracy": (self.result.get("accuracy") or {}).get("mean"),
            },
            "version": graft.__version__,
        }


def chosen_rows(model: TrainedModel, result: Mapping[str, Any], typed: str) -> list[int]:
    """Return the rows of the trials that are meant: `ensemble`, `best`, or a seed.

    Raises:
        GraftError: no such trial is kept.
    """
    if typed == "ensemble" or (typed == "best" and len(model.seeds) == 1):
        return list(range(len(model.seeds)))
    kept = ", ".join(map(str, model.seeds))
    if typed == "best":
        return [model.seeds.index(_best_seed(model, result))]
    if not typed.isdecimal() or int(typed) not in model.seeds:
        raise GraftError(f"trial must be ensemble, best or a kept seed ({kept}), got {typed}; try trial=best")
    return [model.seeds.index(int(typed))]


def _best_seed(model: TrainedModel, result: Mapping[str, Any]) -> int:
    """Return the seed of the best kept trial.

    Raises:
        GraftError: the training losses that are needed are not there.
    """
    trials = {place: trial for place, trial in enumerate(result["trials"]) if trial["seed"] in model.seeds}
    path = model.folder / HISTORY

    @cache
    def losses() -> Mapping[tuple[int, int], float]:
        table = read_history(path).query("split == 'train' and metric == 'loss'")
        return table.set_index(["trial", "epoch"])["value"].to_dict()

    try:
        best = best_trial(trials, lambda place: losses()[place, trials[place]["epoch"]], result.get("config") or {})
        return trials[best]["seed"]
    except (ValueError, OSError, KeyError) as error:
        raise GraftError(f"trial=best needs {path} ({error}); try trial={model.seeds[0]}") from None


def _images(model: TrainedModel, result: Mapping[str, Any]) -> JobImages | GraftError:
    try:
        return find_images(model, result)
    except (GraftError, OSError, ValueError) as error:
        reason = GraftError(" ".join(str(error).split()))
        tell(f"the job's images cannot be read: {reason}; the file is verified on random images")
        return reason


def _check_output(output: Path) -> None:
    """Refuse a place that is a file, a job's own folder, or cannot be written."""
    if output.is_file():
        raise GraftError(f"output={output} is a file; name a folder")
    if (output / MODEL).exists() and (output / "result.json").exists():
        raise GraftError(f"output={output} is a job's folder, whose files would be mixed; try output={output}/export")
    check_writable("output", output)


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """Write files into a folder together: after an error none of them is there, and earlier ones stay as they were."""
    output.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=output, prefix=".export."))
    try:
        yield folder
        for path in sorted(folder.iterdir(), key=lambda path: path.suffix in (".onnx", ".pt2", ".safetensors")):
            path.chmod(0o644)
            os.replace(path, output / path.name)  # the model last: with it, all is there
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not any(output.iterdir()):
            output.rmdir()
