import json
from pathlib import Path

import pandas
import pytest

from graft.report import leaderboard, show_job, show_sweep, verdict


def job(
    folder: Path,
    name: str,
    accuracies: list[float],
    val: list[float] | None = None,
    published: tuple[float, float] | None = None,
) -> None:
    trials = [{"seed": seed, "accuracy": value, "loss": 1.0, "epoch": 9} for seed, value in enumerate(accuracies)]
    for trial, value in zip(trials, val or [], strict=False):
        trial["val_accuracy"] = value
    mean = sum(accuracies) / len(accuracies)
    result = {
        "trials": trials,
        "accuracy": {"mean": mean, "min": min(accuracies), "max": max(accuracies), "std": None, "ci95": None},
        "parameters": {"total": 1000, "trainable": 10, "frozen": 990},
        "seconds": {"total": 1.25},
        "reference": published and {"low": published[0], "high": published[1], "source": "a paper"},
        "images": {"big": 1, "small": 1, "val": 5 if val else 0, "test": 1},
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "result.json").write_text(json.dumps(result))


def test_jobs_are_ranked_by_test_accuracy_which_the_header_calls_optimistic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job(tmp_path, "worse", [0.5, 0.6])
    job(tmp_path, "small=[cat,dog]", [0.7, 0.8])
    assert show_sweep(tmp_path) == {}
    printed, text = capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()
    assert "ranked by test accuracy, so the winner's number is optimistic" in printed
    assert "small=[cat,dog]" in printed
    assert "| 1 | small=[cat,dog] | 75.0 | 70.0 to 80.0 | 1,000 | 10 | 1.2 |" in text
    table = pandas.read_csv(tmp_path / "leaderboard.csv")
    assert list(table["job"]) == ["small=[cat,dog]", "worse"]
    assert list(table["rank"]) == [1, 2]


def test_validation_accuracy_ranks_where_every_job_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path, "overfits", [0.9, 0.9], val=[0.6, 0.6])
    job(tmp_path, "validated", [0.8, 0.8], val=[0.7, 0.7])
    show_sweep(tmp_path)
    assert "ranked by validation accuracy" in capsys.readouterr().out
    assert list(pandas.read_csv(tmp_path / "leaderboard.csv")["job"]) == ["validated", "overfits"]
    job(tmp_path, "unvalidated", [0.95])
    assert list(leaderboard(tmp_path)[0]["job"]) == ["unvalidated", "overfits", "validated"]


def test_failures_are_listed_with_their_reasons_and_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path, "fine", [0.5])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "failure.json").write_text('{"error": "no space left; try another disk"}')
    assert show_sweep(tmp_path) == {"broken": "no space left; try another disk"}
    assert "failed broken: no space left; try another disk" in capsys.readouterr().out
    assert list(pandas.read_csv(tmp_path / "leaderboard.csv")["job"]) == ["fine"]


def test_pruned_jobs_are_listed_and_are_no_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path, "fine", [0.5])
    for name in ("fine", "hopeless"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "pruned.json").write_text('{"epoch": 20, "trials": 2, "val_accuracy": 0.314}')
    assert show_sweep(tmp_path) == {}
    printed = capsys.readouterr().out
    assert "pruned hopeless at epoch 20, validation accuracy 31.4 %" in printed
    assert "pruned fine" not in printed


def test_a_sweep_without_results_still_ends_in_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "failure.json").write_text('{"error": "why"}')
    assert show_sweep(tmp_path) == {"broken": "why"}
    assert "failed broken: why" in capsys.readouterr().out
    assert not (tmp_path / "leaderboard.csv").exists()


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (0.835, "within"),
        (0.8346, "within"),  # 83.5, as the range has it
        (0.8344, "below by 0.1"),
        (0.846, "within"),
        (0.8514, "above by 0.5"),
        (0.5, "below by 33.5"),
    ],
)
def test_a_mean_is_compared_at_the_published_precision(mean: float, expected: str):
    assert verdict(mean, 0.835, 0.846) == expected


def test_jobs_with_different_published_ranges_are_compared_with_these_and_not_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job(tmp_path, "experiment=lecture_a", [0.5, 0.6], published=(0.54, 0.56))
    job(tmp_path, "experiment=lecture_b", [0.7, 0.8], published=(0.8, 0.9))
    job(tmp_path, "other", [0.9])
    show_sweep(tmp_path)
    printed, text = capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()
    assert "rank" not in printed.replace("not ranked", "")
    assert "| job | test | lowest-highest | published | verdict | parameters | seconds |" in text
    assert "| lecture_a | 55.0 | 50.0 to 60.0 | 54.0 to 56.0 | within | 1,000 | 1.2 |" in text
    assert "| lecture_b | 75.0 | 70.0 to 80.0 | 80.0 to 90.0 | below by 5.0 | 1,000 | 1.2 |" in text
    assert "| other | 90.0 | 90.0 to 90.0 |  |  | 1,000 | 1.2 |" in text
    table = pandas.read_csv(tmp_path / "leaderboard.csv")
    assert list(table["reference_low"][:2]) == [0.54, 0.8]
    assert list(table["verdict"][:2]) == ["within", "below by 5.0"]


def test_jobs_with_one_published_range_are_ranked_beside_it(tmp_path: Path):
    job(tmp_path, "optimizer=adam", [0.5, 0.6], published=(0.54, 0.56))
    job(tmp_path, "optimizer=sgd", [0.7, 0.8], published=(0.54, 0.56))
    show_sweep(tmp_path)
    assert "| 1 | optimizer=sgd | 75.0 | 70.0 to 80.0 | 54.0 to 56.0 | above by 19.0 |" in (
        (tmp_path / "leaderboard.md").read_text()
    )


def test_one_job_names_its_published_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path, "row", [0.5, 0.6], published=(0.54, 0.56))
    show_job(json.loads((tmp_path / "row" / "result.json").read_text()), tmp_path)
    assert "published range    54.0 to 56.0 % (a paper): within" in capsys.readouterr().out
