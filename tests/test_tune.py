import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from graft.errors import GraftError
from graft.split import Batches
from graft.transfer import Transfer
from graft.tune import Freeze, Tune


@pytest.mark.parametrize(
    ("thaw", "trained", "frozen"),
    [("auto", True, 5), ("auto", False, 0), ("all", True, 0), (0, True, 5), (1, True, 4), (5, False, 0)],
)
def test_how_many_stages_are_frozen(thaw: int | str, trained: bool, frozen: int):
    assert Tune(thaw).frozen_stages(5, trained) == frozen


@pytest.mark.parametrize(
    ("thaw", "trained", "message"),
    [(6, True, "from 0 to 5, the kept stages, got 6"), (2, False, "tune.thaw=2 freezes.*random.*try tune=full")],
)
def test_refusals(thaw: int, trained: bool, message: str):
    with pytest.raises(GraftError, match=message):
        Tune(thaw).frozen_stages(5, trained)


def test_what_is_frozen_is_bit_equal_after_training_with_batch_norm_and_dropout():
    frozen = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    frozen(torch.rand(20, 1, 8, 8) * 3)  # statistics that a batch in training mode would move
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 2
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    features = frozen.eval()(images).detach()

    def sgd(parameters) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)

    frozen.train()
    transfer = Transfer(frozen, [nn.Linear(144, 2) for _ in range(2)], sgd, stored=False)
    start = transfer.trials.trial(0)["weight"].clone()
    rows = torch.arange(16).expand(2, 16)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[Freeze()],
    )  # fmt: skip
    trainer.fit(transfer, Batches("train", images, labels, rows, 4, [0, 1]), [Batches("val", images, labels, rows, 8)])

    assert not torch.equal(transfer.trials.trial(0)["weight"], start)
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    transfer.train()
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert torch.equal(frozen(images), features)
