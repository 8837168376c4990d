"""The JSON of a report: the numbers of leaderboard.csv, and null in place of NaN."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import ROOT

from graft.page.show import show_jobs
from graft.report.as_json import as_json
from graft.report.compare import compare_jobs

OUTCOMES = ROOT / "tests" / "golden" / "outcomes"
SWEEP = ROOT / "tests" / "golden" / "sweep"
KEYS = ["metric", "ranked_by", "claim", "sentence", "rows", "failed", "skipped", "left_out", "unfinished"]


def job(folder: Path, name: str, accuracies: list[float], published: tuple[float, float] | None = None) -> None:
    """Write a job without outcomes."""
    trials = [{"seed": seed, "accuracy": value, "loss": 1.0 + seed} for seed, value in enumerate(accuracies)]
    reference = published and {"low": published[0], "high": published[1], "source": "a paper"}
    (folder / name).mkdir(parents=True)
    (folder / name / "result.json").write_text(json.dumps({"trials": trials, "reference": reference}))


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


def read(folder: Path, **more: Any) -> dict[str, Any]:
    found = json.loads(as_json(compare_jobs([folder], **more)), parse_constant=refuse)
    assert list(found) == KEYS
    return found


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "auroc", "loss"])
@pytest.mark.parametrize("folder", [OUTCOMES, SWEEP])
def test_numbers_are_those_of_the_table_to_the_digit(tmp_path: Path, folder: Path, metric: str):
    if folder == SWEEP and metric != "accuracy":
        return
    show_jobs([folder], tmp_path, metric=metric)
    table = pandas.read_csv(tmp_path / "leaderboard.csv", dtype=str, keep_default_na=False)
    found = read(folder, metric=metric)
    assert found["metric"] == found["ranked_by"] == metric
    prefix = "" if metric == "accuracy" else f"{metric}_"
    assert len(found["rows"]) == len(table)
    for row, line in zip(found["rows"], table.to_dict("records"), strict=True):
        ends = row["ci95"] or ["", ""]
        texts = [row["job"], row["trials"], row["mean"], *ends]
        columns = ("job", "trials", metric, f"{prefix}ci95_low", f"{prefix}ci95_high")
        assert [str(text) for text in texts] == [line[column] for column in columns]
        assert (row["to_best"] is None) == (line["standing"] == "best")
        if row["to_best"]:
            best = row["to_best"]
            texts = [best["mean"], *best["ci95"], best["p"], best["verdict"]]
            columns = ("difference", "difference_low", "difference_high", "p", "standing")
            assert [str(text) for text in texts] == [line[column] for column in columns]


def test_the_sentence_and_the_claim_are_the_report_s():
    report, found = compare_jobs([OUTCOMES]), read(OUTCOMES)
    assert found["sentence"] == report.sentences[0]
    assert found["claim"] == "for other images and other draws of 3 a class"
    assert found["claim"] in report.sentences[1]


def test_one_job_has_a_row_without_a_difference():
    found = read(OUTCOMES / "head=ridge")
    assert [row["to_best"] for row in found["rows"]] == [None]
    assert "there is nothing to compare it with" in found["sentence"]


def test_failed_jobs_have_reasons_and_no_rows(tmp_path: Path):
    job(tmp_path, "fine", [0.5])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/failure.json").write_text('{"error": "no space left"}')
    found = read(tmp_path)
    assert found["failed"] == {"broken": "no space left"}
    assert found["rows"] == [{"job": "fine", "trials": 1, "mean": 0.5, "ci95": None, "to_best": None}]
    alone = read(tmp_path / "broken")
    assert (alone["rows"], alone["ranked_by"], alone["claim"]) == ([], None, None)
    assert alone["sentence"] == "no job has finished"


def test_jobs_without_a_test_have_null(tmp_path: Path):
    for name, values in (("one", [0.5, 0.6]), ("two", [0.7, 0.6])):
        job(tmp_path, name, values)
    compared = read(tmp_path)["rows"][1]["to_best"]
    assert (compared["p"], compared["ci95"], compared["verdict"]) == (None, None, "not tested")


def test_jobs_that_are_not_comparable_are_not_ranked(tmp_path: Path):
    job(tmp_path, "one", [0.5, 0.6], published=(0.4, 0.6))
    job(tmp_path, "two", [0.7, 0.6], published=(0.6, 0.8))
    found = read(tmp_path)
    assert found["ranked_by"] is None
    assert found["metric"] == "accuracy"
    assert found["sentence"] == "compared with published ranges: not ranked, sorted by name"
    assert [row["to_best"] for row in found["rows"]] == [None, None]


def test_damaged_files_are_named(tmp_path: Path):
    job(tmp_path, "fine", [0.5])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/result.json").write_text('{"trials": [{"seed": 0, "accuracy": NaN}]')
    assert list(read(tmp_path)["left_out"]) == ["bad/result.json"]


def test_unfinished_jobs_have_a_key_of_their_own(tmp_path: Path):
    job(tmp_path, "fine", [0.5])
    (tmp_path / "planned.json").write_text('{"jobs": ["fine", "slow"]}')
    found = read(tmp_path)
    assert found["unfinished"] == {"slow": "the same command goes on with it"}
    assert found["left_out"] == {}


def test_the_command_prints_one_object_and_writes_nothing(tmp_path: Path):
    job(tmp_path / "jobs", "größe=猫", [0.5, 0.6])
    before = sorted(tmp_path.rglob("*"))
    command = [sys.executable, str(ROOT / "src/report.py"), str(tmp_path / "jobs"), "--json"]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert json.loads(done.stdout, parse_constant=refuse)["rows"][0]["job"] == "größe=猫"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_results_is_an_error_and_no_object(tmp_path: Path):
    command = [sys.executable, str(ROOT / "src/report.py"), str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not done.stdout
    assert "there is no result.json" in done.stderr
    both = subprocess.run([*command, "--output", "x"], capture_output=True, text=True, check=False)
    assert both.returncode == 2
    assert "--json prints the ranking only, so that --output has no use" in both.stderr
