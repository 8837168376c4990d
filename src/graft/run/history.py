"""A job's history: every trial's metrics of every epoch, gathered fit by fit."""

import logging
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

import pandas
import torch

from graft.errors import GraftError
from graft.model.stages import Weights, all_finite
from graft.nouns import counted
from graft.training.logger import band, curves, forget_curves
from graft.training.metrics import Outcomes, TrialRecord

log = logging.getLogger("graft")

METRICS = ("accuracy", "loss", "balanced_accuracy", "macro_f1")
# Prefix of each final split's metrics; test-time augmentation overrides the plain result.
FINAL_SPLITS = {"test": "", "val": "val_", "test_views": "", "val_views": "val_"}


class JobHistory:
    """Every trial's value of each (split, metric, epoch); epochs count from 1, over all phases.

    Attributes:
        outcomes: what the trials of each fit said of each image of the final test, by the split's prefix in results.
    """

    def __init__(self):
        self.outcomes: dict[str, list[tuple[range, Outcomes]]] = {}
        self._ends: dict[int, int] = {}  # the epoch whose weights a trial ends with
        self._values: dict[tuple[str, str, int], dict[int, float]] = {}
        self._counts: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}  # correct images, and images

    def add(
        self, trials: range, record: TrialRecord, last: int, outcomes: Mapping[str, Outcomes] | None = None
    ) -> None:
        """Add what one fit has found.

        Args:
            trials: those that the fit has trained.
            record: what its passes found of them.
            last: its last epoch.
            outcomes: what they said of each image of the final test, by split.
        """
        final = {prefix: outcomes[split] for split, prefix in FINAL_SPLITS.items() if outcomes and split in outcomes}
        for prefix, found in final.items():
            self.outcomes.setdefault(prefix, []).append((trials, found))
        self._ends.update(zip(trials, record.final_epochs(last).tolist(), strict=True))
        for (split, epoch), images in record.images.items():
            counts = zip(trials, record.correct[split, epoch].tolist(), images.tolist(), strict=True)
            seen = {trial: (correct, number) for trial, correct, number in counts if number}
            self._counts.setdefault((split, epoch), {}).update(seen)
        for (split, metric, epoch), values in record.history.items():
            seen = self._counts[split, epoch]
            by_trial = zip(trials, values.tolist(), strict=True)
            # Six decimals: the precision of a 32-bit float, without its noise.
            known = {trial: round(value, 6) for trial, value in by_trial if trial in seen}
            self._values.setdefault((split, metric, epoch), {}).update(known)

    def after(self, table: pandas.DataFrame, count: int) -> "JobHistory":
        """Return the history of some trials and, after them, of these, without numbers of correct images.

        Args:
            table: of the first trials, as `table` returns it.
            count: their number, which is added to these trials' own.
        """
        both = JobHistory()
        for trial, epoch, split, metric, value in table.itertuples(index=False):
            both._values.setdefault((split, metric, epoch), {})[trial] = value
        for key, values in self._values.items():
            both._values.setdefault(key, {}).update({count + trial: value for trial, value in values.items()})
        return both

    def image_counts(self) -> dict[str, int]:
        """Return how many training, validation and test images each trial's last passes saw; the least of any trial."""
        last: dict[str, dict[int, int]] = {"train": {}, "val": {}, "test": {}}
        for (split, _), counts in sorted(self._counts.items()):
            last.setdefault(split, {}).update({trial: images for trial, (_, images) in counts.items()})
        names = {"small": "train", "val": "val", "test": "test"}
        return {name: min(last[split].values(), default=0) for name, split in names.items()}

    def trial_results(self, seeds: Sequence[int]) -> list[dict[str, Any]]:
        """Return each trial's seed, final metrics and the epoch of its weights; a failed trial's metrics are None."""
        return [self._trial_result(trial, seed) for trial, seed in enumerate(seeds)]

    def _trial_result(self, trial: int, seed: int) -> dict[str, Any]:
        epoch = self._ends[trial]
        metrics: dict[str, float | None] = {
            prefix + metric: self._values[split, metric, epoch][trial]
            for split, prefix in FINAL_SPLITS.items()
            for metric in METRICS
            if trial in self._values.get((split, metric, epoch), ())
        }
        metrics |= self._exact(trial, epoch)
        failed = self._failed_epoch(trial)
        if failed is not None:
            error = f"the loss became NaN or infinite in epoch {failed}"
            return {"seed": seed, **dict.fromkeys(metrics), "epoch": failed, "error": error}
        finite = {name: value if value is not None and isfinite(value) else None for name, value in metrics.items()}
        return {"seed": seed, **finite, "epoch": epoch}

    def _exact(self, trial: int, epoch: int) -> dict[str, float | None]:
        """Return a trial's final accuracies as quotients of counts, and these counts."""
        exact: dict[str, float | None] = {}
        for split, prefix in FINAL_SPLITS.items():
            correct, images = self._counts.get((split, epoch), {}).get(trial, (0, 0))
            if images:
                exact[f"{prefix}accuracy"] = correct / images
                exact |= {f"{prefix}correct": correct, f"{prefix}tested": images}
        return exact

    def _failed_epoch(self, trial: int) -> int | None:
        """Return the first epoch after which one of a trial's losses was not a finite number."""
        losses = ((epoch, values) for (_, metric, epoch), values in self._values.items() if metric == "loss")
        return min((epoch for epoch, values in losses if not isfinite(values.get(trial, 0))), default=None)

    def lowest_val_loss(self, trial: int, last: int) -> float:
        """Return a trial's lowest loss on its validation images up to an epoch; infinite without any."""
        losses = [
            values.get(trial, inf)
            for (split, metric, epoch), values in self._values.items()
            if (split, metric) == ("val", "loss") and epoch <= last
        ]
        return min(losses, default=inf)

    def train_loss(self, trial: int, epoch: int) -> float:
        """Return a trial's mean loss over the training images in one epoch."""
        return self._values["train", "loss", epoch][trial]

    def table(self) -> pandas.DataFrame:
        """Return a row for each trial, epoch, split and metric."""
        rows = [
            (trial, epoch, split, metric, value)
            for (split, metric, epoch), values in self._values.items()
            for trial, value in values.items()
        ]
        columns = ["trial", "epoch", "split", "metric", "value"]
        return pandas.DataFrame(rows, columns=columns).sort_values(columns[:4])

    def draw(self, folder: Path, splits: Sequence[str]) -> None:
        """Draw the bands over all trials and epochs in TensorBoard, in place of those that single fits drew."""
        forget_curves(folder)
        logger = curves(folder, splits)
        for epoch, points in self.points().items():
            logger.log_metrics(points, step=epoch)
        logger.finalize("success")

    def points(self) -> dict[int, dict[str, float]]:
        """Return the points of the curves, the band over all trials of each metric, by name, of each epoch."""
        found: dict[int, dict[str, float]] = {}
        for (split, metric, epoch), values in self._values.items():
            point = band(f"{metric}/{split}", torch.tensor(list(values.values())))
            found[epoch] = found.get(epoch, {}) | point
        return found


