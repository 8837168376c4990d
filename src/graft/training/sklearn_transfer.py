"""Heads that are fitted to all training images at once, within the same Lightning loop and evaluation."""

from collections.abc import Sequence

import torch
from torch import nn

from graft.data.loader import Batch
from graft.heads.head import SklearnHead
from graft.heads.points_head import PointsHead
from graft.solvers.weights import ClassWeight
from graft.training.transfer import TransferModule
from graft.training.tune import Phase


class SklearnTransfer(TransferModule):
    """A transfer whose heads are fitted when its only epoch starts; that epoch measures them on the training images.

    Args:
        frozen: preprocessing and all stages.
        networks: for each trial no stages, and a `SklearnHead` or `PointsHead`.
        phase: the only phase.
        examples: each trial's training features, (images, features), and labels, (images,).
        class_weights: of each trial's classes, as scikit-learn has them; None: every image has the same weight.
    """

    def __init__(
        self,
        frozen: nn.Module,
        networks: Sequence[nn.Module],
        phase: Phase,
        examples: Sequence[tuple[torch.Tensor, torch.Tensor]],
        class_weights: Sequence[ClassWeight] | None = None,
    ):
        super().__init__(frozen, networks, phase)
        self.automatic_optimization = False
        self.head_class: type[SklearnHead | PointsHead] = type(networks[0].get_submodule("head"))  # type: ignore[assignment]
        self.examples, self.class_weights = examples, class_weights or [None] * len(examples)

    def configure_optimizers(self) -> None:
        return None

    @torch.no_grad()
    def on_train_start(self) -> None:
        weights = self.stack.weights()
        for trial, (features, labels) in enumerate(self.examples):
            for name, value in self.head_class.fit(features, labels, self.class_weights[trial]).items():
                weights[f"head.{name}"][trial].copy_(value)

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        self.evaluate(batch)
