import pytest

from graft.results.best_trial import best_by, best_trial

SOLVED = {"head": {"_target_": "graft.head.Logistic"}}


def test_validation_images_choose_before_the_training_loss_and_test_images_never():
    results = {2: {"accuracy": 0.9, "epoch": 3}, 5: {"accuracy": 0.1, "epoch": 4}}
    losses = {2: 0.7, 5: 0.2}
    assert best_by(results.values(), {}) == "train_loss"
    assert best_trial(results, losses.__getitem__, {}) == 5
    validated = {place: {**result, "val_accuracy": 1 - losses[place] / 2} for place, result in results.items()}
    assert best_by(validated.values(), SOLVED) == "val_accuracy"
    assert best_trial(validated, {}.__getitem__, SOLVED) == 5
    with pytest.raises(KeyError):
        best_trial(results, {}.__getitem__, {})


def test_without_validation_images_the_first_trial_stands_for_solved_heads_whose_training_losses_say_nothing():
    results = {2: {"accuracy": 0.1, "epoch": 1}, 5: {"accuracy": 0.9, "epoch": 1}}
    assert best_by(results.values(), SOLVED) == "first"
    assert best_trial(results, {2: 0.7, 5: 0.2}.__getitem__, SOLVED) == 2
