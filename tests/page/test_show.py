import io
import itertools
import json
import math
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from conftest import ROOT
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from stored_jobs import store_job

import graft
from graft.errors import GraftError
from graft.figures.draw import PICTURES
from graft.page.pictures import NO_PICTURES
from graft.page.show import print_table, show_jobs, show_sweep
from graft.page.show_job import show_job, summary_rows
from graft.page.what_ran import what_ran
from graft.report.compare import compare_jobs
from graft.report.table import cells, table_rows


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
        "seconds": {"total": 4321.25},
        "reference": published and {"low": published[0], "high": published[1], "source": "a paper"},
        "images": {"big": 1, "small": 1, "val": 5 if val else 0, "test": 1},
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "result.json").write_text(json.dumps(result))


def test_jobs_are_ranked_by_test_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path, "worse", [0.5, 0.6])
    job(tmp_path, "small=[cat,dog]", [0.7, 0.8])
    assert show_sweep(tmp_path) == {}
    printed, text = capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()
    assert "ranked by test accuracy" in printed
    assert "small=[cat,dog]" in printed
    assert (
        "| 1 | small=[cat,dog] | 75.0 | 11.5 to 100.0 | 70.0 to 80.0 | 7.1 |  |  | best | 2 | 1,000 | 10 | 4,321.2 |"
        in text
    )
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
    show_sweep(tmp_path)
    assert list(pandas.read_csv(tmp_path / "leaderboard.csv")["job"]) == ["unvalidated", "overfits", "validated"]


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
    (tmp_path / "broken" / "failure.json").write_text('{"error": "half a letter: \\ud83d"}')
    show_sweep(tmp_path)
    printed = capsys.readouterr().out
    assert "failed broken: why" in printed
    assert "half a letter: \\ud83d" in printed
    assert not (tmp_path / "leaderboard.csv").exists()


def test_jobs_with_different_published_ranges_are_compared_with_these_and_not_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job(tmp_path, "experiment=lecture_a", [0.5, 0.6], published=(0.54, 0.56))
    job(tmp_path, "experiment=lecture_b", [0.7, 0.8], published=(0.8, 0.9))
    job(tmp_path, "other", [0.9])
    show_sweep(tmp_path)
    printed, text = capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()
    assert "rank" not in printed.replace("not ranked", "")
    assert (
        "| job | test | 95 % interval | lowest-highest | published | to the range | trials | parameters | seconds |"
        in text
    )
    assert "| lecture_a | 55.0 | 0.0 to 100.0 | 50.0 to 60.0 | 54.0 to 56.0 | within | 2 | 1,000 | 4,321.2 |" in text
    assert (
        "| lecture_b | 75.0 | 11.5 to 100.0 | 70.0 to 80.0 | 80.0 to 90.0 | below by 5.0 | 2 | 1,000 | 4,321.2 |"
        in text
    )
    assert "| other | 90.0 |  | 90.0 to 90.0 |  |  | 1 | 1,000 | 4,321.2 |" in text
    table = pandas.read_csv(tmp_path / "leaderboard.csv")
    assert list(table["reference_low"][:2]) == [0.54, 0.8]
    assert list(table["verdict"][:2]) == ["within", "below by 5.0"]


def test_jobs_with_one_published_range_are_ranked_beside_it(tmp_path: Path):
    job(tmp_path, "optimizer=adam", [0.5, 0.6], published=(0.54, 0.56))
    job(tmp_path, "optimizer=sgd", [0.7, 0.8], published=(0.54, 0.56))
    show_sweep(tmp_path)
    assert "| 1 | optimizer=sgd | 75.0 | 11.5 to 100.0 | 70.0 to 80.0 | 7.1 | 54.0 to 56.0 | above by 19.0 |" in (
        (tmp_path / "leaderboard.md").read_text()
    )


def test_one_job_names_its_published_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path, "row", [0.5, 0.6], published=(0.54, 0.56))
    show_job(json.loads((tmp_path / "row" / "result.json").read_text()), tmp_path)
    assert "published range    54.0 to 56.0 % (a paper): within" in capsys.readouterr().out


