import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import graft
from graft.data.dataset import MNIST5k


@pytest.mark.parametrize("step", ["fit", "test"])
@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_networks_and_seeds_of_other_numbers_are_refused(seeds: list[int], step: str):
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 2)) for _ in range(2)]
    phase = graft.tune.Phase(frozen_stages=0, lr=0.1, optimizer=torch.optim.SGD)
    module = graft.TransferModule(nn.Identity(), networks, phase)
    images = graft.SmallDataModule(
        MNIST5k(big=[0], small=[1, 3], small_per_class=2, test_per_class=5), seeds, batch_size=2
    )
    trainer = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu")
    with pytest.raises(graft.GraftError, match=r"data module has \d seeds? and the module 2 networks; give both one"):
        getattr(trainer, step)(module, datamodule=images)
