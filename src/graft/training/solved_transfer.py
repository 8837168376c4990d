"""Heads that are fitted to all training images at once, within the same Lightning loop and evaluation."""

from collections.abc import Sequence

import torch
from torch import nn

from graft.data.loader import Batch
from graft.heads.head import SolvedHead
from graft.heads.points_head import PointsHead
from graft.model.stages import Weights
from graft.solvers.trials_at_once import solve_all
from graft.solvers.weights import ClassWeight
from graft.training.transfer import TransferModule
from graft.training.tune import Phase


class SolvedTransfer(TransferModule):
    """A transfer whose heads are fitted when its only epoch starts; that epoch measures them on the training images.

    Args:
        frozen: preprocessing and all stages.
        networks: for each trial no stages, and a `SolvedHead` or `PointsHead`.
        phase: the only phase.
        examples: each trial's training features, (images, features), and labels, (images,).
        first_same: for each trial the first of the same images, whose head it gets.
        class_weights: of each trial's classes, as scikit-learn has them; None: every image has the same weight.
    """

    def __init__(
        self,
        frozen: nn.Module,
        networks: Sequence[nn.Module],
        phase: Phase,
        examples: Sequence[tuple[torch.Tensor, torch.Tensor]],
        first_same: Sequence[int],
        class_weights: Sequence[ClassWeight] | None = None,
    ):
        super().__init__(frozen, networks, phase)
        self.automatic_optimization = False
        self.head_class: type[SolvedHead | PointsHead] = type(networks[0].get_submodule("head"))  # type: ignore[assignment]
        self.examples, self.first_same = examples, first_same
        self.class_weights = class_weights or [None] * len(examples)

    def configure_optimizers(self) -> None:
        return None

    @torch.no_grad()
    def on_train_start(self) -> None:
        def fit(trial: int) -> Weights:
            return self.head_class.fit(*self.examples[trial], self.class_weights[trial])

        weights = self.stack.weights()
        distinct = sorted(set(self.first_same))
        size = max(max(features.shape) for features, _ in self.examples)
        heads = dict(zip(distinct, solve_all(fit, distinct, size), strict=True))
        for trial, first in enumerate(self.first_same):
            for name, value in heads[first].items():
                weights[f"head.{name}"][trial].copy_(value)

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        self.evaluate(batch)
