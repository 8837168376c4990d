"""What a job leaves in its folder: result.json, history.csv, weights.safetensors and model.yaml."""

import json
import platform
import shutil
from importlib.metadata import version
from math import isfinite
from pathlib import Path

import pandas
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn

import graft
from graft.config.build import to_plain
from graft.config.identity import choices, result_config
from graft.config.knobs import KeepWeights
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import Dataset
from graft.errors import GraftError
from graft.files import fingerprint, remove_leftovers, size, write_tensors, write_text
from graft.job_folder import FAILURE, HISTORY, RESULT
from graft.report.statistics import summary
from graft.training.logger import band, curves
from graft.training.transfer import TransferModule

TRAIN_LOSS = ("train", "loss")
SMALL = 2**20  # bytes of frozen weights that each job may hold itself


class Result:
    """Gathers what each chunk of trials measured and learned, and writes it when all are done.

    Args:
        cfg: the job's configuration.
        folder: the job's folder.
        data: the data set.
        split: all trials' images.
        identity: what tells this job from all others, as `identity` returns it.
    """

    def __init__(self, cfg: DictConfig, folder: Path, data: Dataset, split: SmallDataModule, identity: str):
        self.cfg, self.folder, self.data, self.split, self.identity = cfg, folder, data, split, identity
        self.history: dict[tuple[str, str, int], dict[int, float]] = {}
        self.weights: dict[int, dict[str, torch.Tensor]] = {}
        self.lr: list[float | str | None] = []  # of each phase
        self.partly_drawn = False  # whether some fit drew only its own trials' curves, or only their later part
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)  # an earlier run's curves would mix with these
        (folder / FAILURE).unlink(missing_ok=True)
        remove_leftovers(folder)

    def add(self, trials: range, transfer: TransferModule) -> None:
        """Take the history and the weights of the trials that one fit has trained; a later phase's replace them."""
        self.partly_drawn |= len(trials) < len(self.split.seeds) or transfer.resumed
        for key, values in transfer.history.items():
            # Six decimals: what single precision holds, without its noise.
            rounded = (round(value, 6) for value in values.tolist())
            self.history.setdefault(key, {}).update(zip(trials, rounded, strict=True))
        for position, trial in enumerate(trials):
            self.weights[trial] = {name: value.cpu() for name, value in transfer.stack.trial(position).items()}

    def write(self, front: nn.Module, parameters: dict[str, int], seconds: dict[str, float]) -> dict:
        """Write the files, `result.json` last, since it is what marks a job as finished.

        Args:
            front: preprocessing and frozen stages.
            parameters: counts of one trial's model.
            seconds: time in all and by part.

        Returns:
            The content of `result.json`.

        Raises:
            GraftError: no trial came to an end.
        """
        trials = self._trials()
        if all("error" in trial for trial in trials):
            lr = "" if self.cfg.lr == "auto" else f"={self.cfg.lr / 10:g}"
            raise GraftError(f"no trial came to an end: {trials[0]['error']}; try a smaller lr{lr}")
        if self.partly_drawn:
            self._draw_curves()
        write_text(self.folder / HISTORY, self._history().to_csv(index=False))
        self._write_model(front, trials)
        content = self._content(trials, parameters, seconds)
        self._log_hyperparameters(content)
        write_text(self.folder / RESULT, json.dumps(content, indent=2, allow_nan=False) + "\n")
        return content

    def _trials(self) -> list[dict]:
        """Return each trial's seed and final measures; those of a trial whose loss left the numbers are None."""
        rows = []
        for trial, seed in enumerate(self.split.seeds):
            # Fewer epochs than asked for if a trainer flag, or a failure, ended the training.
            epoch = max(epoch for (_, _, epoch), at in self.history.items() if trial in at)
            final = {
                ("" if split.startswith("test") else "val_") + metric: self.history[split, metric, epoch][trial]
                for split in ("test", "val", "test_views", "val_views")  # from several views, where there are
                for metric in ("accuracy", "loss", "balanced_accuracy", "macro_f1")
                if (split, metric, epoch) in self.history
            }
            failed = self._failed(trial)
            if failed is not None:
                final = dict.fromkeys(final)
                epoch = failed
            final = {name: value if value is not None and isfinite(value) else None for name, value in final.items()}
            error = {} if failed is None else {"error": f"the loss was no longer a number in epoch {failed}"}
            rows.append({"seed": seed, **final, "epoch": epoch, **error})
        return rows

    def _failed(self, trial: int) -> int | None:
        """Return the first epoch after which one of a trial's losses was not a finite number."""
        losses = ((epoch, at) for (_, metric, epoch), at in self.history.items() if metric == "loss")
        return min((epoch for epoch, at in losses if not isfinite(at.get(trial, 0))), default=None)

    def _content(self, trials: list[dict], parameters: dict[str, int], seconds: dict[str, float]) -> dict:
        return {
            "config": to_plain(self.cfg),
            "choices": choices(HydraConfig.get()) if HydraConfig.initialized() else {},
            "trials": trials,
            "lr": self.lr,
            "accuracy": summary([trial["accuracy"] for trial in trials if "error" not in trial]),
            "parameters": parameters,
            "seconds": seconds,
            "reference": to_plain(self.cfg)["reference"],
            "images": {
                "big": len(self.data.big),
                "small": self.split.rows["train"].shape[1],
                "val": self.split.rows["val"].shape[1],
                "test": len(self.data.test),
            },
            "versions": {
                "graft": graft.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "torchvision", "pytorch-lightning", "hydra-core")},
            },
            "identity": self.identity,
        }

    def _history(self) -> pandas.DataFrame:
        """Return a row for each trial, epoch, split and metric."""
        rows = [
            (trial, epoch, split, metric, value)
            for (split, metric, epoch), values in self.history.items()
            for trial, value in values.items()
        ]
        columns = ["trial", "epoch", "split", "metric", "value"]
        return pandas.DataFrame(rows, columns=columns).sort_values(columns[:4])

    def _draw_curves(self) -> None:
        """Draw the bands over all trials and epochs, where each fit could only draw those of its own."""
        for events in (self.folder / "tensorboard").glob("events*"):
            events.unlink()
        logger = curves(self.folder, "tensorboard", ("train", *self.split.curves))
        for (split, metric, epoch), values in self.history.items():
            logger.log_metrics(band(f"{metric}/{split}", torch.tensor(list(values.values()))), step=epoch)
        logger.finalize("success")

    def _log_hyperparameters(self, content: dict) -> None:
        """Fill TensorBoard's HParams tab: what was chosen, and the final accuracies."""
        knobs = {
            key: value
            for key, value in result_config(content["config"]).items()
            if isinstance(value, str | int | float)
        }
        logger = TensorBoardLogger(self.folder, name="", version="tensorboard", default_hp_metric=False)
        measures = {f"final/{name}": content["accuracy"][name] for name in ("mean", "min", "max")}
        logger.log_hyperparams({**knobs, **content["choices"]}, measures)
        logger.finalize("success")

    def _write_model(self, front: nn.Module, trials: list[dict]) -> None:
        """Write all that a prediction needs: the weights, and how to build what they belong to.

        A large frozen part is stored once for all jobs, in the cache, unless all weights are to be kept here.
        """
        kept = self._kept(trials)
        path = self.folder / "weights.safetensors"
        if not kept:
            path.unlink(missing_ok=True)
            return
        frozen = {f"frozen.{name}": value for name, value in front.state_dict().items()}
        elsewhere = None
        if self.cfg.keep_weights is KeepWeights.best and size(frozen) > SMALL:
            elsewhere = Path(self.cfg.cache).absolute() / "frozen" / f"{fingerprint(frozen)[:24]}.safetensors"
            if not elsewhere.exists():
                write_tensors(elsewhere, frozen)
            frozen = {}
        names = self.weights[kept[0]]
        learned = {f"trials.{name}": torch.stack([self.weights[trial][name] for trial in kept]) for name in names}
        write_tensors(path, frozen | learned)
        config = to_plain(self.cfg)
        preprocess = {"_target_": "graft.preprocess.Preprocess", **self.data.preprocess().settings}
        model = {
            "graft": graft.__version__,
            "backbone": {**config["backbone"], "preprocess": preprocess},
            "head": {**config["head"], "num_classes": len(self.data.small_classes)},
            "frozen_stages": sum(name.startswith("stage") for name, _ in front.named_children()),
            "frozen_weights": None if elsewhere is None else str(elsewhere),
            "classes": self.data.class_names,
            "image": list(self.data.images.shape),
            "seeds": [self.split.seeds[trial] for trial in kept],
        }
        write_text(self.folder / "model.yaml", OmegaConf.to_yaml(OmegaConf.create(model)))

    def _kept(self, trials: list[dict]) -> list[int]:
        """Return which trials' weights are kept; the best is chosen by validation images, else by training loss."""
        finished = [number for number in self.weights if "error" not in trials[number]]
        if self.cfg.keep_weights is KeepWeights.none:
            return []
        if self.cfg.keep_weights is not KeepWeights.best:
            return finished
        if "val_accuracy" in trials[finished[0]]:
            return [max(finished, key=lambda number: trials[number]["val_accuracy"])]
        return [min(finished, key=lambda number: self.history[*TRAIN_LOSS, trials[number]["epoch"]][number])]
