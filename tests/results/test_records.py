import json
import math
from pathlib import Path

import pytest
from stored_jobs import store_job

from graft.errors import GraftError
from graft.results.records import read_records


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def trials(*accuracies: float) -> list[dict]:
    return [{"seed": seed, "accuracy": accuracy} for seed, accuracy in enumerate(accuracies)]


def test_each_folder_is_a_finished_failed_or_pruned_job(tmp_path: Path):
    write(tmp_path / "fine" / "result.json", {"trials": trials(0.5, 0.6)})
    write(tmp_path / "broken" / "failure.json", {"error": "no space left"})
    write(tmp_path / "hopeless" / "pruned.json", {"epoch": 20, "trials": 2, "val_accuracy": 0.314})
    records = read_records([tmp_path])
    (record,) = records.finished
    assert (record.name, record.label, record.folder) == ("fine", "fine", tmp_path / "fine")
    assert record.accuracies() == {0: 0.5, 1: 0.6}
    assert records.failed == {"broken": "no space left"}
    assert records.pruned == {"hopeless": "at epoch 20, validation accuracy 31.4 %"}
    assert records.damaged == {}


def test_a_failure_counts_more_than_a_result_and_a_result_more_than_a_pruning(tmp_path: Path):
    for name in ("failed", "finished"):
        write(tmp_path / name / "result.json", {"trials": trials(0.5)})
        write(tmp_path / name / "pruned.json", {"epoch": 1, "val_accuracy": 0.1})
    write(tmp_path / "failed" / "failure.json", {"error": "why"})
    records = read_records([tmp_path])
    assert [record.name for record in records.finished] == ["finished"]
    assert records.failed == {"failed": "why"}
    assert list(records.pruned) == ["failed"]


def test_a_trial_run_is_left_out_with_its_reason_unless_the_job_has_a_result_too(tmp_path: Path):
    for name in ("both", "cut"):
        write(tmp_path / name / "trial_run.json", {"trials": trials(0.9), "trial_run": ["the test saw 40 of 1,250"]})
    write(tmp_path / "both" / "result.json", {"trials": trials(0.5)})
    records = read_records([tmp_path])
    assert [record.name for record in records.finished] == ["both"]
    assert records.failed == {"cut": "a trial run: the test saw 40 of 1,250"}


def test_trials_without_an_accuracy_are_left_out_and_a_job_without_any_has_failed(tmp_path: Path):
    one = [*trials(0.5), {"seed": 7, "accuracy": None, "error": "the loss became NaN"}]
    write(tmp_path / "one" / "result.json", {"trials": one})
    write(tmp_path / "none" / "result.json", {"trials": trials(math.nan, math.inf)})
    records = read_records([tmp_path])
    assert [record.accuracies() for record in records.finished] == [{0: 0.5}]
    assert records.failed == {
        "none": "none of its trials finished",
        "one, trial of seed 7": "the loss became NaN",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"trials": [{', "it is no JSON (damaged?): Expecting property name"),
        ("[]", "it is no mapping"),
        ('{"trials": []}', "it has no list of trials"),
        ('{"trials": [{"seed": 0}]}', "a trial in it has no seed or no accuracy"),
        ('{"trials": [{"seed": 0, "accuracy": 1}], "config": 3}', "its config is not a mapping"),
    ],
)
def test_a_damaged_result_is_named_with_its_reason(tmp_path: Path, text: str, reason: str):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "result.json").write_text(text)
    records = read_records([tmp_path])
    assert records.finished == []
    assert records.damaged["half/result.json"].startswith(reason)


def test_damaged_failures_prunings_and_trial_runs_are_named_too(tmp_path: Path):
    write(tmp_path / "a" / "failure.json", {})
    write(tmp_path / "b" / "pruned.json", [])
    write(tmp_path / "c" / "trial_run.json", {"trial_run": 3})
    write(tmp_path / "d" / "trial_run.json", {})
    assert read_records([tmp_path]).damaged == {
        "a/failure.json": "it has no error",
        "b/pruned.json": "it is no mapping",
        "c/trial_run.json": "its trial_run is 3, expected a list of reasons",
        "d/trial_run.json": "it has no trial_run",
    }


def test_folders_inside_each_other_count_once_and_names_begin_where_all_part(tmp_path: Path):
    for name in ("first/plain", "second/plain"):
        write(tmp_path / name / "result.json", {"trials": trials(0.5)})
    records = read_records([tmp_path / "first", tmp_path / "second", tmp_path / "first" / "plain"])
    assert [record.name for record in records.finished] == ["first/plain", "second/plain"]
    (alone,) = read_records([tmp_path / "first" / "plain"]).finished
    assert alone.name == "plain"


