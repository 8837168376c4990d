"""`MODEL_CARD.md`: what a model was trained on, how good it is for what, and what its author has yet to say."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from graft.export.account import Account
from graft.export.provenance import data_license, weights_source
from graft.nouns import counted, percent
from graft.results.labels import title
from graft.results.refits import in_words, is_refit
from graft.results.settings import of_the_least, unused_split
from graft.statistics.intervals import share_interval

MOST = 10  # confusions that are listed
AUTHOR = "*To be filled in by the author.*"


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        name: the job's.
        folder: the job's.
        result: the content of its `result.json`.
        classes: their names.
        trials: in words, which of them the model is.
        account: of these trials; None: not stored.
        verified: lines that say how the file was verified.
        use: Markdown that says how the file is used.
        command: that exported it.
        temperature: of the file's probabilities; None: they are not calibrated.
    """

    name: str
    folder: Path
    result: Mapping[str, Any]
    classes: Sequence[str]
    trials: str
    account: Account | None
    verified: Sequence[str]
    use: str
    command: str
    temperature: float | None = None

    def text(self) -> str:
        """Return the card as Markdown."""
        config = self.result.get("config") or {}
        sections = {
            "Intended use": [AUTHOR, "What it is for, what it must not be used for, and who answers for it."],
            "The model": [
                f"{title(config) or self.name}; {self.trials}.",
                f"Classes, in the order of the output: {', '.join(self.classes)}.",
            ],
            "Training data": self._data(config),
            "Weights that it started from": _bullets(weights_source(config, self._contents("files"))),
            "Accuracy": self._accuracy(),
            **self._details(),
            "The file": _bullets(self.verified),
            "Use": [self.use],
            "Versions and commands": self._versions(),
        }
        parts = [f"# {self.name}"]
        for head, lines in sections.items():
            parts += [f"## {head}", *lines]
        return "\n\n".join(parts) + "\n"

    @property
    def _of_views(self) -> list[str]:
        """What is to be said of numbers of the job's test where it has seen each image several times."""
        views = ((self.result.get("config") or {}).get("augment") or {}).get("test_views")
        return [f"Of the mean over {views} augmented views of each image; this model sees each once."] if views else []

    def _contents(self, key: str) -> dict[str, str]:
        found = (self.result.get("contents") or {}).get(key)
        return found if isinstance(found, dict) else {}

    def _data(self, config: Mapping[str, Any]) -> list[str]:
        images = dict(self.result.get("images") or {})
        images.pop(unused_split(config), None)
        lines = [f"data set: {str((config.get('dataset') or {}).get('_target_')).rpartition('.')[-1]}"]
        lines.append(f"license: {data_license(config)}")
        for key, words in (
            ("small", "training images of each trial"), ("pool", "images that training images are drawn from"),
            ("val", "validation images"), ("test", "test images"),
            ("big", "images of other classes or domains, for pre-training"),
            ("found", "image files found"), ("used", "image files used"),
        ):  # fmt: skip
            if images.get(key):
                lines.append(f"{words}{of_the_least(config, key)}: {images[key]:,}")
        lines += _domains(images, config)
        ignored = images.get("ignored") or {}  # equal files among them, unless dataset.duplicates=keep uses them
        left_out = ", ".join(f"{reason.removeprefix('left out ')} {count:,}" for reason, count in ignored.items())
        lines += [f"left out: {left_out}"] if left_out else []
        for key in ("small", "test"):
            counts = (images.get("by_class") or {}).get(key, {})
            if any(counts.values()):  # a refit has no test images
                which = "training images of each class" if key == "small" else "test images of each class"
                lines.append(f"{which}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}")
        return _bullets(lines)

    def _accuracy(self) -> list[str]:
        other = "neither covers images of another kind: other cameras, places, seasons, or classes"
        if is_refit(self.result):
            return _bullets([*in_words(self.result), other.replace("neither covers", "that does not cover")])
        accuracy = self.result.get("accuracy") or {}
        count = sum(trial.get("error") is None for trial in self.result.get("trials") or [])
        lines = []
        if accuracy.get("mean") is not None:
            of = counted(count, "trial") if count == 1 else f"mean of {counted(count, 'trial')}"
            lines.append(f"{of}: {percent(accuracy['mean'])} %")
            if accuracy.get("ci95"):
                low, high = accuracy["ci95"]
                counts = accuracy.get("ci95_counts") or "test images"
                lines.append(f"its 95 % interval: {percent(low)} to {percent(high)} %, counting {counts}")
        if self.account and self.account.averaged and len(self.account.labels):
            lines.append(self._of_this_model(self.account))
        of_views = [line.removesuffix(".") for line in self._of_views if lines]
        return _bullets([*lines, *of_views, other])

    def _of_this_model(self, found: Account) -> str:
        """Return how many test images the exported trials have right, with the interval of this share."""
        right, total = found.counts.right, len(found.labels)
        ends = share_interval(found.labels == found.predicted, found.groups)
        low_high = "no interval" if ends is None else f"{percent(ends[0])} to {percent(ends[1])} %"
        of_images = "images of their kind (95 %, Wilson, images taken as independent)"
        of_what = of_images if found.groups is None else "groups of images (95 %, counting groups)"
        return (
            f"this model ({self.trials}): {percent(right / total)} % "
            f"({right:,} of {counted(total, 'test image')}), "
            f"{low_high} for other {of_what}"
        )

    def _details(self) -> dict[str, list[str]]:
        """Return the sections on classes, calibration and confusions."""
        if is_refit(self.result):
            return {"Classes, calibration, confusions": ["Not known: it was trained on every labeled image."]}
        if self.account is None:
            return {"Classes, calibration, confusions": ["Not known: the job's outcomes are not stored or damaged."]}
        account = self.account
        note = [*([] if account.averaged else ["Counted for each trial apart."]), *self._of_views]
        rows = [
            f"| {_cell(name)} | {percent(right / total) if total else '-'} | {right:,} of {total:,} |"
            for name, right, total in account.counts.recalls(account.classes)
        ]
        table = "\n".join(["| class | recall, % | test images |", "| --- | ---: | ---: |", *rows])
        most = account.counts.wrong()[:MOST]
        wrong = [f"{true} taken for {said}: {count:,} of {total:,}" for true, said, count, total in most]
        error = account.calibration_error()
        calibration = "Not known: the job has not stored the probabilities of all classes."
        if error is not None:
            calibration = (
                f"Expected calibration error {error[0]:.3f} (bins of equally many of the {len(account.labels):,} "
                "predictions, as in src/predict.py); so few predictions of a calibrated model would have "
                f"{error[1]:.3f} on average. "
                + ("No temperature is applied." if self.temperature is None else "That is before the temperature.")
            )
        if self.temperature is not None:
            calibration += (
                f" The file's probabilities are calibrated by the temperature {self.temperature:.3g}, fitted to images "
                "that the trials did not train on."
            )
        return {
            "Each class": [*note, table],
            "Calibration": [*note, calibration],
            "Most frequent confusions": [*note, *(_bullets(wrong) if wrong else ["None among the test images."])],
        }

    def _versions(self) -> list[str]:
        versions = ", ".join(f"{name} {version}" for name, version in (self.result.get("versions") or {}).items())
        return [
            f"Trained with {versions}.",
            "\n".join(f"    {line}" for line in (_trained_by(self.folder), self.command)),
        ]


def _trained_by(folder: Path) -> str:
    """Return the command that trained a job, as far as its folder has kept it."""
    try:
        words = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        words = None
    if not isinstance(words, list):
        return "# the command that trained it is not kept: see config in result.json"
    return shlex.join(["python", "src/train.py", *map(str, words)])


def _domains(images: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return the line on the domains that the model is for; none without domains."""
    if not images.get("domains"):
        return []
    small = ", ".join(images["domains"]["small"])
    return [f"trained and tested on images whose {config['dataset']['domain']} is {small}, and on no others"]


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
