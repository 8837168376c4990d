import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graft.run.history import JobHistory


def history(*losses: float) -> JobHistory:
    """Return two chunks of one trial each, with these losses of the second trial after each epoch."""
    found = JobHistory()
    for epoch, loss in enumerate(losses, start=1):
        found.add(range(0, 1), {("train", "loss", epoch): torch.tensor([1 / epoch])})
        found.add(range(1, 2), {("train", "loss", epoch): torch.tensor([loss])})
    last = len(losses)
    for trial in range(2):
        values = {("test", "accuracy", last): torch.tensor([0.25 * (trial + 1)])}
        found.add(range(trial, trial + 1), {**values, ("val", "accuracy", last): torch.tensor([0.5])})
    return found


def test_each_trial_has_its_last_epoch_s_metrics():
    first, second = history(0.7, 0.1234567).trial_results([7, 8])
    assert first == {"seed": 7, "accuracy": 0.25, "val_accuracy": 0.5, "epoch": 2}
    assert (second["seed"], second["accuracy"]) == (8, 0.5)
    assert history(0.7, 0.1234567).train_loss(1, 2) == 0.123457


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_trial_whose_loss_is_no_number_failed_in_that_epoch(loss: float):
    _, failed = history(0.7, loss, 0.1).trial_results([7, 8])
    assert failed["epoch"] == 2
    assert failed["error"] == "the loss became NaN or infinite in epoch 2"
    assert failed["accuracy"] is None


def test_views_replace_the_images_alone():
    found = history(0.5)
    found.add(range(2), {("test_views", "accuracy", 1): torch.tensor([0.75, 0.875])})
    assert [result["accuracy"] for result in found.trial_results([0, 1])] == [0.75, 0.875]


def test_the_table_has_a_row_for_each_value_and_curves_are_redrawn_over_all_trials(tmp_path: Path):
    found = history(0.7, 0.1)
    table = found.table()
    assert len(table) == 8
    assert table.query("trial == 1 and split == 'train'")["value"].tolist() == pytest.approx([0.7, 0.1])
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events.old").touch()
    found.draw(tmp_path, ("train", "test"))
    assert not (tmp_path / "tensorboard" / "events.old").exists()
    points = EventAccumulator(str(tmp_path / "tensorboard" / tmp_path.name)).Reload().Scalars("loss/train/mean")
    assert [point.value for point in points] == pytest.approx([0.85, 0.3])