def test_balanced_accuracy_is_shown_beside_accuracy_where_classes_are_unequal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job(tmp_path, "row", [0.9, 0.92])
    result = json.loads((tmp_path / "row" / "result.json").read_text())
    for trial, value in zip(result["trials"], (0.6, 0.7), strict=True):
        trial["balanced_accuracy"] = value
    result["trials"].append({"seed": 2, "accuracy": None, "balanced_accuracy": None, "error": "the loss became NaN"})
    for test, shown in (({"cat": 9, "dog": 9}, False), ({"cat": 90, "dog": 9}, True)):
        result["images"] |= {"found": 99, "used": 97, "ignored": {".heic": 2}, "by_class": {"test": test}}
        show_job(result, tmp_path)
        printed = capsys.readouterr().out
        assert ("balanced accuracy  65.0 %, classes of equal weight" in printed) is shown
        assert "images             big 1, small 1, val 0, test 1\n" in re.sub(" +\n", "\n", printed)
        assert "ignored files      2 .heic" in printed
    result["config"] = {"report": {"metric": "balanced_accuracy"}}
    show_job(result, tmp_path)
    assert capsys.readouterr().out.count("balanced accuracy") == 1  # the ranking metric has a row of its own


def test_a_job_in_the_folder_default_is_named_by_its_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, dropout in (("dropout=0", 0.0), ("dropout=0.5", 0.5), ("default", 0.2)):
        job(tmp_path, name, [0.9, 0.8])
        file = tmp_path / name / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"config": {"dropout": dropout}}))
    show_sweep(tmp_path)
    assert "default (dropout 0.2)" in capsys.readouterr().out


@pytest.mark.parametrize("uneven", ["a", "b"])
def test_each_number_is_under_its_header_where_only_some_jobs_have_unequal_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], uneven: str
):
    for name, count in (("a", 2), ("b", 3)):  # of test images, so that they are not ranked
        job(tmp_path, name, [0.9, 0.8])
        file = tmp_path / name / "result.json"
        result = json.loads(file.read_text())
        result["trials"] = [{**trial, "balanced_accuracy": 0.655} for trial in result["trials"]]
        result["images"] |= {"test": count, "by_class": {"test": {"cat": 9, "dog": 90 if name == uneven else 9}}}
        file.write_text(json.dumps(result))
    show_sweep(tmp_path)
    assert "balanced" in capsys.readouterr().out
    lines = [line.strip("| ").split("|") for line in (tmp_path / "leaderboard.md").read_text().splitlines()[2:6]]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    found = {row[header.index("job")]: dict(zip(header, row, strict=True)) for row in rows}
    assert {name: row["balanced"] for name, row in found.items()} == {
        name: "65.5" if name == uneven else "" for name in ("a", "b")
    }
    assert {row["parameters"] for row in found.values()} == {"1,000"}


def test_the_number_of_test_images_of_folds_is_said_to_be_the_smallest_fold_s(tmp_path: Path):
    job(tmp_path, "row", [0.9, 0.92])
    file = tmp_path / "row" / "result.json"
    result = json.loads(file.read_text())
    result["config"] = {"dataset": {"folds": 4}}
    result["images"] |= {"pool": 7, "test": 2}
    file.write_text(json.dumps(result))
    assert (
        dict(summary_rows(result, tmp_path / "row"))["images"] == "big 1, small 1, val 0, test 2 of the smallest fold"
    )
    result["images"]["test"] = 0  # as of a refit
    assert dict(summary_rows(result, tmp_path / "row"))["images"] == "big 1, small 1, val 0, test 0"
    data = {fact.name: fact.text for fact in what_ran(compare_jobs([tmp_path]), tmp_path, NO_PICTURES).data}
    assert (data["images to draw from, at least"], data["test images of the smallest fold"]) == ("7", "2")


