import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import graft
from graft.errors import GraftError

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = IMAGES / 16


def classifier(**settings: Any) -> graft.TransferClassifier:
    overrides = {"epochs": 8, "batch_size": 10, "lr": 0.003, "dropout": 0, "dataset.size": 16}
    return graft.TransferClassifier(
        **{"backbone": "cnn", "head": "plain", "source": "scratch", "overrides": overrides, **settings}
    )


def test_digits():
    found = classifier().fit(IMAGES[:400], LABELS[:400])
    assert found.score(IMAGES[400:800], LABELS[400:800]) > 0.7
    said = found.predict_proba(IMAGES[:7])
    assert said.shape == (7, 10)
    assert said.sum(1) == pytest.approx(np.ones(7))
    assert (pickle.loads(pickle.dumps(found)).predict_proba(IMAGES[:7]) == said).all()
    as_images = IMAGES[:7].reshape(7, 8, 8)
    assert (found.predict_proba(as_images) == said).all()
    dark = np.zeros((1, 8, 8))  # floats from 0 to 1, as in fit, although their largest value does not say so
    assert found.predict(dark).shape == (1,)


def test_texts_are_labels_and_classes_may_have_few_images():
    names = np.array(["ten", "nine", "ten", "ten", "two"])
    found = classifier().fit(IMAGES[:5], names)
    assert list(found.classes_) == ["nine", "ten", "two"]
    assert set(found.predict(IMAGES[:5])) <= set(names)


def test_an_unfitted_classifier_says_so():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        classifier().predict(IMAGES[:5])


def test_rows_that_are_no_images_are_refused():
    with pytest.raises(GraftError, match="rows of 10 values are no squares"):
        classifier().fit(IMAGES[:5, :10], LABELS[:5])
    with pytest.raises(GraftError, match=r"no images of image_shape=\(5, 5\)"):
        classifier(image_shape=(5, 5)).fit(IMAGES[:5], LABELS[:5])
    with pytest.raises(GraftError, match="what is white is unclear"):
        classifier().fit(16 * IMAGES[:5], LABELS[:5])
    with pytest.raises(ValueError, match="one class"):
        classifier().fit(IMAGES[:5], np.ones(5))


def test_parameters_are_scikit_learn_s():
    one = classifier(random_state=3)
    again: Any = clone(one)
    assert again.get_params() == one.get_params()
    assert one.set_params(head="dense512").head == "dense512"


# scikit-learn's checks have normally distributed numbers in rows of any length. Scaled to 0..1, and with zeros behind
# them up to 16, they are images of 4x4 pixels.
FAILS = {
    "check_n_features_in_after_fitting": "the first step of a pipeline checks it",
    "check_estimators_overwrite_params": "a pipeline fits its steps in place",
    "check_dont_overwrite_parameters": "a pipeline fits its steps in place",
}


class Squares(TransformerMixin, BaseEstimator):  # a function's name would have its address, which differs by process
    """Makes rows of any length images of 4x4 pixels."""

    def fit(self, rows: np.ndarray, labels: np.ndarray | None = None) -> "Squares":
        return self

    def transform(self, rows: np.ndarray) -> np.ndarray:
        return np.pad(rows[:, :16], ((0, 0), (0, max(0, 16 - rows.shape[1]))))


def pipeline() -> Pipeline:
    steps = [("unit", MinMaxScaler(clip=True)), ("squares", Squares()), ("transfer", classifier())]
    return Pipeline(steps)


@pytest.mark.slow
@parametrize_with_checks([pipeline()], expected_failed_checks=lambda _: FAILS)
def test_scikit_learn_s_checks(estimator: Pipeline, check: Callable[[Pipeline], None]):
    check(estimator)
