import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endless import Endless
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import graft
from graft.api.jobs import start
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


def test_an_experiment_chooses_no_images(monkeypatch: pytest.MonkeyPatch):
    counts = []

    def kept(*given: Any) -> graft.Answer:  # the folder of the job is removed after the fit
        answer = start(*given)
        counts.append(answer.best.result["images"]["small"])
        return answer

    monkeypatch.setattr("graft.api.classifier.start", kept)
    own = {"epochs": 1, "dropout": 0, "dataset.size": 16, "experiment": "lecture_mnist_scratch"}  # of 100 images
    classifier(overrides=own).fit(IMAGES[:150], LABELS[:150])
    assert counts == [150]


def test_an_unfitted_classifier_says_so():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        classifier().predict(IMAGES[:5])


def test_labels_without_an_end_are_refused():
    with pytest.raises(GraftError, match="y must be an array or a list, one label for each image, got Endless"):
        classifier().fit(IMAGES[:5], Endless(5))


def test_rows_that_are_no_images_are_refused():
    with pytest.raises(GraftError, match="rows of 10 values are no squares"):
        classifier().fit(IMAGES[:5, :10], LABELS[:5])
    with pytest.raises(GraftError, match=r"no images of image_shape=\(5, 5\)"):
        classifier(image_shape=(5, 5)).fit(IMAGES[:5], LABELS[:5])
    with pytest.raises(GraftError, match="what is white is unclear"):
        classifier().fit(16 * IMAGES[:5], LABELS[:5])
    with pytest.raises(ValueError, match=r"got one class: 1\.0$"):
        classifier().fit(IMAGES[:5], np.ones(5))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trials": 3}, "overrides= has trials=3, which TransferClassifier sets itself; it has one trial"),
        (["seed=4"], "random_state="),
        ({"dataset.small": (0, 1)}, r"has dataset.small=\[0,1\], which TransferClassifier sets itself"),
        (["dataset.small_per_class=1"], "it has one trial of all images"),
        (["++dataset.exclude=audit.csv"], "it has one trial of all images"),
        (["~dataset.small"], "it has one trial of all images"),
        ({"dataset": "mnist"}, "has dataset=mnist"),
        ({"backbone": "cnn"}, "overrides= has backbone=cnn"),
        (
            {"lr": [0.1, 0.01]},
            r"several jobs \(lr=0.1,0.01\), and one is fitted; try one value of each key",
        ),
        ({"sweep": "optuna"}, "several jobs"),
    ],
)
def test_overrides_that_are_no_single_fit_are_refused(overrides: Any, message: str):
    with pytest.raises(GraftError, match=message):
        classifier(overrides=overrides).fit(IMAGES[:5], LABELS[:5])


def test_an_image_shape_is_whole_numbers():
    for shape in (8, "8x8", (8.0, 8.0)):
        with pytest.raises(GraftError, match="image_shape must be two or three whole numbers, got"):
            classifier(image_shape=shape).fit(IMAGES[:5].reshape(5, -1), LABELS[:5])


def test_names_of_files_are_refused_with_what_to_do():
    for names in (["a.png", "b.png"], (Path("a.png"), Path("b.png"))):
        with pytest.raises(GraftError, match=r"got names of files; try \[PIL\.Image\.open\(name\) for name in names\]"):
            classifier().fit(names, [0, 1])


def test_parameters_are_scikit_learn_s():
    one = classifier(random_state=3)
    again: Any = clone(one)
    assert again.get_params() == one.get_params()
    assert one.set_params(head="dense512").head == "dense512"


# These of scikit-learn's checks fit rows of any length, or values of any size: no images, and refused as such.
NO_SQUARES = """
check_fit_score_takes_y check_dtype_object check_estimators_nan_inf check_supervised_y_2d check_estimators_dtypes
check_estimators_overwrite_params check_dont_overwrite_parameters check_estimators_fit_returns_self check_n_features_in
check_readonly_memmap_input check_pipeline_consistency check_estimators_pickle check_f_contiguous_array_estimator
check_classifier_data_not_an_array check_classifiers_classes check_classifiers_train check_dict_unchanged
check_methods_sample_order_invariance check_methods_subset_invariance check_fit_idempotent check_fit_check_is_fitted
check_fit2d_predict1d check_fit_non_negative
"""
NO_SHADES = "check_n_features_in_after_fitting check_positive_only_tag_during_fit check_fit2d_1feature"
FAILS: dict[str, str] = dict.fromkeys(NO_SQUARES.split(), "rows of . values are no squares")
FAILS |= dict.fromkeys(NO_SHADES.split(), "what is white is unclear")


def test_scikit_learn_s_checks_fail_only_where_their_rows_are_no_images():
    found = check_estimator(classifier(), expected_failed_checks=FAILS, on_fail=None, on_skip=None)
    failed = {each["check_name"]: str(each["exception"]) for each in found if each["status"] in ("failed", "xfail")}
    assert failed.keys() == FAILS.keys()
    for name, said in failed.items():
        assert re.search(FAILS[name] + "|rows of 10 values", said), name
    assert sum(each["status"] == "passed" for each in found) > 20


class OfRows(graft.TransferClassifier):
    """Makes such rows images of 4x4 pixels from 0 to 1, so that all checks can be run."""

    def _images(self, values: np.ndarray) -> np.ndarray:
        scaled = 0.5 + np.arctan(values.astype(float) / 2) / np.pi
        return np.pad(scaled[:, :16], ((0, 0), (0, max(0, 16 - values.shape[1])))).reshape(-1, 4, 4)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = False
        return tags


@pytest.mark.slow
@parametrize_with_checks([OfRows(**classifier().get_params())])
def test_scikit_learn_s_checks_on_images(estimator: OfRows, check: Callable[[OfRows], None]):
    check(estimator)


def test_images_from_0_to_1_are_refused_after_a_fit_from_0_to_255():
    overrides = {"epochs": 1, "dataset.size": 16}
    found = classifier(overrides=overrides).fit((255 * IMAGES[:20]).astype(np.uint8), LABELS[:20])
    with pytest.raises(GraftError, match=r"of fit were from 0 to 255, and these are from 0 to 1; try 255 \* images"):
        found.predict(IMAGES[:5])
    assert found.predict(255 * IMAGES[:5]).shape == (5,)
    assert found.predict(np.zeros((1, 64))).shape == (1,)
