import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from graft.training.metrics import class_balanced_metrics


def test_measures_by_class_are_scikit_learn_s():
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (3, 50), generator=random).square() // 3  # uneven, and class 2 is rare
    predictions = torch.where(torch.rand(3, 50, generator=random) < 0.6, labels, 1)
    labels[2], predictions[2] = labels[2] // 3, 1  # classes that neither has
    found = class_balanced_metrics(predictions, labels, 5)
    for trial in range(3):
        truth, guess = labels[trial].numpy(), predictions[trial].numpy()
        assert found["balanced_accuracy"][trial].item() == pytest.approx(balanced_accuracy_score(truth, guess))
        assert found["macro_f1"][trial].item() == pytest.approx(f1_score(truth, guess, average="macro"))
