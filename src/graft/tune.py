"""Tuning: which of the kept stages train, and the callback that holds the others fixed."""

import pytorch_lightning as pl
from torch import nn

from graft.errors import GraftError


class Tune:
    """How many of the last kept stages train.

    Args:
        thaw: that number; `all`; or `auto`, which is all of them from scratch and none with trained weights.
    """

    def __init__(self, thaw: int | str):
        self.thaw = thaw

    def frozen_stages(self, kept: int, trained: bool) -> int:
        """Return how many leading stages are frozen, from 0 to `kept`.

        Raises:
            GraftError: more stages are to be thawed than are kept, or random weights would be frozen.
        """
        thaw = {"all": kept, "auto": 0 if trained else kept}.get(str(self.thaw), self.thaw)
        if not isinstance(thaw, int) or not 0 <= thaw <= kept:
            raise GraftError(f"tune.thaw must be auto, all or from 0 to {kept}, the kept stages, got {thaw}")
        if thaw < kept and not trained:
            raise GraftError(
                f"tune.thaw={thaw} freezes stages whose weights are random (source=scratch); "
                "try tune=full, or source=big for trained weights"
            )
        return kept - thaw


class Freeze(pl.Callback):
    """Holds a Lightning module's `frozen` part fixed for one fit, as Lightning's own finetuning does not.

    No gradients, and evaluation mode, so that batch norm keeps its statistics and dropout stays off. The
    module's own `train()` asserts the mode again through `hold`.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        hold(pl_module.get_submodule("frozen"))


def hold(frozen: nn.Module) -> None:
    """Freeze a module: no gradients, evaluation mode."""
    frozen.requires_grad_(False).eval()