@pytest.mark.parametrize(("source", "used"), [("Big", True), ("ImageNet", False), ("Scratch", False)])
def test_images_to_pre_train_on_are_shown_where_the_source_uses_them(tmp_path: Path, source: str, used: bool):
    job(tmp_path, "row", [0.9, 0.92])
    file = tmp_path / "row" / "result.json"
    result = json.loads(file.read_text())
    result["config"] = {"source": {"_target_": f"graft.source.{source}"}}
    result["images"] |= {"big": 60, "domains": {"big": ["A"], "small": ["B"]}, "excluded": 4}
    result["images"] |= {"found": 99, "used": 95, "ignored": {"unreadable": 3, "left out by dataset.exclude": 1}}
    file.write_text(json.dumps(result))
    rows = dict(summary_rows(result, tmp_path / "row"))
    assert rows["images"] == ("big 60, " if used else "") + "small 1, val 0, test 1"
    assert rows["domains"] == ("big: A; small: B" if used else "small: B")
    assert rows["ignored files"] == "3 unreadable, 1 left out by dataset.exclude"
    assert rows["marked files"] == "4, 3 of them unreadable, in dataset.exclude"
    data = {fact.name: fact.text for fact in what_ran(compare_jobs([tmp_path]), tmp_path, NO_PICTURES).data}
    assert ("images to pre-train on" in data) is used
    assert data["left out: by dataset.exclude"] == "1"
    assert data["marked in dataset.exclude"] == "4, 3 of them unreadable"


def grid(folder: Path, trials: int = 10, budgets: tuple[int, ...] = (20,)) -> None:
    """Write jobs of source x dropout (x budget), where big is 5 points better and dropout does nothing."""
    random = np.random.default_rng(1)
    shared = random.normal(0, 0.02, trials)
    for source, dropout, images in itertools.product(("big", "scratch"), (0.0, 0.5), budgets):
        name = f"source={source}_dropout={dropout:g}_dataset.small_per_class={images}"
        level = 0.6 + 0.05 * (source == "big") + 0.1 * math.log10(images)
        job(folder, name, (level + shared + random.normal(0, 0.004, trials)).tolist())
        path = folder / name / "result.json"
        config = {
            "dataset": {"_target_": "graft.dataset.MNIST5k", "small_per_class": images},
            "source": {"_target_": f"graft.source.{source.title()}", **({"epochs": 15} if source == "big" else {})},
            "head": {"_target_": "graft.head.Plain", "dropout": dropout},
            "dropout": dropout,
            "name": "grid",
        }
        choices = {"dataset": "mnist5k", "source": source, "head": "plain"}
        path.write_text(json.dumps({**json.loads(path.read_text()), "config": config, "choices": choices}))


