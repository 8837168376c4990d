import json
import os
from pathlib import Path

import pytest

from graft.results.job_files import check_result, read_history, read_json

FINE = {
    "trials": [{"seed": 0, "accuracy": 0.5, "val_accuracy": 0.25}, {"seed": 1, "accuracy": None, "error": "NaN"}],
    "config": {"dataset": {"draw": "first"}},
    "reference": {"low": 0.5, "high": 0.6, "source": "a paper"},
    "images": {"big": 3, "val": 4, "test": 8, "ignored": {".heic": 12}},
    "parameters": {"total": 10, "trainable": 1},
    "seconds": {"total": 1.5},
    "versions": {"graft": "0.1.0"},
}


def trial(**values: object) -> dict:
    return {**FINE, "trials": [{"seed": 0, "accuracy": 0.5, **values}]}


def test_a_result_and_the_first_format_are_taken():
    check_result(FINE)
    check_result({"trials": [{"seed": 3, "accuracy": 1}], "reference": None, "config": None})
    check_result(trial(correct=4, tested=8, val_accuracy=None))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (trial(accuracy=92.5), "its trials[0].accuracy is 92.5, expected a fraction from 0 to 1"),
        (trial(accuracy="0.9"), 'its trials[0].accuracy is "0.9", expected a fraction'),
        (trial(accuracy=-0.1), "its trials[0].accuracy is -0.1"),
        (trial(accuracy=True), "its trials[0].accuracy is true"),
        (trial(accuracy=10**400), "its trials[0].accuracy is 1000"),
        (trial(val_accuracy=93), "its trials[0].val_accuracy is 93"),
        (trial(seed=[0]), "its trials[0].seed is [0], expected a whole number"),
        (trial(seed=1.5), "its trials[0].seed is 1.5"),
        (trial(correct=4), "its trials[0].correct is 4, expected a part of the None tested images"),
        (trial(correct=9, tested=8), "its trials[0].correct is 9"),
        (trial(correct=7, tested=8), "its trials[0].accuracy is 0.5, expected 7 of 8 images"),
        (trial(correct=4.5, tested=9), "its trials[0].correct is 4.5, expected a whole number"),
        ({**FINE, "trials": FINE["trials"] * 2}, "it has seed 0 twice"),
        ({**FINE, "trials": None}, "it has no list of trials"),
        ({**FINE, "trials": {"0": 0.5}}, "it has no list of trials"),
        ({**FINE, "trials": [0.5]}, "a trial in it has no seed or no accuracy"),
        ({**FINE, "reference": {"low": 0.5}}, "its reference has no high"),
        ({**FINE, "reference": {"low": 50, "high": 60}}, "its reference.low is 50, expected a fraction"),
        ({**FINE, "reference": {"low": 0.6, "high": 0.5}}, "its reference.low is 0.6, expected at most"),
        ({**FINE, "reference": {"low": "a", "high": 0.5}}, 'its reference.low is "a"'),
        ({**FINE, "reference": [0.5, 0.6]}, "its reference is not a mapping"),
        ({**FINE, "images": {"test": "many"}}, 'its images.test is "many", expected a whole number'),
        ({**FINE, "images": {"test": -1}}, "its images.test is -1"),
        ({**FINE, "images": [8]}, "its images is not a mapping"),
        ({**FINE, "parameters": {"total": float("nan")}}, "its parameters.total is NaN"),
        ({**FINE, "seconds": {"total": "1 s"}}, 'its seconds.total is "1 s"'),
        ({**FINE, "config": [1]}, "its config is not a mapping"),
        ({**FINE, "config": {"dataset": "mnist"}}, "its config.dataset is not a mapping"),
        ({**FINE, "config": {"report": {"baseline": ["a"]}}}, 'its config.report.baseline is ["a"], expected a text'),
        ({**FINE, "versions": {"graft": "7.1"}}, "Graft 7.1 has written it, this is 0"),
    ],
)
def test_what_is_no_result_is_refused_with_the_field(result: dict, reason: str):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        check_result(result)
    assert str(refused.value).startswith(reason)


def test_what_is_no_file_of_json_is_refused(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "deep").write_text("[" * 10**5)
    (tmp_path / "list").write_text("[1]")
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    with (tmp_path / "large").open("wb") as large:
        large.truncate(2**27)
    reasons = {
        "folder": "it is a folder",
        "broken": "it is a link to a file that does not exist",
        "empty": r"it is no JSON \(damaged\?\): Expecting value",
        "bytes": r"it is no JSON \(damaged\?\): .*codec can.t decode",
        "deep": "it is nested too deeply",
        "list": "it is no mapping",
        "pipe": "it is no regular file",
        "large": "it has more than 64 MiB",
    }
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=reason):
            read_json(tmp_path / name)
    (tmp_path / "fine").write_text(json.dumps(FINE))
    assert read_json(tmp_path / "fine") == FINE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "No columns to parse"),
        ("trial,epoch,split,metric\n0,1,test,accuracy\n", "it has no column value"),
        (
            "trial,epoch,split,metric,value\n0,1,test,accuracy,high\n",
            "its column value has something else than numbers",
        ),
        ("trial,epoch,split,metric,value\n0,one,test,accuracy,0.5\n", "its column epoch has something else"),
        ("trial,epoch,split,metric,value\n0,1,test,accuracy,92.5\n", "an accuracy in it is 92.5, expected a fraction"),
        ("trial,epoch,split,metric,value\n0,1,test,accuracy,-1\n", "an accuracy in it is -1"),
        ("trial,epoch,split,metric,value\n0,1\n", "a row of it is incomplete"),
        ("trial,epoch,split,metric,value\n0,1,test,accuracy,0.5,7,8\n0,1,2,3,4,5,6,7,8,9\n", "Error tokenizing data"),
    ],
)
def test_a_damaged_history_is_refused_with_its_reason(tmp_path: Path, text: str, reason: str):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_history(tmp_path / "history.csv")


def test_the_history_of_a_trial_that_failed_has_missing_values(tmp_path: Path):
    rows = "0,1,test,accuracy,0.5\n0,1,test,loss,inf\n0,2,test,accuracy,\n"
    (tmp_path / "history.csv").write_text(f"trial,epoch,split,metric,value\n{rows}")
    table = read_history(tmp_path / "history.csv")
    assert table["value"].isna().tolist() == [False, True, True]
