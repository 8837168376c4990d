"""A configuration's values, and what follows from them, as checks of the configuration read them.

Do not import torch here: `--help` must answer in under a second.
"""

from collections.abc import Collection
from math import inf
from typing import Any

from omegaconf import DictConfig, OmegaConf

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "average_precision", "loss")  # that rank jobs
FORMATS = ("png", "svg", "pdf")  # that a picture can be written in
# Heads that are fitted at once, without epochs, by their full names: a class of the user's own may be called KNN, too.
SOLVED_HEADS = {
    "graft.best_solved_head.BestSolved": "solved",
    "graft.head.Logistic": "logistic",
    "graft.head.Ridge": "ridge",
    "graft.points_head.KNN": "knn",
    "graft.points_head.KernelRidge": "kernel_ridge",
    "graft.solved_head.LDA": "lda",
    "graft.solved_head.NearestMean": "nearest_mean",
    "graft.solved_head.SVM": "svm",
}
# Keys, or their groups, that concern steps of training and layers of other heads: nothing of what a solved head does.
OF_TRAINED_HEADS = (
    *("epochs", "batch_size", "lr", "val_every", "optimizer", "schedule", "stop", "weights", "regularize"),
    *("head", "dropout", "width"),
)
# Keys of a data set's option for preparing its images; the data set itself takes `size` only.
PREPROCESSING = ("pixels", "pad", "interpolation")
LOADS = {"Scratch": "scratch", "ImageNet": "imagenet", "File": "file"}  # sources that do not pre-train, and options
BASELINE, CONTROL = "self", "control"  # the values of baseline= in the jobs that a sweep adds
THUMBNAIL = "graft.backbone.Thumbnail"  # a backbone without weights, which every other one has to beat


class Undecided(Exception):
    """A combination depends on a value that is faulty itself, or on a class that Graft does not know."""


class Values:
    """The values of a configuration on which combinations depend.

    Args:
        cfg: the composed configuration.
        faulty: the keys whose values are faulty themselves.
        world_size: number of processes; None: not known yet.
    """

    def __init__(self, cfg: DictConfig, faulty: Collection[str] = (), world_size: int | None = None):
        self._cfg, self._faulty, self._world_size = cfg, faulty, world_size

    def get(self, key: str) -> Any:
        """Return a key's plain value; None if the chosen option has no such key.

        Raises:
            Undecided: the value is faulty.
        """
        if key in self._faulty:
            raise Undecided(key)
        value = OmegaConf.select(self._cfg, key)
        return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value

    def target(self, group: str) -> str:
        """Return the name of the class or function that a group's option builds; it is not imported."""
        return str(self.get(f"{group}._target_")).rpartition(".")[2]

    def in_files(self) -> bool:
        """Return whether the data set's images are files, which may have validation images of their own."""
        return self.target("dataset") in ("ImageFolder", "Table", "HuggingFace")

    def source_is_trained(self) -> bool:
        """Return whether the source gives the backbone trained weights, or it has none that could be random."""
        if self.get("backbone._target_") == THUMBNAIL:
            return True
        if self.target("source") not in (*LOADS, "Big"):
            raise Undecided("source")
        return self.target("source") != "Scratch"

    def num_kept(self) -> float:
        """Return how many stages the backbone keeps; infinity: all that it has."""
        keep = self.get("backbone.keep")
        return inf if keep is None else keep

    def num_unfrozen(self) -> list[float]:
        """Return how many stages each number of `tune.thaw` unfreezes; infinity: all that the backbone has."""
        if self.target("tune") not in ("Tune", "Thaw", "Lora"):
            raise Undecided("tune")
        thaw = self.get("tune.thaw")
        return [self._count(each) for each in (thaw if isinstance(thaw, list) else [thaw])]

    def _count(self, thaw: int | str) -> float:
        if thaw == "auto":
            return 0 if self.source_is_trained() else self.num_kept()
        return self.num_kept() if thaw == "all" else float(thaw)

    def staged(self) -> bool:
        """Return whether a first phase trains the head alone."""
        return self.target("tune") == "Thaw"

    def world_size(self) -> int:
        """Return the number of processes; the least one until it is known: `trainer.devices=auto` may find several."""
        if self._world_size is not None:
            return self._world_size
        devices = self.get("trainer.devices")
        per_node = len(devices) if isinstance(devices, list) else devices if isinstance(devices, int) else 1
        return per_node * (self.get("trainer.num_nodes") or 1)

    def automatic_rates(self) -> list[str]:
        """Return the keys of the learning rates that a range test is to find."""
        own_rate = self.get("optimizer.lr") not in (None, self.get("lr"))
        keys = ["optimizer.lr" if own_rate else "lr", *(["tune.lr"] if self.staged() else [])]
        return [key for key in keys if self.get(key) == "auto"]

    def solved_head(self) -> str | None:
        """Return the option of a head that is fitted to stored features at once; None for other heads."""
        return SOLVED_HEADS.get(str(self.get("head._target_")))
