import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from graft.training.metrics import EpochMetrics, class_balanced_metrics


def test_loss_and_accuracy_count_each_image_once():
    metrics = EpochMetrics()
    logits = torch.eye(3)[torch.tensor([[0, 1, 2, 2], [1, 1, 1, 1]])]  # two trials, predictions of four images
    labels, losses = torch.tensor([[0, 1, 2, 0], [0, 1, 0, 0]]), torch.arange(8.0).view(2, 4)
    for step in (slice(3), slice(3, 4)):  # steps of three images and of one
        metrics.add(losses[:, step], logits[:, step], labels[:, step])
    found = metrics.compute(by_class=False)
    assert found.metrics.keys() == {"loss", "accuracy"}
    torch.testing.assert_close(found.metrics["loss"], losses.mean(1))
    torch.testing.assert_close(found.metrics["accuracy"], torch.tensor([0.75, 0.25]))
    assert (found.correct.tolist(), found.images.tolist()) == ([3, 1], [4, 4])
    assert metrics.compute(by_class=True).metrics.keys() == {"loss", "accuracy", "balanced_accuracy", "macro_f1"}


def test_class_balanced_metrics_are_scikit_learn_s():
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (3, 50), generator=random).square() // 3  # uneven, and class 2 is rare
    predictions = torch.where(torch.rand(3, 50, generator=random) < 0.6, labels, 1)
    labels[2], predictions[2] = labels[2] // 3, 1  # classes that neither has
    found = class_balanced_metrics(predictions, labels, 5)
    for trial in range(3):
        truth, guess = labels[trial].numpy(), predictions[trial].numpy()
        assert found["balanced_accuracy"][trial].item() == pytest.approx(balanced_accuracy_score(truth, guess))
        assert found["macro_f1"][trial].item() == pytest.approx(f1_score(truth, guess, average="macro"))
