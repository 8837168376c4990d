"""What a backbone costs, and which jobs no other one beats in accuracy and speed."""

from pathlib import Path

import pytest

from graft.report.effect_sentences import front_answer
from graft.report.leaderboard import rank_jobs
from graft.report.rows import backbone_costs
from graft.report.table import cells, table_rows
from graft.results.records import Record


def record(name: str, accuracy: float, speed: float | None, backbone: str | None = None) -> Record:
    trials = [{"seed": seed, "accuracy": accuracy} for seed in range(3)]
    cost = {"gflops": 1.5, "images_per_second": speed}
    config = {"backbone": {"_target_": backbone or name}}
    return Record(name, {"trials": trials, "config": config, "backbone": cost}, Path(name), label=name)


@pytest.mark.parametrize(
    ("jobs", "front"),
    [
        ([("a", 0.9, 10.0), ("b", 0.8, 20.0), ("c", 0.7, 15.0)], [True, True, False]),
        ([("a", 0.9, 20.0), ("b", 0.9, 10.0)], [True, False]),
        ([("a", 0.9, 10.0), ("b", 0.9, 10.0)], [True, True]),  # neither is better
        ([("a", 0.9, None), ("b", 0.8, 10.0)], [False, True]),  # its speed was not measured
        ([("a", 0.9, 0.0), ("b", 0.8, 10.0)], [False, True]),
    ],
)
def test_the_front_has_the_jobs_that_no_other_one_beats(jobs: list[tuple], front: list[bool]):
    found = backbone_costs([record(*job) for job in jobs], "accuracy")
    assert [each["front"] for each in found] == front


def test_the_table_has_costs_where_backbones_differ_only():
    board = rank_jobs([record("a", 0.9, 12.34), record("b", 0.8, None)])
    first, second = (cells(row, short=True) for row in table_rows(board.table))
    assert (first["GFLOPs"], first["images/s"], first["front"]) == ("1.5", "12.3", "yes")
    assert (second["images/s"], second["front"]) == ("", "")
    same = rank_jobs([record("a", 0.9, 12.0, "vgg"), record("b", 0.8, 3.0, "vgg")])
    assert "GFLOPs" not in cells(table_rows(same.table)[0])
    old = record("c", 0.7, 1.0)
    del old.result["backbone"]  # as older versions have written it
    board = rank_jobs([record("a", 0.9, None), old])
    assert [cells(row)["GFLOPs"] for row in table_rows(board.table)] == ["1.5", ""]


def test_the_front_in_words():
    assert front_answer(["a", "b", "c"], [True, False, True]).startswith(
        "Accuracy against seconds an image: a and c are"
    )
    assert ": a is on the front" in front_answer(["a", "b"], [True, False])


@pytest.mark.parametrize("words", ["test loss", "validation macro F1", "test balanced accuracy"])
def test_the_front_of_another_metric_than_accuracy_does_not_speak_of_accuracy(words: str):
    said = front_answer(["a", "b"], [True, False], words)
    assert said[1:].startswith(f"{words[1:]} against seconds")
    assert said.endswith("no other job is at least as good and as fast.")
    assert "as accurate and" in front_answer(["a", "b"], [True, False], "validation accuracy")
