"""Cases of features and labels on which every solved head is compared with scikit-learn's own estimator."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from graft.solvers.weights import ClassWeight


@dataclass
class Case:
    """Features, (images, features), with their labels and class weights, and other images."""

    features: torch.Tensor
    labels: torch.Tensor
    weight: ClassWeight
    others: torch.Tensor

    def standardized(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both features as scikit-learn standardizes them."""
        scaler = StandardScaler().fit(self.features.double().numpy())
        given = self.features.double().numpy(), self.others.double().numpy()
        return np.asarray(scaler.transform(given[0])), np.asarray(scaler.transform(given[1]))

    @property
    def y(self) -> np.ndarray:
        return self.labels.numpy()

    @property
    def sample_weight(self) -> np.ndarray:
        weight = self.weight
        counts = np.bincount(self.y)
        if weight == "balanced":
            return (len(self.y) / len(counts) / counts)[self.y]
        return np.array([weight[label] if isinstance(weight, dict) else 1.0 for label in self.y.tolist()])


def case(counts: list[int], width: int, weight: ClassWeight = None, plus: str = "") -> Case:
    """Return a case with some images of each class, some features, and what the name adds."""
    random = torch.Generator().manual_seed(len(counts) + width)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=random)]
    centres = torch.randn(len(counts), width, generator=random)
    mixing = torch.randn(width, width, generator=random) / width**0.5

    def images(classes: torch.Tensor) -> torch.Tensor:
        return 3 + 0.6 * centres[classes] + torch.randn(len(classes), width, generator=random) @ mixing

    features, others = images(labels), images(torch.arange(len(counts)).repeat(9))
    if plus == "constant":
        features[:, 3], others[:, 3] = 2.5, 2.5
    if plus == "constant in a class":
        features[labels == 1, 4] = features[labels == 1, 4].mean()
    if plus == "duplicates":
        features[:6] = features[0]
        others[0] = features[0]
    return Case(features, labels, weight, others)


CASES = {
    "fewer images than features": case([14, 9, 12], 60),
    "fewer features than images": case([40, 35], 8),
    "two classes, wide": case([13, 11], 90),
    "five classes": case([12, 10, 11, 9, 12], 30),
    "one image of a class": case([12, 1, 11], 40),
    "two images of a class": case([12, 2, 11], 40),
    "a constant feature": case([14, 9, 12], 60, plus="constant"),
    "a feature that is constant in a class": case([14, 9, 12], 20, plus="constant in a class"),
    "equal images": case([14, 9, 12], 60, plus="duplicates"),
    "balanced": case([30, 4, 11], 20, "balanced"),
    "weighted": case([30, 4, 11], 50, {0: 0.5, 1: 3.0, 2: 1.0}),
    "few of many classes": case([3, 3, 4, 3, 3, 4, 3], 100),
    "five features": case([20, 30], 5),
    "one feature": case([20, 30], 1),
    "one feature of three classes": case([15, 12, 13], 1),
    "one feature of few images": case([2, 1, 2], 1, "balanced"),
}
