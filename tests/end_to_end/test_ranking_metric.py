"""Reports ranked by a metric other than accuracy, from real jobs, compared with scikit-learn."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import f1_score, log_loss

from graft.config.rules import RULES
from graft.errors import GraftError
from graft.page.show import show_jobs
from graft.report.compare import compare_jobs
from graft.results.metric import METRICS
from graft.results.outcomes import read_outcomes
from graft.results.records import read_records

HEADS = ("ridge", "logistic")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two solved heads on digits, and again with validation images of each trial's own."""
    folder = tmp_path_factory.mktemp("metric")
    common = ["source=big", "source.epochs=1", "trials=6", "dataset.small_per_class=10", "report.metric=macro_f1"]
    for name, more in (("plain", []), ("validated", ["dataset.val_per_class=6"])):
        command = [
            sys.executable,
            str(ROOT / "src/train.py"),
            "-m",
            f"head={','.join(HEADS)}",
            f"name={name}",
            *common,
            *more,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"ranked by {'validation' if more else 'test'} macro F1" in done.stdout
    return folder / "outputs"


def test_the_table_has_scikit_learn_s_macro_f1_and_its_order(jobs: Path):
    expected = {}
    for head in HEADS:
        stored = read_outcomes(jobs / "plain" / f"head={head}")
        assert stored is not None
        truth = stored.test.label[0]
        expected[f"head={head}"] = np.mean([f1_score(truth, own, average="macro") for own in stored.test.prediction])
    with open(jobs / "plain/leaderboard.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["job"]: float(row["macro_f1"]) for row in rows} == pytest.approx(expected)
    assert [row["job"] for row in rows] == sorted(expected, key=lambda job: -expected[job])
    for row in rows:
        assert float(row["macro_f1_ci95_low"]) < float(row["macro_f1"]) < float(row["macro_f1_ci95_high"])
        assert row["accuracy"] != row["macro_f1"]


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_ranks_on_request(jobs: Path, tmp_path: Path, metric: str, capsys: pytest.CaptureFixture[str]):
    show_jobs([jobs / "plain"], tmp_path, metric=metric)
    said = capsys.readouterr().out
    assert f"ranked by test {METRICS[metric]}" in said
    assert (tmp_path / "leaderboard.png").exists()
    lowest = ", the lowest first" if metric == "loss" else ""
    assert f"{METRICS[metric]}{lowest}\n" in said.replace("ranked by test ", "", 1)


def test_the_lowest_loss_wins_and_losses_are_those_of_the_results(jobs: Path):
    report = compare_jobs([jobs / "plain"], metric="loss")
    records = report.records.finished
    losses = {it.label: np.mean([trial["loss"] for trial in it.result["trials"]]) for it in records}
    assert report.board.records[0].label == min(losses, key=losses.__getitem__)
    assert -report.board.table["loss"].to_numpy()[0] == pytest.approx(min(losses.values()))
    assert "lowest mean" in report.sentences[0] or "is best" in report.sentences[0]
    for record in records:
        stored = record.outcomes
        assert stored is not None
        assert stored.test.probability is not None
        exact = stored.test.probability.astype(float)
        exact = np.maximum(exact, 2.0**-25)
        known = [log_loss(stored.test.label[0], own / own.sum(1, keepdims=True), labels=range(5)) for own in exact]
        assert [-it for it in record.accuracies("loss").values()] == pytest.approx(known, abs=0.02)


def test_each_trial_s_own_validation_images_rank(jobs: Path):
    report = compare_jobs([jobs / "validated"])
    (record, _) = report.board.records
    assert report.board.metric == "val_macro_f1"
    assert record.outcomes is not None
    assert record.outcomes.val is not None
    split = record.outcomes.val
    own = [f1_score(truth, said, average="macro") for truth, said in zip(split.label, split.prediction, strict=True)]
    assert list(record.accuracies("val_macro_f1").values()) == pytest.approx(own)


def test_without_outcomes_jobs_are_ranked_by_accuracy_and_it_is_said(jobs: Path, tmp_path: Path):
    for head in HEADS:
        (tmp_path / head).mkdir()
        (tmp_path / head / "result.json").write_text((jobs / f"plain/head={head}/result.json").read_text())
    board = compare_jobs([tmp_path]).board
    assert board.metric == "accuracy"
    assert board.order.endswith("has no macro F1, because it has not stored what its trials said of images)")
    with pytest.raises(GraftError, match=r"has no loss, because .* try --metric accuracy"):
        compare_jobs([tmp_path], metric="loss")
    assert read_records([tmp_path]).finished


def test_a_margin_in_points_means_nothing_for_a_loss(jobs: Path):
    with pytest.raises(GraftError, match="a margin of 1 percent points means nothing for a loss"):
        compare_jobs([jobs / "plain"], metric="loss", margin=1)


def test_the_configuration_allows_these_metrics():
    assert all(RULES["report.metric"].allows(metric) for metric in METRICS)
    assert not RULES["report.metric"].allows("f1")
    help_text = subprocess.run(
        [sys.executable, str(ROOT / "src/report.py"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "{" + ",".join(METRICS) + "}" in help_text.replace("\n", "").replace(" ", "")