def test_a_grid_ends_in_an_answer_with_effects_baseline_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    grid(tmp_path)
    show_sweep(tmp_path, "source:scratch")
    printed, text = capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()
    table = pandas.read_csv(tmp_path / "leaderboard.csv")
    assert list(table["standing"]) == ["best", "undecided", "worse", "worse"]
    assert re.search(
        r"big .* has the highest mean \(.* %\); big .* is undecided after 10 trials; 2 others are", printed
    )
    assert re.search(r"2 others are [45]\.\d to 5\.\d points worse", printed)
    assert "Compared with the baseline source:scratch, all else equal: big with" in printed
    assert list(table["baseline_difference"].isna()) == [False, False, True, True]
    assert "corrected for 3 comparisons (with the best of 4 configurations)" in printed
    assert re.search(r"source: big \(\d\d\.\d %\), scratch \(\d\d\.\d %\); dropout: .*, no significant effect", printed)
    assert "| source | scratch |" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"leaderboard.png", "differences.png", "effects.png"}
    for path in tmp_path.glob("*.png"):
        assert np.ptp(np.asarray(Image.open(path).convert("L"))) > 200


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 200])
def test_a_narrow_terminal_goes_without_columns_and_cuts_no_number(tmp_path: Path, width: int):
    grid(tmp_path)
    board = compare_jobs([tmp_path], "source:scratch").board
    console = Console(width=width, file=io.StringIO())
    print_table(board, console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert all(len(line) <= width for line in printed.splitlines())
    assert ("to the baseline" in " ".join(printed.split())) == (width >= 100 or "Left out" in printed)
    for line in (cells(row, short=True) for row in table_rows(board.table)):
        assert all(line[header] in printed for header in ("test", "to the best", "verdict"))
        assert width < 100 or line["to the baseline"] in printed


def test_a_swept_budget_ends_in_a_curve_and_in_what_equals_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid(tmp_path, budgets=(1, 10, 100))
    show_sweep(tmp_path)
    said = capsys.readouterr().out
    # 5 points are half a decade of images: big with 1 equals scratch with 10 ** 0.5, 3.2.
    assert re.search(
        r"big .* with 1 and 10 images per class equals scratch .* with 3\.\d and \d\d \(interpolated\)", said
    )
    assert (tmp_path / "budget.png").exists()


def test_the_best_jobs_and_a_lone_one_have_their_curves(tmp_path: Path):
    for name, accuracy in (("worse", 0.5), ("better", 0.8)):
        job(tmp_path, name, [accuracy, accuracy + 0.1])
    show_sweep(tmp_path)
    assert not (tmp_path / "curves.png").exists()  # results of other versions have no history
    rows = "".join(f"{trial},{epoch},test,accuracy,0.7\n" for trial in range(2) for epoch in range(3))
    for name in ("worse", "better"):
        (tmp_path / name / "history.csv").write_text("trial,epoch,split,metric,value\n" + rows)
    show_sweep(tmp_path)
    assert (tmp_path / "curves.png").exists()
    show_jobs([tmp_path / "worse"], tmp_path / "worse")
    assert (tmp_path / "worse/curves.png").exists()
    for name in ("worse", "better"):
        (tmp_path / name / "history.csv").write_text("trial,epoch,split,metric,value\n0,3,test,accuracy,0.7\n")
    show_sweep(tmp_path)
    assert not (tmp_path / "curves.png").exists()  # one point is no curve
    rows = "".join(f"0,{epoch},train,accuracy,0.{epoch}\n" for epoch in range(1, 4))
    for name in ("worse", "better"):
        with (tmp_path / name / "history.csv").open("a") as file:
            file.write(rows)
    show_sweep(tmp_path)
    assert (tmp_path / "curves.png").exists()  # that of training images


def test_a_validated_sweep_draws_the_best_four_on_validation_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = []

    def record(jobs: dict, split: str, solved: set) -> Figure:
        drawn.append((list(jobs), split))
        return Figure()

    monkeypatch.setattr("graft.figures.draw.draw_best_curves", record)
    rows = "".join(f"{trial},{epoch},val,accuracy,0.7\n" for trial in range(2) for epoch in range(3))
    for rank in range(6):
        job(tmp_path, f"job{rank}", [0.5, 0.6], val=[0.9 - 0.1 * rank, 0.8 - 0.1 * rank])
        (tmp_path / f"job{rank}" / "history.csv").write_text("trial,epoch,split,metric,value\n" + rows)
    show_sweep(tmp_path)
    assert drawn == [(["job0", "job1", "job2", "job3"], "val")]


def test_jobs_tested_on_different_images_are_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, small in (("digits", [1, 3]), ("others", [5, 7])):
        job(tmp_path, name, [0.5 + 0.01 * trial for trial in range(8)])
        path = tmp_path / name / "result.json"
        result = json.loads(path.read_text())
        path.write_text(json.dumps({**result, "config": {"dataset": {"small": small, "root": name}}}))
    show_sweep(tmp_path)
    said = capsys.readouterr().out
    assert "tested on different images, or of data sets that differ: neither ranked nor compared" in said
    assert "significantly" not in said
    assert not (tmp_path / "differences.png").exists()


def test_three_trials_cannot_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid(tmp_path, trials=3)
    show_sweep(tmp_path)
    said = capsys.readouterr().out
    assert "but was not tested against any other: a test needs 6 common trials, got 3" in said
    assert "No differences were tested: two configurations need 6 common trials (seeds); those shown are means" in said
    assert set(pandas.read_csv(tmp_path / "leaderboard.csv")["standing"][1:]) == {"not tested"}


def test_a_trial_that_failed_is_left_out_of_its_pairs_and_a_job_of_such_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job(tmp_path, "whole", [0.90, 0.91, 0.92, 0.93, 0.91, 0.90, 0.92])
    job(tmp_path, "one_nan", [0.80, 0.83, 0.82, math.nan, 0.81, 0.80, 0.84])
    job(tmp_path, "all_nan", [math.nan] * 7)
    assert show_sweep(tmp_path) == {"all_nan": "none of its trials finished"}
    table = pandas.read_csv(tmp_path / "leaderboard.csv").set_index("job")
    assert list(table["trials"]) == [7, 6]
    assert table.loc["one_nan", "difference"] == pytest.approx(np.mean([-0.10, -0.08, -0.10, -0.10, -0.10, -0.08]))
    assert "failed all_nan: none of its trials finished" in capsys.readouterr().out


def test_several_sweeps_are_one_table_and_what_is_damaged_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job(tmp_path / "first", "plain", [0.8] * 6)
    job(tmp_path / "second", "plain", [0.9] * 6)
    for name, text in (("half", '{"trials": [{'), ("other", "[]"), ("empty", '{"trials": []}')):
        (tmp_path / "first" / name).mkdir()
        (tmp_path / "first" / name / "result.json").write_text(text)
    show_jobs([tmp_path / "first", tmp_path / "second", tmp_path / "first" / "plain"], tmp_path / "out")
    said = capsys.readouterr().out
    assert list(pandas.read_csv(tmp_path / "out" / "leaderboard.csv")["job"]) == ["second/plain", "first/plain"]
    assert all(f"left out first/{name}/result.json: " in said for name in ("half", "other", "empty"))
    page = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "Left out: first/empty/result.json: it has no list of trials." in page


def test_what_cannot_be_reported_is_said(tmp_path: Path):
    with pytest.raises(GraftError, match=r"there is no folder .*no; try outputs"):
        show_jobs([tmp_path / "no"], tmp_path)
    with pytest.raises(GraftError, match=r"there is no result\.json below"):
        show_jobs([tmp_path], tmp_path)
    newer = store_job(tmp_path / "newer", versions={"graft": "99.0.0"}).parent
    with pytest.raises(GraftError, match=r"no readable result\.json below .*: Graft 99\.0\.0 has written it"):
        show_jobs([newer], tmp_path)
    shutil.rmtree(newer)
    grid(tmp_path)
    with pytest.raises(GraftError, match=r"no job has source:imagenet; .*dropout:0, dropout:0.5, source:big, source:s"):
        show_jobs([tmp_path], tmp_path, "source:imagenet")


@pytest.mark.slow
def test_the_command_reports_without_torch_and_refuses_without_a_traceback(tmp_path: Path):
    grid(tmp_path / "a=b")
    script = f"""
import runpy, sys
sys.argv = ["report.py", {str(tmp_path / "a=b")!r}, "--baseline", "head:dense", "--output", {str(tmp_path / "out")!r}]
try:
    runpy.run_path({str(ROOT / "src/report.py")!r}, run_name="__main__")
except SystemExit as end:
    print(end)
sys.argv[3] = "source:scratch"
runpy.run_path({str(ROOT / "src/report.py")!r}, run_name="__main__")
print("HEAVY" if "torch" in sys.modules else "LIGHT")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("report.baseline: no job has head:dense")
    assert "Traceback" not in done.stderr
    assert "Compared with the baseline source:scratch" in done.stdout
    assert "LIGHT" in done.stdout
    assert (tmp_path / "out" / "leaderboard.md").exists()


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["/data/mine"], "/data/mine"),
        (["outputs/one/job", "outputs/two"], "outputs"),
        (["outputs/one/a", "outputs/one/b"], "outputs/one"),
        (["/data/outputs/one", "/data/outputs/two"], "/data/outputs"),
        (["sweep/a", "sweep/b"], "sweep"),
        (["here", "here/below"], "here"),
        (["one", "two"], "outputs"),
        (["../one", "two"], "outputs"),
        (["/data/one", "/etc/two"], "outputs"),
        (["outputs/one", "outputs2/two"], "outputs"),
    ],
)
def test_a_report_of_several_folders_stays_out_of_what_is_no_folder_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str], expected: str
):
    monkeypatch.chdir(tmp_path)
    Path("sweep").mkdir()
    Path("sweep/multirun.yaml").touch()
    default_output = runpy.run_path(str(ROOT / "src/report.py"))["default_output"]
    assert default_output([Path(folder) for folder in folders]) == Path(expected).absolute()


@pytest.mark.slow
def test_the_command_says_where_it_writes(tmp_path: Path):
    for name in ("one", "two"):
        job(tmp_path / name, "head=plain", [0.5, 0.6])
    (tmp_path / "here").mkdir()
    command = [sys.executable, str(ROOT / "src/report.py"), "../one", "../two"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path / "here")
    assert f"written to {tmp_path}/here/outputs\n" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "here"}
    assert (tmp_path / "here/outputs/leaderboard.png").exists()


def test_the_golden_sweep_has_its_report(tmp_path: Path):
    """Half of its results are of the first format, with nothing beyond DESIGN.md's interface."""
    golden = ROOT / "tests" / "golden"
    show_jobs([golden / "sweep"], tmp_path, "source:scratch")
    expected = pandas.read_csv(golden / "leaderboard.csv")
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "leaderboard.csv"), expected, rtol=1e-9)
    assert (tmp_path / "leaderboard.md").read_text() == (golden / "leaderboard.md").read_text()


