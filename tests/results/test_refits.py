import json
from pathlib import Path
from typing import Any

import pytest

from graft.files import write_text
from graft.job_folder import RESULT
from graft.page.show import show_jobs
from graft.results.records import read_records
from graft.results.refits import in_words, is_refit, refit_of

KNOWN = {
    **{"of": "outputs/pets", "mean": 0.7333, "ci95": [0.674, 0.786], "ci95_holds": "for other images", "trials": 15},
    **{"small": 60, "small_per_class": 20, "jobs": 3, "corrected": 0.7284},
}


def result(count: int = 2, **estimate: Any) -> dict[str, Any]:
    refit = {"job": "outputs/pets/head=plain", "estimate": KNOWN | estimate}
    finished = [{"seed": seed, "epoch": 9} for seed in range(count)]
    return {"refit": refit, "trials": finished, "images": {"small": 1600}, "config": {"refit": "all"}, "accuracy": {}}


def test_a_refit_repeats_the_estimate_and_has_no_accuracy_of_its_own():
    made, known, corrected = in_words(result())
    assert made == (
        "a refit of outputs/pets/head=plain: 2 networks, each trained on all 1,600 labeled images of its classes, "
        "test images included; none is left that could measure its own accuracy"
    )
    assert known == (
        "its accuracy is the estimate of outputs/pets: 73.3 % (67.4 to 78.6 % for other images, 95 %), the mean of 15 "
        "single models trained on 20 images a class"
    )
    assert corrected.endswith("choice among 3 jobs by the images that it was measured on: 72.8 %")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"corrected": None, "trials": 1}, "73.3 % (67.4 to 78.6 % for other images, 95 %), one model trained on 20"),
        ({"corrected": None, "ci95": None}, "73.3 %, the mean of 15 single models"),
        ({"corrected": None, "small_per_class": None}, "trained on 60 images"),
        ({"corrected": None, "small_per_class": None, "small": None}, "trained on fewer images"),
    ],
)
def test_what_is_not_known_is_left_out(changed: dict[str, Any], words: str):
    _, known = in_words(result(**changed))
    assert words in known


def test_an_estimate_of_augmented_views_is_none_of_a_model_that_sees_each_image_once():
    *_, views = in_words(result(views=4))
    assert views == "the estimate is of the mean over 4 augmented views of each image; the refit sees each once"


def test_without_an_estimate_none_is_claimed():
    assert len(in_words(result(mean=None))) == 1
    failed = result()
    failed["trials"][0]["error"] = "the loss became NaN"
    assert "one network, trained on all 1,600" in in_words(failed)[0]


def test_a_report_says_that_it_is_a_refit_and_ranks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_text(tmp_path / "pets-refit" / RESULT, json.dumps(result()))
    assert refit_of(tmp_path / "pets-refit") == result()
    assert refit_of(tmp_path) is None
    assert not is_refit({"refit": None})
    records = read_records([tmp_path])
    assert (records.finished, records.failed, records.damaged) == ([], {}, {})
    assert show_jobs([tmp_path / "pets-refit"], tmp_path)
    said = capsys.readouterr().out
    assert said.startswith("not ranked pets-refit: a refit of outputs/pets/head=plain")
    assert "its accuracy is the estimate of outputs/pets" in said
    assert not list(tmp_path.glob("leaderboard.*"))
