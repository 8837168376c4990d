from typing import TypeVar

import torch

from graft.data.datamodule import BigDataModule, SmallDataModule, TrialDataModule
from graft.data.dataset import MNIST5k
from graft.data.loader import TrainLoader, TrialLoader

Split = TypeVar("Split", bound=TrialDataModule)

INPUTS = torch.arange(40.0)[:, None]
LABELS = torch.arange(40) % 4
ROWS = torch.stack([torch.arange(0, 10), torch.arange(20, 30)])


def place(split: Split, data: MNIST5k) -> Split:
    split.setup("fit")
    return split


def epoch(batches: TrialLoader) -> torch.Tensor:
    return torch.cat([batch.inputs[..., 0] for batch in batches], dim=1)


def batches(seeds: list[int], rows: torch.Tensor = ROWS, size: int = 4) -> TrainLoader:
    return TrainLoader(INPUTS, LABELS, rows, size, seeds)


def test_each_epoch_shows_each_trial_its_own_images_once():
    assert torch.equal(epoch(batches([1, 2])).long().sort(dim=1).values, ROWS)


def test_batches_hold_all_trials_and_their_labels():
    shapes = []
    for inputs, labels, *_ in batches([1, 2]):
        shapes.append(tuple(inputs.shape))
        assert torch.equal(labels, inputs[..., 0].long() % 4)
    assert shapes == [(2, 4, 1), (2, 4, 1), (2, 2, 1)]
    assert len(batches([1, 2])) == 3


def test_the_order_is_new_each_epoch_and_the_trial_s_own():
    both, alone = batches([1, 2]), batches([2], ROWS[1:])
    first, second = epoch(both), epoch(both)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0] + 20, first[1])
    assert torch.equal(first[1:], epoch(alone))
    assert torch.equal(second[1:], epoch(alone))


def test_evaluation_keeps_the_order():
    assert torch.equal(epoch(TrialLoader("val", INPUTS, LABELS, ROWS, 4)).long(), ROWS)


def test_a_last_batch_of_one_joins_the_one_before():
    assert batches([1, 2], ROWS[:, :9]).bounds == [(0, 4), (4, 9)]
    assert batches([1, 2], ROWS[:, :1]).bounds == [(0, 1)]
    assert batches([1, 2], ROWS[:, :3], size=100).bounds == [(0, 3)]


def test_the_big_split_is_one_trial_over_all_big_images(digits: MNIST5k):
    split = place(BigDataModule(digits, batch_size=128, seed=0), digits)
    inputs, labels, *_ = next(iter(split.train_dataloader()))
    assert inputs.shape == (1, 128, 1, 28, 28)
    assert labels.max() == 4
    assert split.rows["train"].shape == (1, 2500)


def test_the_small_split_numbers_its_classes_from_0(digits: MNIST5k):
    split = place(SmallDataModule(digits, [0, 1, 2], batch_size=4), digits)
    assert split.labels[split.rows["train"]].tolist() == [[i // 20 for i in range(100)]] * 3
    assert torch.equal(split.images[split.rows["train"][1]], digits.sample(1)[0])
    (test,) = split.test_dataloader()
    assert sum(batch.labels.shape[1] for batch in test) == 1250
    assert {len(batch.inputs) for batch in test} == {1}  # shared by all trials


def test_curves_come_from_validation_and_if_wanted_from_test_images():
    data = MNIST5k(big=[0], small=[1, 3], test_per_class=250, val_per_class=5)
    both, one = (place(SmallDataModule(data, [0], 4, test_curve=test_curve), data) for test_curve in (True, False))
    assert [loader.split for loader in both.val_dataloader()] == ["val", "test"]
    assert [loader.split for loader in one.val_dataloader()] == ["val"]
    assert [loader.split for loader in one.test_dataloader()] == ["val", "test"]


def test_a_chunk_is_the_same_data_for_some_trials(digits: MNIST5k):
    split = place(SmallDataModule(digits, [0, 1, 2, 3], batch_size=4), digits)
    part = split.chunk(range(2, 4))
    assert part.seeds == [2, 3]
    whole = [batch.inputs[2:] for batch in split.train_dataloader()]
    for expected, batch in zip(whole, part.train_dataloader(), strict=True):
        assert torch.equal(batch.inputs, expected)