def copies(folder: Path, name: str, accuracy: float) -> None:
    """Write a job like head=ridge with dataset.draw=first: each trial solves the same problem."""
    job(folder, f"head={name}", [accuracy] * 6)
    path = folder / f"head={name}" / "result.json"
    config = {"head": {"_target_": f"graft.head.{name.title()}"}, "epochs": 9}
    path.write_text(json.dumps({**json.loads(path.read_text()), "config": config, "choices": {"head": name}}))


def test_copies_of_one_fit_have_no_p_value_at_any_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for count in (866, 868, 871):  # some of these means are below the lowest by a bit
        folder = tmp_path / str(count)
        copies(folder, "ridge", round(count / 918, 6))
        copies(folder, "logistic", round((count - 1) / 918, 6))
        show_sweep(folder)
        said = capsys.readouterr().out
        assert "All trials of ridge and logistic are the same computation" in said
        assert "ridge has the highest mean" in said
        assert "No differences were tested" in said
        assert not pandas.read_csv(folder / "leaderboard.csv")["p"].notna().to_numpy().any()


def test_one_job_of_copies_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    copies(tmp_path, "ridge", 0.9)
    show_job(json.loads((tmp_path / "head=ridge" / "result.json").read_text()), tmp_path)
    assert "all are the same computation, which no seed changes: they count as one" in capsys.readouterr().out


