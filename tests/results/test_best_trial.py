import pytest

from graft.results.best_trial import best_by, best_trial


def test_validation_images_choose_before_the_training_loss_and_test_images_never():
    results = {2: {"accuracy": 0.9, "epoch": 3}, 5: {"accuracy": 0.1, "epoch": 4}}
    losses = {2: 0.7, 5: 0.2}
    assert best_by(results.values()) == "train_loss"
    assert best_trial(results, losses.__getitem__) == 5
    validated = {place: {**result, "val_accuracy": 1 - losses[place] / 2} for place, result in results.items()}
    assert best_by(validated.values()) == "val_accuracy"
    assert best_trial(validated, {}.__getitem__) == 5
    with pytest.raises(KeyError):
        best_trial(results, {}.__getitem__)
