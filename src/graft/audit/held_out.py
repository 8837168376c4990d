"""Folds that part no group: images that belong together are held out together."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def groups_of_classes(labels: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Return how many groups have images of each class, (classes,); one with images of two classes counts for both.

    Args:
        labels: of the images, (images,).
        together: a number for each image, the same for images of one group, (images,).
    """
    return np.bincount(np.unique(np.stack([labels, together]), axis=1)[0], minlength=int(labels.max(initial=-1)) + 1)


def folds_of(labels: np.ndarray, together: np.ndarray, most: int) -> np.ndarray:
    """Return each image's fold, (images,), such that the folds part no group and have similar shares of each class.

    Args:
        labels: of the images, (images,).
        together: a number for each image, the same for images of one group, (images,).
        most: number of folds; fewer if no class has as many groups, down to one.
    """
    num_folds = min(most, int(groups_of_classes(labels, together).max()))
    if num_folds < 2:
        return np.zeros(len(labels), dtype=int)
    _, first, group = np.unique(together, return_index=True, return_inverse=True)
    alike = (labels == labels[first][group]).all()  # each group is of one class: to divide groups is much faster
    if alike:
        parts = StratifiedKFold(num_folds, shuffle=True, random_state=0).split(first, labels[first])
    else:
        parts = StratifiedGroupKFold(num_folds, shuffle=True, random_state=0).split(labels, labels, together)
    fold = np.zeros(len(first) if alike else len(labels), dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer images than folds
        for number, (_, held_out) in enumerate(parts):
            fold[held_out] = number
    return fold[group] if alike else fold