def test_labels_are_unique(tmp_path: Path):
    for name, rate in (("a", 0.1), ("b", 0.2), ("c", 0.2)):
        write(tmp_path / name / "result.json", {"trials": trials(0.5), "config": {"lr": rate}})
    labels = [record.label for record in read_records([tmp_path]).finished]
    assert labels == ["lr 0.1", "lr 0.2 (b)", "lr 0.2 (c)"]


def test_a_missing_folder_is_refused(tmp_path: Path):
    (tmp_path / "report.html").touch()
    with pytest.raises(GraftError, match=rf"report\.html is a file, not a folder; try its folder, {tmp_path}$"):
        read_records([tmp_path / "report.html"])
    with pytest.raises(GraftError, match=r"there is no folder .*no; try outputs"):
        read_records([tmp_path / "no"])


def job(root: str, dropout: float, **result: object) -> dict:
    config = {"dataset": {"_target_": "graft.dataset.ImageFolder", "root": root}, "dropout": dropout}
    return {"trials": trials(0.5), "config": config, "choices": {"dataset": "image_folder"}, **result}


def test_labels_name_the_roots_of_different_images(tmp_path: Path):
    for root in ("/one", "/two"):
        for dropout in (0.0, 0.5):
            write(tmp_path / f"{root[1:]}_{dropout}" / "result.json", job(root, dropout, contents={"tested_on": root}))
    records = read_records([tmp_path]).finished
    assert {record.label for record in records} == {
        "root /one, without dropout", "dropout 0.5, root /one", "root /two, without dropout", "dropout 0.5, root /two",
    }  # fmt: skip
    assert {record.tested_on for record in records} == {"/one", "/two"}


@pytest.mark.parametrize("contents", [{"tested_on": "same"}, None, {}, "damaged", {"tested_on": 3}])
def test_labels_leave_out_where_the_same_images_are(tmp_path: Path, contents: object):
    for root, dropout in (("/one", 0.0), ("/elsewhere", 0.5)):
        write(tmp_path / root[1:] / "result.json", job(root, dropout, contents=contents))
    assert {record.label for record in read_records([tmp_path]).finished} == {"dropout 0", "dropout 0.5"}


def test_folders_and_broken_links_with_a_result_s_name_are_named(tmp_path: Path):
    (tmp_path / "a" / "result.json").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "result.json").symlink_to("/nowhere/result.json")
    write(tmp_path / "elsewhere" / "result.json", {"trials": trials(0.5)})
    write(tmp_path / "sweep" / "own" / "result.json", {"trials": trials(0.6)})
    (tmp_path / "sweep" / "linked file").mkdir()
    (tmp_path / "sweep" / "linked file" / "result.json").symlink_to(tmp_path / "elsewhere" / "result.json")
    (tmp_path / "sweep" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sweep" / "loop").symlink_to(tmp_path)
    assert read_records([tmp_path]).damaged == {
        "a/result.json": "it is a folder",
        "b/result.json": "it is a link to a file that does not exist",
    }
    assert [record.name for record in read_records([tmp_path / "sweep"]).finished] == ["linked file", "own", "linked"]
    names = [record.name for record in read_records([tmp_path]).finished]
    assert names == ["elsewhere", "sweep/linked file", "sweep/own"]  # a linked folder counts once


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"epoch": 1, "val_accuracy": 31.4}, "its val_accuracy is 31.4, expected a fraction"),
        ({"epoch": 1, "val_accuracy": "x"}, 'its val_accuracy is "x"'),
        ({"epoch": None, "val_accuracy": 0.5}, "its epoch is null"),
        ({"val_accuracy": 0.5}, "it has no epoch"),
    ],
)
def test_a_pruning_is_checked_too(tmp_path: Path, content: dict, reason: str):
    write(tmp_path / "a" / "pruned.json", content)
    assert read_records([tmp_path]).damaged["a/pruned.json"].startswith(reason)


def test_a_solved_head_is_known_by_its_class(tmp_path: Path):
    targets = ["graft.head.Ridge", "graft.head.Plain", "graft.points_head.KNN", "mine.KNN", "graft.solved_head.SVM"]
    heads = [*({"_target_": target} for target in targets), "x"]
    for name, head in zip("abcdef", heads, strict=True):
        write(tmp_path / name / "result.json", {"trials": trials(0.5), "config": {"head": head}})
    found = [record.solved for record in read_records([tmp_path]).finished]
    assert found == [True, False, True, False, True, False]


