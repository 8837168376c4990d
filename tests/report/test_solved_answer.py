"""The sentence that compares heads that train with what is solved at once."""

from pathlib import Path

import pytest
from stored_jobs import store_job

from graft.report.compare import compare_jobs
from graft.report.leaderboard import rank_jobs
from graft.report.solved_answer import solved_answer
from graft.report.table import cells, table_rows
from graft.results.records import Record

HIGH, LOW = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85], [0.70, 0.72, 0.71, 0.74, 0.75, 0.74]
SIMILAR = [0.79, 0.82, 0.81, 0.84, 0.83, 0.84]
SOLVED = {"head": {"_target_": "graft.best_solved_head.BestSolved"}}


def record(name: str, accuracies: list[float], head: str = "", config: dict | None = None, **setting: str) -> Record:
    chosen = {"head": head} if head else {}
    trials = [{"seed": seed, "accuracy": accuracy} | chosen for seed, accuracy in enumerate(accuracies)]
    return Record(name, {"trials": trials, "config": config or {}}, Path(name), setting=setting, label=name)


def baseline(accuracies: list[float], head: str = "lda", **setting: str) -> Record:
    return record("solved (baseline)", accuracies, head, SOLVED, baseline="solved", **setting)


@pytest.mark.parametrize(
    ("jobs", "margin", "said"),
    [
        (
            [record("plain", HIGH), baseline(LOW)],
            0.0,
            "plain is better than what is solved at once (lda), whose difference to it is -9.8 points (",
        ),
        (
            [record("plain", HIGH), baseline(SIMILAR)],
            0.0,
            "plain is not shown to be better than what is solved at once",
        ),
        (
            [record("plain", HIGH), baseline(SIMILAR)],
            0.1,
            "plain is equal within the margin to what is solved at once (lda)",
        ),
        (
            [record("plain", LOW), record("dense", LOW[::-1]), baseline(HIGH)],
            0.0,
            "No head that trains is shown to be better than what is solved at once (lda). The best of those that "
            "train, plain, is worse (-9.8 points (",
        ),
        ([record("plain", HIGH[:2]), baseline(LOW[:2])], 0.0, "plain is not shown to be better than"),
        (
            [record("ridge", HIGH, config=SOLVED), record("plain", LOW), baseline(LOW)],
            0.0,
            "No head that trains is shown to be better than the solved head ridge. The best of those that train, ",
        ),
        (
            [record("plain", HIGH, backbone="vgg16"), baseline(LOW, backbone="vgg16")],
            0.0,
            "plain is better than what is solved at once (vgg16, lda), whose",
        ),
    ],
)
def test_the_best_head_that_trains_is_compared_with_the_best_baseline(jobs: list[Record], margin: float, said: str):
    (sentence,) = solved_answer(rank_jobs(jobs, margin=margin))
    assert sentence.startswith(said)


def test_without_a_baseline_or_a_head_that_trains_nothing_is_said():
    assert solved_answer(rank_jobs([record("plain", HIGH), record("dense", LOW)])) == []
    assert solved_answer(rank_jobs([record("ridge", HIGH, config=SOLVED), baseline(LOW)])) == []
    assert solved_answer(rank_jobs([])) == []


def test_how_often_a_head_was_chosen_is_said():
    base = baseline(LOW)
    base.result["trials"][0]["head"] = "nearest_mean"
    (sentence,) = solved_answer(rank_jobs([record("plain", HIGH), base]))
    assert "what is solved at once (lda in 5 of 6 trials), whose" in sentence
    for trial in base.result["trials"]:
        trial["head"] = 3  # not what Graft writes
    (sentence,) = solved_answer(rank_jobs([record("plain", HIGH), base]))
    assert "what is solved at once, whose" in sentence


def test_a_baseline_is_marked_and_has_no_part_in_main_effects(tmp_path: Path):
    for head in ("plain", "dense"):
        for dropout in ("0", "0.5"):
            store_job(
                tmp_path, {"head": head, "dropout": dropout}, config={"dropout": float(dropout)}, choices={"head": head}
            )
    config = {**SOLVED, "baseline": "self", "dropout": 0.9}
    store_job(tmp_path, {"head": "solved", "baseline": "self"}, config=config, choices={"head": "solved"})
    report = compare_jobs([tmp_path])
    labels = {record.label for record in report.board.records}
    assert labels == {
        "solved (baseline)", "plain without dropout", "plain with dropout 0.5", "dense without dropout",
        "dense with dropout 0.5",
    }  # fmt: skip
    assert set(report.effects.main["key"]) == {"head", "dropout"}
    assert set(report.effects.main["value"]) == {"plain", "dense", "0", "0.5"}
    lines = [cells(row)["job"] for row in table_rows(report.board.table)]
    assert "head=solved (baseline)" in lines
    assert any("solved at once" in sentence for sentence in report.sentences)
