"""The best of some solved heads, chosen inside each trial's training images: what trained heads have to beat."""

import numpy as np
import torch

from graft.heads.head import SolvedHead, numbered
from graft.heads.solved_head import LDA, NearestMean
from graft.model.stages import Weights
from graft.solvers.weights import ClassWeight, held_out, image_weights

CANDIDATES: dict[str, type[SolvedHead]] = {"lda": LDA, "nearest_mean": NearestMean}
CHOSEN = "chosen"  # in the head's state: the place of the candidate that it is


class BestSolved(SolvedHead):
    """The candidate that has most training images right in up to 5 folds of them; of equals the first one.

    The candidates are linear discriminant analysis and the nearest mean: those that take little time and become one
    linear layer. Test and validation images choose nothing. With a single image of some class there is
    nothing to fold, and the first candidate is taken. With class weights, right images count by them, and the nearest
    mean, which has none, is no candidate.

    Attributes:
        chosen: the candidate's place.
    """

    chosen: torch.Tensor

    def __init__(self, num_features: int, num_classes: int):
        super().__init__(num_features, num_classes)
        self.register_buffer(CHOSEN, torch.tensor(0))

    @classmethod
    def fit(cls, features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> Weights:
        place = best_candidate(features, labels, class_weight)
        state = list(CANDIDATES.values())[place].fit(features, labels, class_weight)
        return state | {CHOSEN: torch.tensor(place)}


def best_candidate(features: torch.Tensor, labels: torch.Tensor, class_weight: ClassWeight = None) -> int:
    """Return the place of the best candidate; arguments as for `graft.head.SolvedHead.fit`."""
    y = numbered(labels)
    weights, right = image_weights(y, class_weight), np.zeros(len(CANDIDATES))
    for held in held_out(y):
        # On the CPU, because features may be on a GPU while labels are not.
        own, others = (torch.from_numpy(np.flatnonzero(mask)) for mask in (~held, held))
        for place, head in enumerate(CANDIDATES.values()):
            if class_weight is not None and head is NearestMean:
                continue
            layer = head.fit(features[own], labels[own], class_weight)
            said = features[others].float().cpu() @ layer["0.weight"].T + layer["0.bias"]
            right[place] += weights[held][said.argmax(1).numpy() == y[held]].sum()
    return int(right.round(9).argmax())


def candidate(head: Weights) -> str | None:
    """Return the option of the candidate that a head's state is; None if it is another head's.

    Args:
        head: the state of a trial's network, by names within the network.
    """
    place = head.get(f"head.{CHOSEN}")
    return None if place is None else list(CANDIDATES)[int(place)]