def test_a_copy_and_a_configuration_typed_otherwise_are_one_job(tmp_path: Path):
    trials = [{"seed": seed, "accuracy": 0.5, "epoch": 1} for seed in range(3)]
    for name, identity, count in (("a", "x", 2), ("b", "y", 2), ("c", "x", 3), ("d", None, 2), ("e", None, 2)):
        (tmp_path / name).mkdir()
        content = {"config": {}, "trials": trials[:count]} | ({"identity": identity} if identity else {})
        (tmp_path / name / "result.json").write_text(json.dumps(content))
    records = read_records([tmp_path])
    assert [record.name for record in records.finished] == ["b", "c", "d", "e"]
    assert records.damaged == {"a": "it is the same job as c"}


def test_planned_jobs_without_any_file_of_theirs_have_not_finished(tmp_path: Path):
    write(tmp_path / "a" / "result.json", {"trials": trials(0.5)})
    write(tmp_path / "b" / "failure.json", {"error": "no space left"})
    write(tmp_path / "c" / "trial_run.json", {"trials": trials(0.9), "trial_run": ["cut short"]})
    write(tmp_path / "d" / "pruned.json", {"epoch": 1, "trials": 2, "val_accuracy": 0.3})
    write(tmp_path / "e" / "result.json", {"trials": "damaged"})
    write(tmp_path / "begun" / "round.json", {})
    write(tmp_path / "planned.json", {"jobs": [*"abcde", "begun", "x/never begun"]})
    records = read_records([tmp_path])
    assert records.unfinished == dict.fromkeys(["begun", "x/never begun"], "the same command goes on with it")
    assert records.num_jobs == 7
    assert list(records.damaged) == ["e/result.json"]
    write(tmp_path.parent / "other" / "f" / "result.json", {"trials": trials(0.5)})
    both = read_records([tmp_path, tmp_path, tmp_path.parent / "other"])  # a sweep counts once
    assert list(both.unfinished) == [f"{tmp_path.name}/begun", f"{tmp_path.name}/x/never begun"]
    assert both.num_jobs == 8
    assert read_records([tmp_path / "a"]).unfinished == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"jobs": null}',
        '{"jobs": "ab"}',
        '{"jobs": {"a": 1}}',
        '{"jobs": [1, null, ["a"]]}',
        "[" * 10**5,
    ]
    + [json.dumps({"jobs": [name]}) for name in ("", ".", "..", "../up", "a/../../up", "/etc", "\0", "a\x1b[2J")]
    + [json.dumps({"jobs": [name]}) for name in ("two\nlines", "\ud800", "\u202eleft", "long" * 1000)],
)
def test_a_damaged_list_of_planned_jobs_and_names_that_lead_elsewhere_are_ignored(tmp_path: Path, text: str):
    write(tmp_path / "sweep" / "fine" / "result.json", {"trials": trials(0.5)})
    (tmp_path / "sweep" / "planned.json").write_text(text)
    records = read_records([tmp_path / "sweep"])
    assert (records.unfinished, records.num_jobs, records.damaged) == ({}, 1, {})


def test_a_folder_in_place_of_the_list_is_ignored(tmp_path: Path):
    write(tmp_path / "fine" / "result.json", {"trials": trials(0.5)})
    (tmp_path / "planned.json").mkdir()
    assert read_records([tmp_path]).unfinished == {}


def test_a_backbone_without_weights_is_skipped_where_another_one_ran(tmp_path: Path):
    absent = {"error": "no network; try source=file", "unavailable": "graft.backbone.VGG16"}
    for head in ("plain", "ridge"):
        write(tmp_path / head / "failure.json", absent)
    alone = read_records([tmp_path])
    assert alone.skipped == {}
    assert set(alone.failed) == {"plain", "ridge"}
    store_job(tmp_path, {"backbone._target_": "graft.backbone.VGG16"})
    assert read_records([tmp_path]).skipped == {}  # the same backbone: its weights could be had
    store_job(tmp_path, {"backbone._target_": "graft.backbone.Thumbnail", "baseline": "self"})
    assert read_records([tmp_path]).skipped == {}  # added by a sweep, which shall say that nothing else ran
    store_job(tmp_path, {"backbone._target_": "graft.backbone.CNN"})
    found = read_records([tmp_path])
    assert found.skipped == dict.fromkeys(["plain", "ridge"], "no network; try source=file")
    assert found.failed == {}
    assert found.num_jobs == 5


def test_a_failure_of_an_older_version_is_a_failure(tmp_path: Path):
    write(tmp_path / "a" / "failure.json", {"error": "no network", "unavailable": None})
    store_job(tmp_path)
    assert read_records([tmp_path]).failed == {"a": "no network"}
