from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from made_predictions import folded, made

from graft.page.examples import _mistaken_once, examples
from graft.page.pictures import Explained, PagePictures
from graft.results.records import Record

LABELS = np.arange(30) % 3


def explain(_: Record, numbers: Sequence[int]) -> Mapping[int, Explained]:
    return {number: Explained(b"", "dog") for number in numbers if number > 2}


@pytest.mark.parametrize("folds", [0, 3])
def test_of_folds_it_is_said_that_what_explains_may_have_trained_on_the_image(folds: int):
    wrong = np.stack([(LABELS + 1) % 3] * 2)
    found = folded(wrong, LABELS, folds, 2) if folds else made(wrong, LABELS)
    why = examples((Record("job", {}, Path(), label="job"), found), None, PagePictures(None, explain)).why
    assert "where the stored model of job looked" in why
    assert ("this model may have trained on an image" in why) == bool(folds)


def test_images_that_are_not_explained_are_counted():
    best = Record("job", {}, Path(), label="job"), made([(LABELS + 1) % 3] * 2, LABELS)
    assert "3 of 24 images are not explained" in examples(best, None, PagePictures(None, explain)).why
    nothing = PagePictures(None, lambda *_: {})
    expected = "The images are not explained, because they have changed since, or cannot be read."
    assert examples(best, None, nothing).why == expected


@pytest.mark.parametrize(("name", "shown"), [("سفينة", "\u2068سفينة\u2069"), ("Собака", "Собака")])
def test_a_name_from_right_to_left_does_not_turn_the_percentage_after_it(name: str, shown: str):
    row = {"class": "dog", "prediction": name, "probability": 0.88}
    assert _mistaken_once(row)[1] == f"predicted: {shown} (88\u00a0%)"
