"""Weights of images, and the folds that are held out of them."""

import numpy as np

ClassWeight = dict[int, float] | str | None  # scikit-learn's argument

FOLDS = 5


def image_weights(y: np.ndarray, class_weight: ClassWeight) -> np.ndarray:
    """Return the weight of each image, (images,), from those of classes as scikit-learn has them."""
    from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight(class_weight, y)


def held_out(y: np.ndarray) -> np.ndarray:
    """Return whether each fold holds an image out, (folds, images): up to five folds, evenly over the classes.

    With a single image of some class there is nothing to fold, and there are no folds.
    """
    from sklearn.model_selection import StratifiedKFold  # takes a second, which other heads need not wait

    folds = min(FOLDS, int(np.bincount(y).min()))
    held = np.zeros((folds if folds > 1 else 0, len(y)), dtype=bool)
    if len(held):
        for fold, (_, out) in enumerate(StratifiedKFold(folds, shuffle=True, random_state=0).split(y, y)):
            held[fold, out] = True
    return held
