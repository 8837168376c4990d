"""The answer in words of all jobs below a folder."""

import json
from collections.abc import Callable
from pathlib import Path

from stored_jobs import store_job

from graft.page.show_job import summary_rows
from graft.report.compare import compare_jobs


def test_jobs_whose_networks_predict_one_class_are_named(run: Callable[..., dict], tmp_path: Path):
    words = ("source=scratch", "dropout=0", "trials=2", "dataset.test_per_class=20", "test_curve=false")
    run(*words, "epochs=5", name="relu")
    said = "Networks that predict one class for every test image have learned nothing: "
    assert not any(said in sentence for sentence in compare_jobs([tmp_path]).sentences)
    run(*words, "epochs=1", "activation=sigmoid", name="sigmoid")
    (sentence,) = [sentence for sentence in compare_jobs([tmp_path]).sentences if said in sentence]
    assert sentence.removeprefix(said).endswith("sigmoid with epochs 1 (2 of 2 trials).")
    assert "relu" not in sentence


def test_failed_trials_which_means_leave_out_are_told_in_the_answer_and_in_the_job_s_summary(tmp_path: Path):
    store_job(tmp_path, {"lr": "0.1"}, trials=5)
    job = store_job(tmp_path, {"lr": "0.2"}, trials=5)
    said = "Means are over the trials that finished, as if others had never failed: "
    assert not any(said in sentence for sentence in compare_jobs([tmp_path]).sentences)
    result = json.loads((job / "result.json").read_text())
    assert "failed trials" not in dict(summary_rows(result, job))
    result["trials"] += [{"seed": 5, "accuracy": None, "loss": None, "epoch": 2, "error": "the loss became NaN"}]
    (job / "result.json").write_text(json.dumps(result))
    (sentence,) = [sentence for sentence in compare_jobs([tmp_path]).sentences if said in sentence]
    assert sentence == f"{said}lr 0.2 (5 of 6)."
    assert dict(summary_rows(result, job))["failed trials"] == "1 of 6, not counted here (seed 5: the loss became NaN)"
    result["config"] |= {"trials": "auto", "trials_min": 6, "trials_max": 9}
    (job / "result.json").write_text(json.dumps(result))
    assert f"{said}lr 0.2 (5 of 6); trials=auto gives no more to such jobs." in compare_jobs([tmp_path]).sentences
    assert dict(summary_rows(result, job))["failed trials"].endswith("; trials=auto ends with it")


def test_folds_that_fewer_trials_have_tested_are_told_in_the_answer_and_in_the_job_s_summary(tmp_path: Path):
    whole = store_job(tmp_path, {"lr": "0.1", "dataset.folds": "3"}, trials=6)
    job = store_job(tmp_path, {"lr": "0.2", "dataset.folds": "3"}, trials=5)
    said = "Means count each trial once, intervals each image: "
    (sentence,) = [sentence for sentence in compare_jobs([tmp_path]).sentences if said in sentence]
    assert sentence == f"{said}lr 0.2 (of 3 folds, fold 2 has 1 of 2 trials)."
    rows = dict(summary_rows(json.loads((job / "result.json").read_text()), job))
    assert rows["folds"].endswith("the interval each image: of 3 folds, fold 2 has 1 of 2 trials")
    assert "folds" not in dict(summary_rows(json.loads((whole / "result.json").read_text()), whole))


def test_comparisons_with_a_baseline_are_counted_if_there_are_any(tmp_path: Path):
    for trials, counted in ((1, False), (6, True)):
        folder = tmp_path / str(trials)
        for lr in ("0.1", "0.2"):
            store_job(folder, {"lr": lr}, trials=trials)
        sentences = " ".join(compare_jobs([folder], baseline="lr:0.1").sentences)
        assert "ompared with the baseline lr 0.1" in sentences
        assert ("corrected for 1 comparison." in sentences) is counted
        assert "corrected for 0 comparisons" not in sentences
