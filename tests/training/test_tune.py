from collections import OrderedDict
from pathlib import Path

import pandas
import pytest
import pytorch_lightning as pl
import torch
import torchvision
from plain_loop import by_hand, frozen_network, scratch_network, trained
from torch import nn

from graft.data.dataset import MNIST5k
from graft.data.loader import Examples, TrainLoader, TrialLoader
from graft.errors import GraftError
from graft.files import read_tensors
from graft.heads.head import Plain
from graft.model.lora import Adapted
from graft.training.regularize import parameter_groups
from graft.training.transfer import TransferModule
from graft.training.tune import Freeze, Lora, Phase, Thaw, Tune


@pytest.mark.parametrize(
    ("thaw", "trained", "frozen"),
    [("auto", True, 5), ("auto", False, 0), ("all", True, 0), (0, True, 5), (1, True, 4), (5, False, 0)],
)
def test_how_many_stages_are_frozen(thaw: int | str, trained: bool, frozen: int):
    assert Tune(thaw).phases(5, trained) == [Phase(frozen)]


@pytest.mark.parametrize(
    ("thaw", "trained", "message"),
    [
        (6, True, "from 0 to 5, the number of kept stages, got 6"),
        (2, False, "auto or all with source=scratch.*random weights, got 2; try tune=full"),
    ],
)
def test_refusals(thaw: int, trained: bool, message: str):
    with pytest.raises(GraftError, match=message):
        Tune(thaw).phases(5, trained)


def test_batch_norm_of_random_weights_cannot_be_frozen():
    with pytest.raises(GraftError, match=r"tune\.batch_norm must be train with source=scratch"):
        Tune("all", batch_norm="frozen").phases(5, trained=False)
    assert Tune("all", batch_norm="frozen").phases(5, trained=True) == [Phase(0, batch_norm="frozen")]


def test_the_frozen_part_is_bit_equal_after_training_with_batch_norm_and_dropout():
    frozen = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    frozen(torch.rand(20, 1, 8, 8) * 3)  # statistics that a batch in training mode would move
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 2
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    features = frozen.eval()(images).detach()

    def sgd(parameters) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)

    frozen.train()
    transfer = TransferModule(frozen, [nn.Linear(144, 2) for _ in range(2)], Phase(0, optimizer=sgd))
    start = transfer.stack.trial(0)["weight"].clone()
    rows = torch.arange(16).expand(2, 16)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[Freeze()],
    )  # fmt: skip
    examples = Examples(images, labels, rows)
    trainer.fit(transfer, TrainLoader(examples, 4, [0, 1]), [TrialLoader("val", examples, 8)])

    assert not torch.equal(transfer.stack.trial(0)["weight"], start)
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    transfer.train()
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert torch.equal(frozen(images), features)


@pytest.mark.parametrize(
    ("thaw", "trained", "message"),
    [
        (6, True, "tune.thaw must be auto, all or from 0 to 5, the number of kept stages, got 6"),
        ([2, 1], True, r"tune\.thaw must be above 0, and each number of a list above the one before, got \[2,1\]"),
        (0, True, r"tune\.thaw must be above 0, .*, got \[0\]; try tune\.thaw=1"),
        (1, False, "auto or all with source=scratch.*random weights, got 1"),
    ],
)
def test_impossible_phases_are_refused(thaw, trained: bool, message: str):
    with pytest.raises(GraftError, match=message):
        Thaw(thaw, 5, 1e-4, torch.optim.Adam).phases(5, trained)


def test_staged_unfreezing_has_a_phase_for_the_head_and_one_for_each_number():
    phases = Thaw([1, 5], 5, 1e-4, torch.optim.Adam, lr_decay=0.5).phases(5, trained=True)
    assert [phase.frozen_stages for phase in phases] == [5, 4, 0]
    assert [phase.epochs for phase in phases] == [None, 5, 5]
    assert [(phase.lr, phase.optimizer) for phase in phases] == [(None, None), *[(1e-4, torch.optim.Adam)] * 2]


@pytest.mark.parametrize(("trials", "factor"), [(1, 1.0), (2, 1.0), (2, 0.3)])
def test_earlier_stages_get_smaller_rates_and_biases_no_weight_decay(trials: int, factor: float):
    def network() -> nn.Sequential:
        stages = nn.Sequential()
        for number in (3, 4, 5):
            stages.add_module(f"stage{number}", nn.Linear(2, 2))
        whole = nn.Sequential()
        whole.add_module("stages", stages)
        whole.add_module("head", nn.Linear(2, 2))
        return whole

    transfer = TransferModule(
        nn.Identity(), [network() for _ in range(trials)], Phase(2, lr_decay=0.1, optimizer=torch.optim.AdamW)
    )
    groups = parameter_groups(transfer.stack, 1.0, 0.1, factor)
    rates = {
        name: (group["lr"], group.get("weight_decay"))
        for group in groups
        for parameter in group["params"]
        for name, value in transfer.stack.named().items()
        if value is parameter
    }
    shares = (("stages.stage3", 0.01 * factor), ("stages.stage4", 0.1 * factor), ("stages.stage5", factor), ("head", 1))
    for stage, rate in shares:
        assert rates[f"{stage}.weight"] == (pytest.approx(rate), None)
        assert rates[f"{stage}.bias"] == (pytest.approx(rate), 0.0)


