import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from plain_loop import frozen_network, stopped_by_hand, trained
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.heads.head import Plain
from graft.run.make_plan import make_plan
from graft.training.final_weights import AverageWeights

Run = Callable[..., dict]


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


SHORT = ("trials=4", "epochs=30", "source.epochs=3", "dropout=0", "dataset.val_per_class=10", "lr=0.003")


@pytest.mark.parametrize(
    ("patience", "weights", "at_once"),
    [
        ("3", "best", "3"),
        pytest.param("3", "last", "auto", marks=pytest.mark.slow),
        pytest.param("null", "best", "1", marks=pytest.mark.slow),
    ],
)
def test_each_trial_ends_as_in_a_plain_loop(run: Run, tmp_path: Path, patience: str, weights: str, at_once: str):
    result = run(*SHORT, f"stop.patience={patience}", f"weights={weights}", f"trials_at_once={at_once}")
    digits = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], val_per_class=10, test_per_class=250)
    history, learned = pandas.read_csv(tmp_path / "job" / "history.csv"), trained(tmp_path / "job")
    lasts = set()
    for trial, found in enumerate(result["trials"]):
        network = frozen_network(tmp_path / "cache", trial, lambda: Plain(1600, 5))
        settings = (None if patience == "null" else int(patience), weights == "best", 3e-3)
        kept, epoch, last = stopped_by_hand(digits, trial, network, 30, *settings)
        assert found["epoch"] == epoch
        lasts.add(last)
        rows = history.query(f"trial == {trial}")
        for split in ("train", "val", "test"):
            epochs = rows.query(f"split == '{split}' and metric == 'loss'")["epoch"].tolist()
            assert epochs == list(range(1, last + 1))
        for name, value in zip(("weight", "bias"), list(kept.values())[-2:], strict=True):
            (found_value,) = (each for key, each in learned.items() if key.endswith(name))
            torch.testing.assert_close(found_value[trial], value, rtol=1e-3, atol=1e-5)
        network.load_state_dict(kept)
        with torch.no_grad():
            right = network(digits.images.pixels[digits.test].float() / 255).argmax(1)  # type: ignore[attr-defined]
        assert found["correct"] == int((right == digits.images.labels[digits.test] // 2).sum())
        at_end = rows.query(f"epoch == {epoch} and metric == 'accuracy' and split != 'train'")
        assert at_end["value"].tolist() == pytest.approx([found["accuracy"], found["val_accuracy"]], abs=1e-6)
    assert len(lasts) > (patience != "null")


@pytest.mark.slow
def test_where_a_trial_ends_does_not_depend_on_its_neighbors(run: Run, tmp_path: Path):
    words = ("source.epochs=3", "dataset.val_per_class=10", "lr=0.003", "epochs=6", "regularize.ema=0.5")
    words = (*words, "tune=thaw", "tune.lr=0.003", "tune.epochs=8", "stop.patience=1", "weights=best")
    among, alone = run(*words, "trials=4", name="among"), run(*words, "trials=1", "seed=2", name="alone")
    ends = [trial["epoch"] for trial in among["trials"]]
    assert len(set(ends)) > 1
    assert min(ends) > 6  # the second phase's epochs follow those that were planned for the first
    exact = ("seed", "epoch", "correct", "val_correct")
    assert {key: alone["trials"][0][key] for key in exact} == {key: among["trials"][2][key] for key in exact}
    histories = [pandas.read_csv(tmp_path / name / "history.csv") for name in ("among", "alone")]
    first, second = (
        table.query("trial == @trial").drop(columns="trial").reset_index(drop=True)
        for table, trial in zip(histories, (2, 0), strict=True)
    )
    pandas.testing.assert_frame_equal(first, second, atol=1e-4)
    both = (trained(tmp_path / name) for name in ("among", "alone"))
    for one, other in zip(*(weights.values() for weights in both), strict=True):
        torch.testing.assert_close(one[2], other[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["stop.patience=3"], r"stop\.patience must be null without validation images.*dataset\.val_per_class=20"),
        (["weights=best"], r"weights must be last without validation images"),
        (["weights=best", "head=ridge", "dataset.val_per_class=9"], r"weights must be last with head=ridge"),
        (["stop.patience=3", "head=logistic", "dataset.val_per_class=9"], r"stop\.patience must be null with head"),
        (
            ["stop.patience=0", "dataset.val_per_class=9"],
            r"stop\.patience must be null or a whole number of at least 1",
        ),
        (["stop.min_delta=-1"], r"stop\.min_delta must be"),
        (["weights=first"], r"weights must be last or best"),
        (
            ["weights=best", "dataset.val_per_class=9", "+trainer.val_check_interval=0.5"],
            r"trainer\.val_check_interval must be 1\.0 with stop\.patience or weights=best",
        ),
    ],
)
def test_what_cannot_end_trials_is_refused_before_training(
    configure: Callable[..., DictConfig], overrides: list[str], fault: str
):
    with pytest.raises(GraftError, match=fault):
        make_plan(configure(*overrides))


@pytest.mark.slow
def test_a_smaller_improvement_than_min_delta_does_not_count(run: Run):
    words = ("trials=2", "source.epochs=1", "epochs=8", "dataset.val_per_class=5", "stop.patience=2")
    assert [trial["epoch"] for trial in run(*words, "stop.min_delta=9", name="a")["trials"]] == [3, 3]
    assert [trial["epoch"] for trial in run(*words, name="b")["trials"]] == [8, 8]


@pytest.mark.slow
def test_a_fit_that_is_cut_short_is_a_trial_run_and_one_that_ends_early_is_none(run: Run):
    words = ("trials=2", "source.epochs=1", "epochs=8", "dataset.val_per_class=5")
    assert "trial_run" not in run(*words, "stop.patience=1", "stop.min_delta=9", name="a")
    (reason,) = run(*words, "stop.patience=3", "+trainer.max_steps=50", name="b")["trial_run"][-1:]
    assert reason == "the training saw 200 of 800 images (100 in each of 8 epochs)"
