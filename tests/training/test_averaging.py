import copy
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from graft.training.averaging import AverageWeights


class Compared(pl.LightningModule):
    """Trains with SGD, averages its weights with PyTorch, and compares those with the weights that validation sees."""

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.stack, self.num_validations, self.num_steps = network, 0, 0

        def average(averages: Any, weights: Any, num_averaged: torch.Tensor | int) -> None:
            warmed_up = min(decay, (1 + int(num_averaged)) / (10 + int(num_averaged)))
            get_ema_multi_avg_fn(warmed_up)(averages, weights, num_averaged)

        self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self.average.update_parameters(copy.deepcopy(network))  # the first update only copies

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.stack(batch).square().sum()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.num_steps += 1
        self.average.update_parameters(self.stack)

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.num_validations += 1
        self.compare()

    def compare(self) -> None:
        ours, expected = (
            {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
            for module in (self.stack, self.average.module)
        )
        torch.testing.assert_close(ours, expected)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.stack.parameters(), lr=0.1)


@pytest.mark.parametrize("decay", [0.15, 0.999])  # without and with the warm-up, which begins at 2 / 11
@pytest.mark.parametrize("accumulated", [1, 2, 3, 8])  # batches of a step; an epoch of 4 batches ends with a step
def test_the_moving_average_of_weights_and_buffers_is_evaluated_and_kept(decay: float, accumulated: int):
    torch.manual_seed(0)
    module = Compared(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)), decay)
    batches = [torch.rand(3, 2, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    train, val = (DataLoader(part, batch_size=None) for part in (batches, batches[:1]))  # type: ignore[arg-type]
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[AverageWeights(decay)], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accumulate_grad_batches=accumulated,
    )  # fmt: skip
    trainer.fit(module, train, val)
    assert module.num_validations >= 2
    assert module.num_steps == 2 * -(-4 // accumulated)
    module.compare()
    assert module.stack.get_buffer("0.num_batches_tracked") == 8  # counts are not averaged