def test_lora_s_updates_have_their_own_rate():
    blocks = nn.Sequential(OrderedDict(attn=nn.ModuleDict({"proj": nn.Linear(4, 4)})))
    networks = [nn.Sequential(OrderedDict(stages=Adapted(blocks, 2, 4), head=nn.Linear(4, 2))) for _ in range(2)]
    transfer = TransferModule(nn.Identity(), networks, Lora("all", lr_factor=0.1).phases(1, trained=True)[0])
    groups = parameter_groups(transfer.stack, 0.5, transfer.phase.lr_decay, transfer.phase.lr_factor)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in transfer.stack.named().items()}
    assert found == {
        "stages.a.0": pytest.approx(0.05), "stages.b.0": pytest.approx(0.05), "head.weight": 0.5, "head.bias": 0.5
    }  # fmt: skip


def test_stages_train_at_a_fraction_of_the_head_s_rate_as_in_a_plain_loop(run, tmp_path: Path, digits: MNIST5k):
    run("source=scratch", "tune.lr_factor=0.1", "dropout=0", "trials=2", "seed=6", "epochs=1", "lr=0.003")
    network, _ = by_hand(digits, 7, scratch_network(7), epochs=1, lr=3e-3, lr_factor=0.1)
    saved = trained(tmp_path / "job")
    for number, stage in enumerate(network[0].children(), 1):
        for name, value in stage.state_dict().items():
            torch.testing.assert_close(saved[f"stages.stage{number}.{name}"][1], value, atol=1e-4, rtol=0)
    for name, value in network[2].state_dict().items():
        torch.testing.assert_close(saved[f"head.{name}"][1], value, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_two_phases_equal_a_plain_loop_that_recomputes_the_frozen_stage(run, tmp_path: Path, digits: MNIST5k):
    run("source.epochs=1", "dropout=0", "trials=2", "seed=6", "epochs=2", "tune=thaw", "tune.epochs=2", "tune.lr=3e-4")
    network, _ = by_hand(digits, 7, frozen_network(tmp_path / "cache", 7, lambda: Plain(1600, 5)), epochs=2)
    first = network[0].get_submodule("0")
    pretrained = {name: value.clone() for name, value in first.state_dict().items()}
    second = network[0].get_submodule("1").requires_grad_(True)
    network, accuracy = by_hand(digits, 7, network, epochs=2, lr=3e-4)
    saved = trained(tmp_path / "job")
    for name, value in second.state_dict().items():
        torch.testing.assert_close(saved[f"stages.stage2.{name}"][1], value, atol=1e-4, rtol=0)
    for name, value in network[2].state_dict().items():
        torch.testing.assert_close(saved[f"head.{name}"][1], value, atol=1e-4, rtol=0)
    weights = read_tensors(tmp_path / "job" / "weights.safetensors")
    assert weights is not None
    assert all(torch.equal(weights[f"frozen.stage1.{name}"], value) for name, value in pretrained.items())
    history = pandas.read_csv(tmp_path / "job" / "history.csv")
    assert sorted(history.query("split == 'train'")["epoch"].unique()) == [1, 2, 3, 4]
    last = history.query("split == 'test' and metric == 'accuracy' and epoch == 4 and trial == 1")["value"].item()
    assert last == pytest.approx(accuracy, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_a_resnet_s_frozen_stages_keep_weights_buffers_and_features_through_phases(
    run, tmp_path: Path, batch_norm: str
):
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    network(torch.rand(8, 3, 32, 32))  # moves batch norm's statistics away from their start
    torch.save(network.state_dict(), tmp_path / "resnet.pth")
    settings = ("backbone=resnet18", "source=file", f"source.path={tmp_path}/resnet.pth", "dataset.size=32")
    result = run(
        *settings, "tune=thaw", "tune.thaw=[1,2]", "tune.epochs=1", "epochs=1", "trials=1", "dataset.test_per_class=5",
        "dataset.small_per_class=4", f"tune.batch_norm={batch_norm}",
    )  # fmt: skip
    assert result["trials"][0]["epoch"] == 3
    saved = read_tensors(tmp_path / "job" / "weights.safetensors")
    assert saved is not None
    original = network.state_dict()
    for stage, layer in (("stage2", "layer1"), ("stage3", "layer2")):
        frozen = {name: value for name, value in saved.items() if name.startswith(f"frozen.{stage}.")}
        assert frozen
        for name, value in frozen.items():
            candidates = [
                source for key, source in original.items()
                if key.startswith(f"{layer}.") and name.endswith(key.removeprefix(layer))
            ]  # fmt: skip
            assert any(torch.equal(value, source) for source in candidates), name
    for buffer, moves in (("running_mean", batch_norm == "train"), ("bn1.weight", True)):
        unfrozen = [name for name in saved if name.startswith("trials.stages.stage5") and name.endswith(buffer)]
        assert unfrozen
        for name in unfrozen:
            same = [torch.equal(saved[name][0], found) for key, found in original.items() if key.endswith(buffer)]
            assert any(same) != moves
    assert any(name.startswith("trials.stages.stage4") for name in saved)


def test_lora_is_one_phase_of_trained_weights():
    (phase,) = Lora(2, rank=4, alpha=8).phases(5, trained=True)
    assert (phase.frozen_stages, phase.lora) == (3, (4, 8))
    assert Lora("all").phases(5, trained=True)[0].lora == (8, 16)
    for thaw, has_weights, message in ((0, True, "above 0 or all with tune=lora"), (1, False, "big, imagenet or file")):
        with pytest.raises(GraftError, match=message):
            Lora(thaw).phases(5, has_weights)
