"""Heads that scikit-learn fits in closed form or by its own solver, within the same Lightning loop and evaluation."""

from collections.abc import Sequence

import torch
from torch import nn

from graft.data.loader import Batch
from graft.model.head import ClassWeight, SklearnHead
from graft.training.transfer import TransferModule
from graft.training.tune import Phase


class SklearnTransfer(TransferModule):
    """A transfer whose heads are fitted when its only epoch starts; that epoch measures them on the training images.

    Args:
        frozen: preprocessing and all stages.
        networks: for each trial no stages, and a `SklearnHead`.
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
        self.head_class: type[SklearnHead] = type(networks[0].get_submodule("head"))  # type: ignore[assignment]
        self.examples, self.class_weights = examples, class_weights or [None] * len(examples)

    def configure_optimizers(self) -> None:
        return None

    @torch.no_grad()
    def on_train_start(self) -> None:
        weights = self.stack.weights()
        for trial, (features, labels) in enumerate(self.examples):
            weight, bias = self.head_class.fit(features, labels, self.class_weights[trial])
            weights["head.0.weight"][trial].copy_(weight)
            weights["head.0.bias"][trial].copy_(bias)

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        self.evaluate(batch)
