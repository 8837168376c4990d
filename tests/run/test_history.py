import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graft.errors import GraftError
from graft.run.history import JobHistory, check_weights, warn_of_better_phases
from graft.training.metrics import Pass, TrialRecord


def record(split: str, epoch: int, correct: list[int], images: list[int], **metrics: list[float]) -> TrialRecord:
    """Return the record of one pass, with each trial's numbers."""
    found, values = TrialRecord(len(images)), {name: torch.tensor(each) for name, each in metrics.items()}
    everyone = torch.ones(len(images), dtype=torch.bool)
    found.add(split, epoch, Pass(values, torch.tensor(correct), torch.tensor(images)), everyone)
    return found


def history(*losses: float) -> JobHistory:
    """Return two chunks of one trial each, with these losses of the second trial after each epoch."""
    found, last = JobHistory(), len(losses)
    for trial in range(2):
        one = range(trial, trial + 1)
        for epoch, loss in enumerate(losses, start=1):
            found.add(one, record("train", epoch, [1], [20], loss=[loss if trial else 1 / epoch]), last)
        found.add(one, record("test", last, [2 * trial + 1], [6], accuracy=[(2 * trial + 1) / 6]), last)
        found.add(one, record("val", last, [2], [4], accuracy=[0.5]), last)
    return found


def test_each_trial_has_its_last_epoch_s_metrics():
    first, second = history(0.7, 0.1234567).trial_results([7, 8])
    # The accuracies are quotients of counts, not the six digits of a 32-bit float.
    counts = {"correct": 1, "tested": 6, "val_correct": 2, "val_tested": 4}
    assert first == {"seed": 7, "accuracy": 1 / 6, "val_accuracy": 0.5, **counts, "epoch": 2}
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
    found.add(range(2), record("test_views", 1, [4, 5], [6, 6], accuracy=[2 / 3, 5 / 6]), 1)
    assert [result["accuracy"] for result in found.trial_results([0, 1])] == [4 / 6, 5 / 6]
    assert [result["correct"] for result in found.trial_results([0, 1])] == [4, 5]


def test_images_are_those_that_the_last_passes_saw():
    found = history(0.5)
    assert found.image_counts() == {"small": 20, "val": 4, "test": 6}
    found.add(range(1, 2), record("train", 1, [1], [8]), 1)
    assert found.image_counts()["small"] == 8


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


@pytest.mark.parametrize(("last", "said"), [(0, ""), (1, ""), (2, "1 of 2 trials had a lower validation loss in an")])
def test_a_lower_loss_in_an_earlier_phase_than_that_of_the_best_weights_is_told(
    last: int, said: str, caplog: pytest.LogCaptureFixture
):
    found = history(0.5)
    for epoch, losses in enumerate(([0.9, 0.8], [0.7, 0.2], [0.5, 0.6]), start=1):
        found.add(range(2), record("val", epoch, [2, 2], [4, 4], loss=losses), 3)
    warn_of_better_phases(found, found.trial_results([0, 1]), last)
    assert len(caplog.messages) == bool(said)
    assert not said or caplog.messages[0].startswith(said)


def test_weights_that_no_test_has_seen_are_numbers():
    results, fine = [{"seed": 3}, {"seed": 4}, {"seed": 5, "error": "the loss became NaN"}], torch.ones(2)
    broken = {"weight": torch.tensor([1.0, math.nan])}
    check_weights(results, {0: {"weight": fine}, 1: {"weight": fine}, 2: broken})
    with pytest.raises(
        GraftError, match="weights of seeds 4 have become NaN or infinite at the end; try a smaller lr="
    ):
        check_weights(results, {0: {"weight": fine}, 1: broken, 2: broken})
