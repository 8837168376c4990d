"""Solving heads instead of training them, within the same fit and the same evaluation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from graft.model.head import SklearnHead
from graft.training.transfer import TransferModule


class SklearnTransfer(TransferModule):
    """A transfer whose heads are solved when its fit of one epoch begins; that epoch only measures them.

    Args:
        frozen: preprocessing and all stages.
        networks: for each trial no stages, and a `SklearnHead` head.
        balanced: whether each class has the same weight.
    """

    def __init__(self, frozen: nn.Module, networks: Sequence[nn.Module], balanced: bool = False):
        super().__init__(frozen, networks, torch.optim.SGD, stored=True)
        self.automatic_optimization = False
        self.solver: type[SklearnHead] = type(networks[0].get_submodule("head"))  # type: ignore[assignment]
        self.balanced = balanced

    def configure_optimizers(self) -> None:
        return None

    @torch.no_grad()
    def on_train_start(self) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        weights = self.stack.weights()
        for trial, rows in enumerate(data.rows["train"]):
            rows = rows.to(data.train_inputs.device)
            weight, bias = self.solver.solve(data.train_inputs[rows], data.train_labels[rows], self.balanced)
            weights["head.0.weight"][trial].copy_(weight)
            weights["head.0.bias"][trial].copy_(bias)

    @torch.no_grad()
    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:  # type: ignore[override]
        loader: Any = self.trainer.train_dataloader
        self._losses(loader, batch, batch_idx)