def check_any_finished(results: Sequence[Mapping[str, Any]], lr: Any) -> None:
    """Refuse a job none of whose trials finished.

    Raises:
        GraftError: all trials failed.
    """
    if all("error" in result for result in results):
        smaller = "" if lr == "auto" else f"={min(lr / 10, 0.001):g}"
        raise GraftError(f"all trials failed: {results[0]['error']}; try a smaller lr{smaller}")


def check_weights(results: Sequence[Mapping[str, Any]], learned: Mapping[int, Weights]) -> None:
    """Refuse networks that no test has seen, and whose last step has made a weight NaN or infinite.

    Raises:
        GraftError: names their seeds.
    """
    kept = [(result["seed"], learned[trial]) for trial, result in enumerate(results) if "error" not in result]
    broken = [str(seed) for seed, weights in kept if not all_finite(weights.values())]
    if broken:
        raise GraftError(
            f"weights of seeds {', '.join(broken)} have become NaN or infinite at the end; try a smaller lr="
        )


def warn_of_better_phases(history: JobHistory, results: Sequence[Mapping[str, Any]], last: int) -> None:
    """Warn of weights=best where an earlier phase has lower losses: a trial ends with the best epoch of the last one.

    Args:
        history: the job's.
        results: its trials'.
        last: the last epoch of the phases before the last one.
    """
    losses = [result.get("val_loss") for result in results]
    better = [loss is not None and history.lowest_val_loss(trial, last) < loss for trial, loss in enumerate(losses)]
    if any(better):
        log.warning(
            "%d of %s had a lower validation loss in an earlier phase than in the last one, whose best epoch "
            "weights=best takes: training more layers has made them worse; try a smaller tune.lr=, or tune=frozen",
            sum(better),
            counted(len(results), "trial"),
        )
