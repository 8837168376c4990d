"""The tables of the best job's test images, beside the leaderboard."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from conftest import ROOT
from sklearn.metrics import confusion_matrix
from stored_jobs import store_job
from test_show import job

from graft.figures.draw import PICTURES
from graft.page.facts import TABLES
from graft.page.show import show_jobs
from graft.page.show_job import write_job
from graft.results.outcomes import of_label, read_outcomes
from graft.results.records import Record
from graft.run.outcome_writer import write_outcomes

GOLDEN = ROOT / "tests" / "golden" / "outcomes"


def test_tables_are_of_the_best_job_and_count_what_its_outcomes_have(tmp_path: Path):
    show_jobs([GOLDEN], tmp_path)
    best = str(pandas.read_csv(tmp_path / "leaderboard.csv").loc[0, "job"])
    tables = {name: pandas.read_csv(tmp_path / name, keep_default_na=False) for name in TABLES}
    assert {name: next(iter(table)) for name, table in tables.items()} == dict.fromkeys(TABLES, "job")
    for table in tables.values():
        assert set(table["job"]) <= {best}
    stored = read_outcomes(GOLDEN / best)
    assert stored is not None
    counts = np.mean([confusion_matrix(stored.test.label[0], row) for row in stored.test.prediction], axis=0)
    for row in tables["confusion.csv"].to_dict("records"):
        cell = counts[stored.classes.index(str(row["class"])), stored.classes.index(str(row["prediction"]))]
        assert row["images"] == pytest.approx(cell)
    wrong = (stored.test.prediction != stored.test.label).any(0)
    assert sorted(tables["mistakes.csv"]["number"]) == stored.test.image[0][wrong].tolist()
    assert tables["per_class.csv"]["recall"].to_numpy(float).mean() == pytest.approx(stored.test.correct.mean())


def test_suspects_are_those_of_the_page(tmp_path: Path):
    labels = np.arange(60) % 3
    store_job(tmp_path, skill=5, labels=labels)
    (job,) = tmp_path.glob("*/result.json")
    stored = read_outcomes(job.parent)
    assert stored is not None
    assert stored.test.probability is not None
    changed = stored.test.label.copy()
    changed[0, [4, 20]] = (changed[0, [4, 20]] + 1) % 3  # two labels are wrong: all trials say so
    of_changed = of_label(stored.test.probability, changed)
    split = replace(stored.test, label=changed, probability_of_label=of_changed)
    images = stored.images.assign(**{"class": [stored.classes[label] for label in changed[0]]})
    write_outcomes(job.parent, replace(stored, test=split, images=images), json.loads(job.read_text())["identity"])
    result = json.loads(job.read_text())
    for trial, correct in zip(result["trials"], split.correct.sum(1).tolist(), strict=True):
        trial |= {"correct": correct, "accuracy": correct / 60}
    job.write_text(json.dumps(result))
    show_jobs([tmp_path], tmp_path)
    suspects, wrong = (pandas.read_csv(tmp_path / f"{name}.csv") for name in ("label_suspects", "mistakes"))
    assert sorted(suspects["number"]) == [4, 20]
    assert suspects["wrong"].tolist() == [1, 1]
    assert list(suspects) == list(wrong)
    assert "2 test images have a label that may be wrong" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_tables_and_pictures_are_removed_when_they_no_longer_apply(tmp_path: Path):
    show_jobs([GOLDEN], tmp_path, figures=["svg", "pdf"])
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {"leaderboard", "differences", "curves", "confusion", "reliability"}
    assert {f"{name}.{kind}" for name in pictures for kind in ("png", "svg", "pdf")} <= names
    assert names >= set(TABLES)
    show_jobs([GOLDEN], tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".html", ".md", ".png"}
    show_jobs([ROOT / "tests/golden/sweep"], tmp_path)  # without outcomes
    left = {path.name for path in tmp_path.iterdir()}
    assert left.isdisjoint({*TABLES, "confusion.png", "reliability.png"})
    assert left - {"leaderboard.csv", "leaderboard.md", "report.html"} <= set(PICTURES)


def test_jobs_that_are_not_ranked_have_no_best_one(tmp_path: Path):
    shutil.copytree(GOLDEN, tmp_path / "jobs")
    job(tmp_path / "jobs", "other", [0.5, 0.6])
    show_jobs([tmp_path / "jobs"], tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".html", ".md", ".png"}
    assert not (tmp_path / "out" / "mistakes.csv").exists()


def test_the_configurations_formats_count_where_none_are_asked_for(tmp_path: Path):
    shutil.copytree(GOLDEN, tmp_path / "jobs")
    for path in (tmp_path / "jobs").rglob("result.json"):
        result = json.loads(path.read_text())
        result["config"]["report"]["figures"] = ["svg"]
        path.write_text(json.dumps(result))
    show_jobs([tmp_path / "jobs"], tmp_path / "out")
    assert (tmp_path / "out/leaderboard.svg").exists()
    assert not (tmp_path / "out/leaderboard.pdf").exists()


@pytest.mark.slow
def test_a_job_that_runs_alone_has_them_beside_its_result(tmp_path: Path):
    shutil.copytree(GOLDEN / "head=plain", tmp_path / "job")
    result = json.loads((tmp_path / "job/result.json").read_text())
    job = tmp_path / "job"
    write_job(Record("job", result, job, outcomes=read_outcomes(job)))
    names = {path.name for path in (tmp_path / "job").iterdir()}
    assert names >= {*TABLES, "curves.png", "confusion.png", "reliability.png"}
    assert set(pandas.read_csv(tmp_path / "job/mistakes.csv")["job"]) == {"job"}
    assert not list((tmp_path / "job").glob("*.svg"))
    result["config"]["report"]["figures"] = "svg"
    write_job(Record("job", result, job, outcomes=read_outcomes(job)))
    assert {path.name for path in (tmp_path / "job").glob("*.svg")} == {
        "curves.svg",
        "confusion.svg",
        "reliability.svg",
    }
    write_job(Record("job", result, job))  # of an older version, without outcomes
    left = {path.name for path in (tmp_path / "job").iterdir()}
    stored = {"result.json", "history.csv", "outcomes.safetensors", "images.csv"}
    assert left == {*stored, "curves.png", "curves.svg"}
