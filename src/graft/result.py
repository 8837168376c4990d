"""What a job leaves in its folder: result.json, history.csv, curves.png, weights.safetensors and model.yaml."""

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import pandas
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

import graft
from graft.config import plain
from graft.dataset import Dataset
from graft.files import write_tensors, write_text
from graft.plot import draw_curves, title
from graft.split import SmallSplit
from graft.sweep import FAILURE
from graft.transfer import Transfer, band, curves
from graft.trials import summary


class Result:
    """Gathers what each chunk of trials measured and learned, and writes it when all are done.

    Args:
        cfg: the job's configuration.
        folder: the job's folder.
        data: the data set.
        split: all trials' images.
    """

    def __init__(self, cfg: DictConfig, folder: Path, data: Dataset, split: SmallSplit):
        self.cfg, self.folder, self.data, self.split = cfg, folder, data, split
        self.history: dict[tuple[str, str, int], list[float]] = {}
        self.weights: dict[str, list[torch.Tensor]] = {}
        self.chunks = 0
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)  # an earlier run's curves would mix with these

    def add(self, transfer: Transfer) -> None:
        """Take the history and the weights of the trials that one fit has trained."""
        self.chunks += 1
        for key, values in transfer.history.items():
            # Six decimals: what single precision holds, without its noise.
            self.history.setdefault(key, []).extend(round(value, 6) for value in values.tolist())
        for name, values in transfer.trials.weights().items():
            self.weights.setdefault(name, []).append(values.detach().cpu())

    def write(self, front: nn.Module, parameters: dict[str, int], seconds: dict[str, float]) -> dict:
        """Write the five files, `result.json` last, since it is what marks a job as finished.

        Args:
            front: preprocessing and frozen stages.
            parameters: counts of one trial's model.
            seconds: time in all and by part.

        Returns:
            The content of `result.json`.
        """
        if self.chunks > 1:
            self._draw_curves()
        history = self._history()
        write_text(self.folder / "history.csv", history.to_csv(index=False))
        draw_curves(self.folder / "curves.png", history, title(plain(self.cfg)))
        self._write_model(front)
        content = self._content(parameters, seconds)
        write_text(self.folder / "result.json", json.dumps(content, indent=2) + "\n")
        (self.folder / FAILURE).unlink(missing_ok=True)
        return content

    def _content(self, parameters: dict[str, int], seconds: dict[str, float]) -> dict:
        epochs = max(epoch for split, _, epoch in self.history if split == "test")  # fewer if a trainer flag says so
        columns = {
            ("" if split == "test" else f"{split}_") + metric: self.history[split, metric, epochs]
            for split in ("test", "val")
            for metric in ("accuracy", "loss", "balanced_accuracy", "macro_f1")
            if (split, metric, epochs) in self.history
        }
        trials = [
            {"seed": seed, **{name: values[trial] for name, values in columns.items()}, "epoch": epochs}
            for trial, seed in enumerate(self.split.seeds)
        ]
        return {
            "config": plain(self.cfg),
            "trials": trials,
            "accuracy": summary(columns["accuracy"]),
            "parameters": parameters,
            "seconds": seconds,
            "reference": plain(self.cfg)["reference"],
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
        }

    def _history(self) -> pandas.DataFrame:
        """Return a row for each trial, epoch, split and metric."""
        rows = [
            (trial, epoch, split, metric, value)
            for (split, metric, epoch), values in self.history.items()
            for trial, value in enumerate(values)
        ]
        columns = ["trial", "epoch", "split", "metric", "value"]
        return pandas.DataFrame(rows, columns=columns).sort_values(columns[:4])

    def _draw_curves(self) -> None:
        """Draw the bands over all trials, where each fit could only draw those of its own."""
        logger = curves(self.folder, "tensorboard", ("train", *self.split.curves))
        for (split, metric, epoch), values in self.history.items():
            logger.log_metrics(band(f"{metric}/{split}", torch.tensor(values)), step=epoch)
        logger.finalize("success")

    def _write_model(self, front: nn.Module) -> None:
        """Write all that a prediction needs: the weights, and how to build what they belong to."""
        tensors = {f"frozen.{name}": value for name, value in front.state_dict().items()}
        tensors |= {f"trials.{name}": torch.cat(values) for name, values in self.weights.items()}
        write_tensors(self.folder / "weights.safetensors", tensors)
        config = plain(self.cfg)
        preprocess = {"_target_": "graft.preprocess.Preprocess", **self.data.preprocess().settings}
        model = {
            "graft": graft.__version__,
            "backbone": {**config["backbone"], "preprocess": preprocess},
            "head": {**config["head"], "num_classes": len(self.data.small_classes)},
            "frozen_stages": sum(name.startswith("stage") for name, _ in front.named_children()),
            "classes": self.data.class_names,
            "image": list(self.data.images.shape),
            "seeds": self.split.seeds,
        }
        write_text(self.folder / "model.yaml", OmegaConf.to_yaml(OmegaConf.create(model)))
