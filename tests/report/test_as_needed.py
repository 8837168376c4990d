"""Jobs with trials=auto in one table, from one sweep, from several, and without what their rounds have found."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import stats

from graft.page.show import show_jobs
from graft.report.as_json import as_json
from graft.report.as_needed import as_needed, compare_as_needed
from graft.report.compare import compare_jobs
from graft.results.records import read_records
from graft.results.rounds import EndedJob, SweepRounds, add_rounds, write_rounds
from graft.statistics.margin import Verdict


def auto(folder: Path, name: str, mean: float, trials: int, spread: float = 0.01, settings: dict | None = None) -> None:
    """Write a job with trials=auto; the first trials of all jobs have the same draws."""
    own = np.random.default_rng(round(1000 * mean)).normal(mean, spread, 60)
    found = [{"seed": seed, "accuracy": float(own[seed]), "loss": 1 + seed / 60} for seed in range(trials)]
    config = {"trials": "auto", "trials_min": 6, "trials_max": 60, "name": name, "dropout": mean, **(settings or {})}
    (folder / name).mkdir(parents=True)
    (folder / name / "result.json").write_text(json.dumps({"trials": found, "config": config, "images": {}}))


def standings(folder: Path, *folders: Path, margin: float | None = None) -> dict[str, str]:
    show_jobs(folders or [folder], folder, margin=margin)
    table = pandas.read_csv(folder / "leaderboard.csv", dtype={"job": str})
    return dict(zip(table["job"], table["standing"], strict=True))


def test_without_what_the_rounds_have_found_all_pairs_of_the_table_share_the_level(tmp_path: Path):
    for name, mean, trials in (("a", 0.9, 21), ("b", 0.89, 21), ("c", 0.8, 6)):
        auto(tmp_path, name, mean, trials)
    records = read_records([tmp_path])
    shared = as_needed(records.finished, records.rounds)
    assert shared is not None
    assert (shared.num_looks, shared.pairs, shared.best, shared.ended) == (7, 3, None, {})
    found = {record.label: record.accuracies() for record in records.finished}
    comparison, places = compare_as_needed(found, shared)
    assert list(places.values()) == [1, 2, 3]
    worst = comparison.differences["dropout 0.8"]
    assert len(worst.per_trial) == 6
    assert worst.interval is not None
    assert worst.p is not None
    t = worst.per_trial.mean() / worst.per_trial.std(ddof=1) * 6**0.5
    assert worst.p == pytest.approx(7 * 3 * 2 * stats.t.sf(abs(t), 5))
    assert worst.significant == (worst.interval[1] < 0)


def test_rounds_of_too_few_trials_test_nothing_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, mean in (("a", 0.9), ("b", 0.8)):
        auto(tmp_path, name, mean, 4, settings={"trials_min": 2, "trials_max": 4})
    assert standings(tmp_path)["b"] == "not tested"
    said = capsys.readouterr().out
    assert "no round tests any, because a test needs 6 trials (trials_max)" in said
    assert "alpha spending" not in said


def test_fixed_numbers_of_trials_are_compared_as_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, mean in (("a", 0.9), ("b", 0.8)):
        auto(tmp_path, name, mean, 6, settings={"trials": 6})
    assert as_needed(read_records([tmp_path]).finished, {}) is None
    standings(tmp_path)
    assert "trials=auto" not in capsys.readouterr().out


def test_a_job_keeps_the_verdict_of_its_sweep_where_another_one_is_best_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    auto(tmp_path, "best", 0.90, 48)
    auto(tmp_path, "then", 0.902, 9, spread=0.05)
    auto(tmp_path, "ended", 0.89, 6, spread=0.05)
    job = EndedJob(Verdict.WORSE, tmp_path / "then", 6)
    write_rounds(tmp_path, SweepRounds(3, 0.0, "trials=auto: enough.", tmp_path / "best", {tmp_path / "ended": job}))
    found = standings(tmp_path)
    assert found["best"] == "best"
    assert found["ended"] == "worse"
    said = capsys.readouterr().out
    assert "was ended by its sweep after 6 trials: worse than" in said
    assert "others are" not in said  # its difference is to another job than the best
    assert said.count("trials=auto: enough.") == 1


def test_an_equal_of_a_larger_margin_is_not_equal_within_a_smaller_one(tmp_path: Path):
    auto(tmp_path, "best", 0.90, 9, spread=0.05)
    auto(tmp_path, "equal", 0.899, 6, spread=0.05)
    ended = EndedJob(Verdict.EQUAL, tmp_path / "best", 6)
    write_rounds(tmp_path, SweepRounds(1, 0.05, "", tmp_path / "best", {tmp_path / "equal": ended}))
    assert standings(tmp_path, margin=5)["equal"] == "equal"
    assert standings(tmp_path, margin=1)["equal"] == "undecided"


def test_two_sweeps_of_one_report_both_say_how_they_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for sweep, mean in (("one", 0.9), ("two", 0.8)):
        auto(tmp_path / sweep, "a", mean, 6)
        write_rounds(tmp_path / sweep, SweepRounds(0, 0.0, f"trials=auto: {sweep} is enough."))
    assert list(standings(tmp_path, tmp_path / "one", tmp_path / "two").values()) == ["best", "worse"]
    said = capsys.readouterr().out
    assert f"{tmp_path / 'one'}: trials=auto: one is enough.\n" in said
    assert f"{tmp_path / 'two'}: trials=auto: two is enough.\n" in said
    assert "7 rounds and 1 pair)" in said


def test_sweeps_of_different_images_say_that_nothing_is_ranked_before_how_they_ended(tmp_path: Path):
    for sweep, small in (("one", [1, 3]), ("two", [5, 7])):
        auto(tmp_path / sweep, "a", 0.9, 6, settings={"dataset": {"small": small}})
        write_rounds(tmp_path / sweep, SweepRounds(0, 0.0, f"trials=auto: {sweep} is enough."))
    show_jobs([tmp_path], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert 0 < page.index("so that none is the best") < page.index("one is enough") < page.index("two is enough")
    assert json.loads(as_json(compare_jobs([tmp_path])))["sentence"].startswith("tested on different images")


def test_a_sweep_may_be_moved_and_its_batches_add_what_they_find(tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new"
    for name, mean in (("a", 0.9), ("b", 0.8), ("c", 0.7)):
        auto(old, name, mean, 6)
    add_rounds(old, SweepRounds(4, 0.0, "x", old / "b", {old / "c": EndedJob(Verdict.WORSE, old / "b", 6)}))
    add_rounds(old, SweepRounds(4, 0.0, "y", old / "a", {old / "b": EndedJob(Verdict.WORSE, old / "a", 6)}))
    old.rename(new)
    (rounds,) = read_records([new]).rounds.values()
    assert (rounds.pairs, rounds.ended, rounds.best) == (4, "", new / "a")
    assert {job.name: it.than.name for job, it in rounds.jobs.items()} == {"b": "a", "c": "b"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "it is no JSON (damaged?): Expecting property name"),
        ("[]", "it is no mapping"),
        ('{"pairs": -1}', "it has no number of pairs"),
        ('{"pairs": 1, "margin": 7}', "its margin is no fraction of 1"),
        ('{"pairs": 1, "margin": 0, "ended": 3}', "it does not say how the rounds ended"),
        ('{"pairs": 1, "margin": 0, "ended": "", "jobs": {"a": {"verdict": "best"}}}', "its job a is neither worse"),
    ],
)
def test_damaged_rounds_are_named_and_the_table_is_made_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, reason: str
):
    for name, mean in (("a", 0.9), ("b", 0.8)):
        auto(tmp_path, name, mean, 6)
    (tmp_path / "rounds.json").write_text(content)
    assert standings(tmp_path)["a"] == "best"
    assert f"read without rounds.json: {reason}" in capsys.readouterr().out


def test_a_job_of_fewer_trials_that_leads_in_common_trials_is_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    auto(tmp_path, "many", 0.80, 21)
    auto(tmp_path, "few", 0.85, 6, settings={"trials": 6})
    auto(tmp_path, "easy", 0.79, 6, settings={"trials": 6})
    assert list(standings(tmp_path)) == ["few", "many", "easy"]
    table = pandas.read_csv(tmp_path / "leaderboard.csv")
    assert table["rank"].tolist() == [1, 2, 3]
    assert max(table["difference"][1:].tolist()) < 0
    assert "\ndropout 0.85, trials 6 is best (" in capsys.readouterr().out


def test_a_best_of_many_trials_whose_mean_is_lower_leads_in_common_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    auto(tmp_path, "many", 0.80, 21)
    auto(tmp_path, "few", 0.85, 6, spread=0.05)
    path = tmp_path / "many" / "result.json"
    result = json.loads(path.read_text())
    for trial in result["trials"][:6]:
        trial["accuracy"] += 0.1
    path.write_text(json.dumps(result))
    assert list(standings(tmp_path)) == ["many", "few"]
    assert "leads in common trials (8" in capsys.readouterr().out
