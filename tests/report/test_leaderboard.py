from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.report.leaderboard import DIFFERENT_IMAGES, DIFFERENT_RANGES, rank_jobs
from graft.report.rows import versus_range
from graft.report.table import cells, markdown, table_rows
from graft.results.records import Record


def record(name: str, accuracies: list[float], **result: object) -> Record:
    key, _, value = name.partition("=")
    trials = [{"seed": seed, "accuracy": accuracy} for seed, accuracy in enumerate(accuracies)]
    choices = {key: value}
    return Record(name, {"trials": trials, **result}, Path(name), choices, choices, label=value or name)


def with_validation(name: str, accuracies: list[float], val: list[float]) -> Record:
    made = record(name, accuracies, images={"val": 5, "test": 10})
    for trial, accuracy in zip(made.result["trials"], val, strict=True):
        trial["val_accuracy"] = accuracy
    return made


BY_TEST, BY_VALIDATION = "ranked by test accuracy", "ranked by validation accuracy"
BETTER, WORSE = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85], [0.70, 0.72, 0.71, 0.74, 0.75, 0.74]
SIMILAR = [0.79, 0.82, 0.81, 0.84, 0.83, 0.84]


def test_jobs_are_ranked_by_their_mean_and_judged_against_the_best():
    few = record("source=few", WORSE[:3])
    board = rank_jobs([record("source=low", WORSE), few, record("source=high", BETTER), record("source=mid", SIMILAR)])
    assert (board.order, board.metric, board.measure.words) == (BY_TEST, "accuracy", "test accuracy")
    assert [job.label for job in board.records] == ["high", "mid", "low", "few"]
    assert list(board.table["rank"]) == [1, 2, 3, 4]
    assert list(board.table["standing"]) == ["best", "undecided", "worse", "not tested"]
    assert [cells(row)["verdict"] for row in table_rows(board.table)] == ["best", "undecided", "worse", "not tested"]
    assert board.comparison is not None
    assert board.comparison.num_tested == 2


def test_validation_accuracy_ranks_if_every_job_has_it():
    overfits, validated = with_validation("a", [0.9] * 2, [0.6] * 2), with_validation("b", [0.8] * 2, [0.7] * 2)
    board = rank_jobs([overfits, validated])
    assert (board.order, board.measure.words) == (BY_VALIDATION, "validation accuracy")
    assert [job.name for job in board.records] == ["b", "a"]
    assert list(cells(table_rows(board.table)[0], board.metric, short=True)) == [
        "rank", "job", "validation", "95 % interval", "test", "to the best", "verdict",
    ]  # fmt: skip
    overfits.result["images"]["val"] = 0
    assert [job.name for job in rank_jobs([overfits, validated]).records] == ["a", "b"]


def test_jobs_that_cannot_be_compared_keep_their_order():
    ranges = [{"low": 0.7, "high": 0.8}, None]
    published = [record(name, WORSE, reference=it) for name, it in zip(("a", "b"), ranges, strict=True)]
    tested = [record(name, WORSE, images={"test": count}) for name, count in (("a", 10), ("b", 20))]
    for jobs, order in ((published, DIFFERENT_RANGES), (tested, DIFFERENT_IMAGES)):
        board = rank_jobs(jobs, "source:none")
        assert (board.order, board.comparison, board.versus_baseline) == (order, None, {})
        assert [job.name for job in board.records] == ["a", "b"]
        assert "rank" not in board.table
    lines = [cells(row) for row in table_rows(rank_jobs(published).table)]
    assert [line["published"] for line in lines] == ["70.0 to 80.0", ""]
    assert [line["to the range"] for line in lines] == ["within", ""]


