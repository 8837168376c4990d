"""Tuning: which of the kept stages train, in how many phases, and the callback that holds the others fixed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
from torch import nn

from graft.errors import GraftError


@dataclass(frozen=True)
class Phase:
    """One fit of a job.

    Attributes:
        frozen_stages: how many leading stages are frozen, from 0 to the kept ones.
        lr_decay: rate of each thawed stage, as a share of the next one's; the last stage's is the head's.
        epochs: passes over the training images; None: the job's.
        lr: learning rate of the head and of the last stage; `auto`: a range test finds it; None: the job's.
        optimizer: makes its optimiser; None: the job's.
        schedule: changes its learning rates; None: the job's.
        batch_norm: `train` or `frozen`, as `Tune` has it.
    """

    frozen_stages: int
    lr_decay: float = 1.0
    epochs: int | None = None
    lr: float | str | None = None
    optimizer: Callable[..., Any] | None = None
    schedule: Callable[..., Any] | None = None
    batch_norm: str = "train"


class Tune:
    """How many of the last kept stages train, from the start.

    Args:
        thaw: that number; `all`; or `auto`, which is all of them from scratch and none with trained weights.
        lr_decay: rate of each thawed stage, as a share of the next one's, in (0, 1].
        batch_norm: of thawed stages. `train` takes its statistics from each batch; `frozen` keeps the source's, which a
            few images of small batches would only blur, and trains its scale and shift (Chollet, 8.3).
    """

    def __init__(self, thaw: int | str, lr_decay: float = 1.0, batch_norm: str = "train"):
        self.thaw, self.lr_decay, self.batch_norm = thaw, lr_decay, batch_norm

    def phases(self, kept: int, trained: bool) -> list[Phase]:
        """Return the fits of a job.

        Args:
            kept: how many stages the backbone keeps.
            trained: whether a source gives them weights.

        Raises:
            GraftError: more stages are to be thawed than are kept, or what is random would be frozen.
        """
        if self.batch_norm == "frozen" and not trained:
            raise GraftError(
                "tune.batch_norm=frozen keeps the statistics of trained weights, and source=scratch has none; "
                "try tune.batch_norm=train"
            )
        frozen = self._frozen_stages(self.thaw, kept, trained)
        return [Phase(frozen, self.lr_decay, batch_norm=self.batch_norm)]

    def _frozen_stages(self, thaw: int | str, kept: int, trained: bool) -> int:
        count = {"all": kept, "auto": 0 if trained else kept}.get(str(thaw), thaw)
        if not isinstance(count, int) or not 0 <= count <= kept:
            raise GraftError(f"tune.thaw must be auto, all or from 0 to {kept}, the kept stages, got {count}")
        if count < kept and not trained:
            raise GraftError(
                f"tune.thaw={count} freezes stages whose weights are random (source=scratch); "
                "try tune=full, or source=big for trained weights"
            )
        return kept - count


class Thaw(Tune):
    """First the head alone, then with it the last stages: each a phase, a fit of its own.

    Chollet, Deep Learning with Python, 8.3; linear probing then fine-tuning, LP-FT, Kumar et al. 2022.

    Args:
        thaw: how many of the last stages train in the second phase; a list gives a phase to each of its numbers.
        epochs: passes over the training images in each of these phases.
        lr: learning rate in these phases; `auto`: each finds its own.
        optimizer: makes their optimiser.
        schedule: changes their learning rates.
        lr_decay: as `Tune` has it.
        batch_norm: as `Tune` has it.
    """

    def __init__(
        self,
        thaw: int | str | Sequence[int],
        epochs: int,
        lr: float | str,
        optimizer: Callable[..., Any],
        schedule: Callable[..., Any] | None = None,
        lr_decay: float = 1.0,
        batch_norm: str = "frozen",
    ):
        super().__init__("auto", lr_decay, batch_norm)
        self.stages = [thaw] if isinstance(thaw, int | str) else list(thaw)
        self.epochs, self.lr, self.optimizer, self.schedule = epochs, lr, optimizer, schedule

    def phases(self, kept: int, trained: bool) -> list[Phase]:
        """Return the head's fit, and those of the thawed stages.

        Raises:
            GraftError: there are not as many stages, a phase thaws no more than the one before, or random weights
                would be frozen.
        """
        frozen = [self._frozen_stages(thaw, kept, trained) for thaw in self.stages]
        if any(now >= before for before, now in zip([kept, *frozen], frozen, strict=False)):
            raise GraftError(f"each phase thaws more stages than the one before; tune.thaw={self.stages} does not")
        head = Phase(self._frozen_stages(0, kept, trained))
        thawed = Phase(kept, self.lr_decay, self.epochs, self.lr, self.optimizer, self.schedule, self.batch_norm)
        return [head, *(replace(thawed, frozen_stages=count) for count in frozen)]


class Freeze(pl.Callback):
    """Holds a Lightning module's `frozen` part fixed for one fit, as Lightning's own finetuning does not.

    No gradients, and evaluation mode, so that batch norm keeps its statistics and dropout stays off. The
    module's own `train()` asserts the mode again through `hold`.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        freeze(pl_module.get_submodule("frozen"))


def freeze(frozen: nn.Module) -> None:
    """Freeze a module: no gradients, evaluation mode."""
    frozen.requires_grad_(False).eval()