def test_one_job_s_interval_counts_its_test_images_and_its_mean_the_finished_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job(tmp_path, "small", [1.0, 1.0, 1.0])
    result = json.loads((tmp_path / "small" / "result.json").read_text())
    result["images"] = {"big": 1, "small": 1, "val": 0, "test": 4, "ignored": {".heic": 2}}
    result["trials"] += [{"seed": 7, "accuracy": None, "loss": None, "epoch": 2, "error": "NaN"}]
    show_job(result, tmp_path)
    said = capsys.readouterr().out
    assert "100.0 %, mean of 3 trials" in said
    assert "51.0 to 100.0 %, for other images" in said
    assert re.search(r"images +big 1, small 1, val 0, test 4 *\n", said)


def test_a_ceiling_cannot_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid(tmp_path, budgets=(2, 5, 8))
    for path in tmp_path.rglob("result.json"):
        result = json.loads(path.read_text())
        result["trials"] = [
            {**trial, "accuracy": 1.0, "loss": 0.1 + 0.01 * trial["seed"]} for trial in result["trials"]
        ]
        path.write_text(json.dumps(result))
    show_sweep(tmp_path)
    said = capsys.readouterr().out
    assert "and 10 others have the highest mean (100.0 %)" in said
    assert "cannot be told" in said
    assert "interpolated" not in said


def test_a_damaged_history_leaves_the_table_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = "".join(f"0,{epoch},test,accuracy,0.7\n" for epoch in range(3))
    for name, text in (("fine", rows), ("percent", rows.replace("0.7", "70")), ("empty", "")):
        job(tmp_path, name, [0.7, 0.8])
        (tmp_path / name / "history.csv").write_text(f"trial,epoch,split,metric,value\n{text}" if text else "")
    (tmp_path / "fine" / "train.log").touch()
    job(tmp_path, "folder", [0.7, 0.8])
    (tmp_path / "folder" / "history.csv").mkdir()
    show_sweep(tmp_path)
    said = capsys.readouterr().out
    assert "left out percent/history.csv: an accuracy in it is 70, expected a fraction from 0 to 1" in said
    assert "left out empty/history.csv: No columns to parse from file" in said
    assert "left out folder/history.csv: it is a folder" in said
    assert (tmp_path / "curves.png").exists()
    assert len(pandas.read_csv(tmp_path / "leaderboard.csv")) == 4


def test_a_sweep_whose_baseline_failed_has_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid(tmp_path)
    show_sweep(tmp_path, "source:imagenet")
    assert "No finished job has source:imagenet: nothing is compared" in capsys.readouterr().out
    assert (tmp_path / "leaderboard.csv").exists()


@pytest.mark.filterwarnings("error")
def test_strange_names_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = ["$a$ $b$", "_x", "[bold]red[/bold]", ":dog:", "a|b,c", "猫", "y" * 200]
    for place, name in enumerate(names):
        job(tmp_path, name, [0.5 + 0.01 * place, 0.6, 0.7])
    show_sweep(tmp_path)
    said, text = capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()
    assert all(name in said for name in names[:-1])
    assert r"| a\|b,c |" in text
    assert set(pandas.read_csv(tmp_path / "leaderboard.csv")["job"]) == set(names)


def test_readme_s_pictures_have_the_names_on_disk():
    text = (ROOT / "README.md").read_text()
    assert {Path(name).name for name in re.findall(r"[\w/]+\.png", text)} <= set(PICTURES)


def test_skipped_backbones_are_named_together_and_not_as_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store_job(tmp_path, {"backbone._target_": "graft.backbone.CNN"})
    for head in ("plain", "ridge"):
        (tmp_path / head).mkdir()
        content = {"error": "no <network>; try source=file", "unavailable": "graft.backbone.VGG16"}
        (tmp_path / head / "failure.json").write_text(json.dumps(content))
    assert set(show_sweep(tmp_path)) == {"plain", "ridge"}  # so that the exit status is not 0
    said = capsys.readouterr().out
    assert "2 of 3 jobs were skipped: the backbone's weights could not be had." in said
    assert said.count("skipped plain and ridge: no <network>; try source=file") == 1
    assert "Skipped: plain and ridge: no <network>; try source=file." in (tmp_path / "leaderboard.md").read_text()
    assert (
        "<strong>skipped</strong> <bdi>plain and ridge</bdi>: <bdi>no &lt;network&gt;"
        in (tmp_path / "report.html").read_text()
    )
    answer = graft.read(tmp_path)
    assert answer.skipped == dict.fromkeys(["plain", "ridge"], "no <network>; try source=file")
    assert answer.failed == {}
    assert "skipped plain and ridge" in repr(answer)