@pytest.mark.parametrize(
    ("images", "small", "compared"),
    [
        (("one", "two"), ("[1, 3]", "[1, 3]"), False),  # two folders of equal size
        (("one", "one"), ("[cat, dog]", "[0, 1]"), True),  # one, its classes named and numbered
        (("one", None), ("[1, 3]", "[1, 3]"), True),  # a result of an older version does not tell its images
        (("one", None), ("[1, 3]", "[1, 5]"), False),
        ((None, None), ("[1, 3]", "[1, 3]"), True),
    ],
)
def test_jobs_are_paired_if_their_test_images_are_the_same(
    images: tuple[str | None, ...], small: tuple[str, ...], compared: bool
):
    jobs = [
        record(f"head={name}", WORSE, images={"test": 10}, config={"dataset": {"small": classes}}, contents=contents)
        for name, classes, contents in zip(
            ("a", "b"), small, [each and {"tested_on": each} for each in images], strict=True
        )
    ]
    board = rank_jobs(jobs)
    assert (board.comparison is not None) is compared
    assert board.order == (BY_TEST if compared else DIFFERENT_IMAGES)


def test_no_jobs_are_no_table():
    assert rank_jobs([]).table.empty


def test_one_job_that_matches_the_baseline_is_compared_with_all_others():
    board = rank_jobs([record("source=big", BETTER), record("source=scratch", WORSE)], "source:scratch")
    assert board.baseline == "scratch"
    assert list(board.versus_baseline) == ["big"]
    assert board.versus_baseline["big"].mean == pytest.approx(sum(BETTER) / 6 - sum(WORSE) / 6)
    big, scratch = (cells(row) for row in table_rows(board.table))
    assert big["to the baseline"].startswith("+9.8 (")
    assert scratch["to the baseline"] == scratch["p "] == ""


def test_of_several_baselines_each_job_is_compared_with_its_counterpart():
    jobs = []
    for source, level in (("big", 0.1), ("scratch", 0.0)):
        for head, more in (("plain", 0.0), ("dense", 0.01)):
            job = record(f"source={source}", [value + level + more for value in WORSE])
            job.setting = {"source": source, "head": head}
            job.label = f"{source} {head}"
            jobs.append(job)
    del jobs[3]  # scratch dense, without which big dense has no counterpart
    jobs.append(record("source=scratch", WORSE))
    jobs[-1].setting, jobs[-1].label = {"source": "scratch", "head": "ridge"}, "scratch ridge"
    board = rank_jobs(jobs, "source:scratch")
    assert board.baseline == "source:scratch, all else equal"
    assert list(board.versus_baseline) == ["big plain"]
    assert board.without_counterpart == ["big dense"]
    assert board.versus_baseline["big plain"].mean == pytest.approx(0.1)


def test_a_baseline_that_no_job_matches_is_refused():
    with pytest.raises(GraftError, match="no job has source:imagenet"):
        rank_jobs([record("source=big", BETTER)], "source:imagenet")


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
    assert versus_range(mean, 0.835, 0.846) == expected


def test_equal_jobs_have_one_rank():
    board = rank_jobs([record("source=a", WORSE), record("source=b", BETTER), record("source=c", BETTER[::-1])])
    assert list(board.table["rank"]) == [1, 1, 3]
    assert list(board.table["standing"]) == ["best", "undecided", "worse"]
    assert [cells(row)["rank"] for row in table_rows(board.table)] == ["1", "1", "3"]


def test_a_baseline_whose_job_failed_leaves_the_table():
    board = rank_jobs([record("source=big", BETTER)], "source:scratch", required=False)
    assert (board.missing_baseline, board.baseline, len(board.table)) == ("source:scratch", "", 1)


def test_the_table_s_interval_counts_the_test_images():
    board = rank_jobs([record("source=big", [1.0] * 6, images={"test": 4})])
    (row,) = table_rows(board.table)
    assert (row["ci95_low"], row["ci95_high"]) == (pytest.approx(0.51, abs=0.001), 1)
    assert cells(row)["95 % interval"] == "51.0 to 100.0"


def test_bars_and_new_lines_in_names_leave_the_markdown_table_whole():
    assert markdown(["job", "p"], [["a|b\nc", "1"]]).splitlines()[2] == r"| a\|b c | 1 |"
