"""A scikit-learn classifier of images: a transfer with one trial, trained on all images that it gets."""

import logging
import math
import tempfile
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from graft.api.data import Data
from graft.api.given_labels import may_be_endless, plain
from graft.api.jobs import start
from graft.api.overrides import Overrides, as_words, is_sweep
from graft.api.pixels import as_array, as_bytes, is_unit
from graft.api.session import quiet_libraries
from graft.api.stored_images import store_arrays
from graft.errors import GraftError
from graft.nouns import counted

# All images and classes of `fit`, whatever an experiment= has.
ALL_IMAGES = {
    "big": "rest",
    "small": "all",
    "short": "use",
    "small_total": None,
    "test_per_class": None,
    "folds": None,
    "exclude": None,
}


class TransferClassifier(ClassifierMixin, BaseEstimator):
    """A transfer as scikit-learn has classifiers: for pipelines, grid searches and cross-validations of its own.

    It trains one trial on all images of `fit`; `graft.compare` measures what a transfer is worth.

    Args:
        backbone: an option in conf/backbone/.
        head: an option in conf/head/.
        source: an option in conf/source/: where the backbone's weights come from.
        image_shape: (height, width), (height, width, channels) or (channels, height, width) of flat rows; None: rows
            are square images.
        overrides: of any other key, as `graft.run` takes them, one value each.
        random_state: the trial's seed.

    Attributes:
        classes_: the labels, sorted, (classes,).
        n_features_in_: number of values of an image.
        model_: the trained model, a `graft.Model`.
        unit_: whether pixels are from 0 to 1, rather than to 255; found in `fit`.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> import graft
        >>> images, labels = load_digits(return_X_y=True)  # rows of 64 values from 0 to 16
        >>> settings = {"epochs": 3, "dataset.size": 28}
        >>> classifier = graft.TransferClassifier("cnn", "plain", "scratch", overrides=settings)
        >>> classifier.fit(images[:300] / 16, labels[:300]).predict_proba(images[300:305] / 16).shape
        (5, 10)
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        head: str = "logistic",
        source: str = "imagenet",
        image_shape: tuple[int, ...] | None = None,
        overrides: Overrides | None = None,
        random_state: int = 0,
    ):
        self.backbone = backbone
        self.head = head
        self.source = source
        self.image_shape = image_shape
        self.overrides = overrides
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train on images.

        Args:
            X: images, as `graft.arrays` takes them, or flat rows of them, (images, values).
            y: their labels, (images,).

        Raises:
            GraftError: they are no images, or the configuration cannot work.
            ValueError: labels and images are not of one number, or there is one class only.
        """
        values = self._checked(X)
        if may_be_endless(y):
            raise GraftError(f"y must be an array or a list, one label for each image, got {type(y).__name__}")
        labels = column_or_1d(y, warn=True)
        check_consistent_length(values, labels)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs at least two classes, got one class: {plain(self.classes_[0])!r}")
        self.n_features_in_ = math.prod(values.shape[1:])
        images = self._images(values)
        self.unit_ = is_unit(images)
        pixels = as_bytes(images, self.unit_)
        names, firsts = [str(number) for number in numbers], np.unique(numbers, return_index=True)[1]
        with tempfile.TemporaryDirectory() as folder:
            # A job tests something: one image of each class, whose accuracy is not used.
            parts = [("train", pixels, names), ("test", pixels[firsts], [names[first] for first in firsts])]
            root = store_arrays(parts, Path(folder))
            most = int(np.bincount(numbers).max())
            data = Data("arrays", {"root": root, "small_per_class": most, **ALL_IMAGES})
            words = [*data.words(), *self._words(Path(folder))]
            with quiet_libraries({"graft": logging.ERROR}):  # that a class has fewer images than the largest
                self.model_ = start(words, False, Path(folder) / "job").best.model()
        return self

    def _words(self, folder: Path) -> list[str]:
        settings = {
            "backbone": self.backbone,
            "head": self.head,
            "source": self.source,
            "trials": 1,
            "seed": self.random_state,
            "test_curve": False,
            "keep_weights": "whole",  # the folder is removed after the fit
            "cache": folder / "cache",
        }
        typed = as_words(self.overrides or ())
        own_keys = {*settings, "dataset", *(f"dataset.{key}" for key in ("root", "small_per_class", *ALL_IMAGES))}
        own = [word for word in typed if word.lstrip("+~").partition("=")[0] in own_keys]
        if own:
            raise GraftError(
                f"overrides= has {own[0]}, which TransferClassifier sets itself; it has one trial of all images, and "
                "its arguments are backbone=, head=, source= and random_state=; graft.run takes any key"
            )
        if is_sweep(typed):
            raise GraftError(
                f"overrides= asks for several jobs ({' '.join(typed)}), and one is fitted; try one value of each key, "
                'or GridSearchCV(classifier, {"overrides": [{"lr": 0.1}, {"lr": 0.01}]})'
            )
        return as_words(settings) + typed

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return each class's probability for images, (images, classes), which sum to 1; `X` as for `fit`."""
        check_is_fitted(self)
        values = self._checked(X)
        if math.prod(values.shape[1:]) != self.n_features_in_:
            raise ValueError(
                f"X has {math.prod(values.shape[1:])} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        images = self._images(values)
        if not self.unit_ and 0 < images.max() <= 1 and (images % 1).any():
            raise GraftError("the images of fit were from 0 to 255, and these are from 0 to 1; try 255 * images")
        found = self.model_.probabilities(as_bytes(images, self.unit_)).mean(0).double().numpy()
        by_class = found[:, np.argsort([int(name) for name in self.model_.classes])]
        return by_class / by_class.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each image, (images,); `X` as for `fit`."""
        found = self.predict_proba(X)  # first, as it says if nothing was fitted
        return self.classes_[found.argmax(1)]

    def _checked(self, X: Any) -> np.ndarray:
        """Return images as a numeric array of two dimensions or more."""
        if isinstance(X, list | tuple) and any(isinstance(each, str | Path) for each in X):
            raise GraftError(
                "images must be arrays or Pillow's pictures, got names of files; try [PIL.Image.open(name) for name in "
                'names] with pictures of one size, or graft.compare(graft.image_folder("photos"))'
            )
        given = X if issparse(X) or (hasattr(X, "__array__") and not hasattr(X, "detach")) else None
        if given is None and isinstance(X, list | tuple) and len(X) and not hasattr(X[0], "mode"):
            given = X
        return check_array(as_array(X) if given is None else given, allow_nd=True, dtype="numeric", estimator=self)

    def _images(self, values: np.ndarray) -> np.ndarray:
        """Return flat rows as images; images as they are.

        Raises:
            GraftError: the rows have another number of values.
        """
        if values.ndim > 2:
            return values
        count, shape = values.shape[1], self.image_shape
        if shape is not None and not (isinstance(shape, tuple | list) and all(isinstance(n, Integral) for n in shape)):
            raise GraftError(
                f"image_shape must be two or three whole numbers, got {plain(shape)!r}; try image_shape=(28, 28)"
            )
        if shape is None:
            side = math.isqrt(count)
            if side * side != count:
                raise GraftError(f"rows of {counted(count, 'value')} are no squares; try image_shape=(HEIGHT, WIDTH)")
            shape = (side, side)
        if math.prod(shape) != count:
            raise GraftError(f"rows of {counted(count, 'value')} are no images of image_shape={plain(tuple(shape))}")
        return values.reshape(len(values), *shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags
