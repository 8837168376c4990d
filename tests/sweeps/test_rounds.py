"""Rounds of sweeps whose jobs are stand-ins: who is launched when, what is said, and that a second start repeats it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest

from graft.files import write_text
from graft.job_folder import FAILURE, RESULT, ROUND
from graft.page.show import show_jobs
from graft.results.records import Record
from graft.results.rounds import write_rounds
from graft.statistics.accuracies import Measured
from graft.statistics.outcomes import Outcomes
from graft.statistics.stopping import looks
from graft.sweeps.rounds import Settings, run_rounds


class StandIn:
    """Writes results of as many trials as a round asks for; a job's accuracy is its folder's name.

    Attributes:
        launched: the names of each round's jobs, with the number of trials that each shall have.
        fails: names of jobs that fail in their second round.
    """

    def __init__(self, root: Path, noise: float = 1.0, tested_on: Callable[[str], str] = lambda _: "same"):
        self.root, self.noise, self.tested_on = root, noise, tested_on
        self.launched: list[dict[str, int]] = []
        self.fails: set[str] = set()

    def __call__(self, folders: Sequence[Path]) -> None:
        self.launched.append({})
        for folder in folders:
            count = json.loads((folder / ROUND).read_text())["trials"]
            self.launched[-1][folder.name] = count
            if folder.name in self.fails and count > 6:
                write_text(folder / FAILURE, json.dumps({"error": "no memory"}))
            elif not (folder / RESULT).exists() or self._count(folder) < count:
                write_text(folder / RESULT, json.dumps(self._result(folder.name, count)))

    @staticmethod
    def _count(folder: Path) -> int:
        return len(json.loads((folder / RESULT).read_text())["trials"])

    def _result(self, name: str, count: int) -> dict:
        own = np.random.default_rng(round(1000 * float(name))).normal(0, 0.01 * self.noise, 60)
        trials = [{"seed": seed, "accuracy": float(name) + own[seed], "loss": seed / 60} for seed in range(count)]
        config = {"trials": "auto", "trials_min": 6, "trials_max": 60, "dropout": float(name)}
        return {"trials": trials, "config": config, "images": {}, "contents": {"tested_on": self.tested_on(name)}}

    def folders(self, *names: str) -> list[Path]:
        return [self.root / name for name in names]


SETTINGS = Settings(looks(6, 60))


def test_worse_jobs_are_left_out_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "graft")
    run = StandIn(tmp_path)
    ended = run_rounds(SETTINGS, run.folders("0.7", "0.2", "0.693", "0.3"), run).ended
    assert run.launched[0] == {"0.7": 6, "0.2": 6, "0.693": 6, "0.3": 6}
    assert run.launched[1] == {"0.7": 9, "0.693": 9}
    assert "round 1 of trials 0 to 5: 2 of 4 configurations are worse, 2 go on" in caplog.text
    assert "round 2 of trials 6 to 8: " in caplog.text
    assert ended.startswith(f"trials=auto: {sum(run.launched[-1].values()) + 12} of at most 240 trials; ")
    assert not list(tmp_path.glob(f"*/{ROUND}"))


def test_a_round_of_one_trial_names_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "graft")
    run = StandIn(tmp_path)
    run_rounds(Settings([5, 6]), run.folders("0.7", "0.699"), run)
    assert [text.partition(":")[0] for text in caplog.messages] == ["round 1 of trials 0 to 4", "round 2 of trial 5"]


def test_the_first_round_may_tell_all(tmp_path: Path):
    run = StandIn(tmp_path)
    ended = run_rounds(SETTINGS, run.folders("0.9", "0.2"), run).ended
    assert ended == "trials=auto: 12 of at most 120 trials; all others are worse than the best, dropout 0.9."
    assert len(run.launched) == 1


def test_a_second_start_launches_only_the_first_round_which_is_finished(tmp_path: Path):
    run = StandIn(tmp_path)
    folders = run.folders("0.7", "0.693", "0.3")
    ended = run_rounds(SETTINGS, folders, run)
    before = {path: path.read_bytes() for path in tmp_path.rglob(RESULT)}
    again = StandIn(tmp_path)
    assert run_rounds(SETTINGS, folders, again) == ended
    assert again.launched == run.launched[:1]
    assert {path: path.read_bytes() for path in tmp_path.rglob(RESULT)} == before


def test_trials_of_an_earlier_command_that_the_rounds_do_not_need_are_counted_apart(tmp_path: Path):
    run = StandIn(tmp_path)
    folders = run.folders("0.7", "0.693")
    run_rounds(SETTINGS, folders, run)
    further = sum(run.launched[-1].values()) - 12
    assert further > 0
    ended = run_rounds(Settings(looks(6, 60), 0.5), folders, StandIn(tmp_path)).ended
    assert ended.startswith(
        f"trials=auto: 12 of at most 120 trials, beside {further} earlier ones; all others are equal"
    )


def test_a_sweep_that_was_killed_goes_on_in_the_round_it_was_in(tmp_path: Path):
    folders = (whole := StandIn(tmp_path / "whole")).folders("0.7", "0.693", "0.3")
    ended = run_rounds(SETTINGS, folders, whole).ended
    killed = StandIn(tmp_path / "killed")

    def until_the_second_round(chosen: Sequence[Path]) -> None:
        if killed.launched:
            killed(chosen[:1])
            raise KeyboardInterrupt
        killed(chosen)

    with pytest.raises(KeyboardInterrupt):
        run_rounds(SETTINGS, killed.folders("0.7", "0.693", "0.3"), until_the_second_round)
    resumed = StandIn(tmp_path / "killed")
    assert run_rounds(SETTINGS, resumed.folders("0.7", "0.693", "0.3"), resumed).ended == ended
    assert resumed.launched[1] == {"0.7": 9}
    assert resumed.launched[2:] == whole.launched[2:]


def test_a_job_that_fails_gets_no_more_and_the_others_go_on(tmp_path: Path):
    run = StandIn(tmp_path)
    run.fails = {"0.695"}
    run_rounds(SETTINGS, run.folders("0.7", "0.693", "0.695"), run)
    assert run.launched[1] == {"0.7": 9, "0.693": 9, "0.695": 9}
    assert all("0.695" not in launched for launched in run.launched[2:])


def test_a_sweep_of_failed_jobs_ends(tmp_path: Path):
    def fail(folders: Sequence[Path]) -> None:
        for folder in folders:
            write_text(folder / FAILURE, json.dumps({"error": "no memory"}))

    assert run_rounds(SETTINGS, [tmp_path / "0.7", tmp_path / "0.2"], fail).ended == "trials=auto: no job has finished."


def test_jobs_tested_on_different_images_are_not_compared(tmp_path: Path):
    run = StandIn(tmp_path, tested_on=lambda name: name)
    ended = run_rounds(Settings(looks(6, 9)), run.folders("0.9", "0.2"), run).ended
    assert run.launched == [{"0.9": 6, "0.2": 6}, {"0.9": 9, "0.2": 9}]
    assert ended.startswith("trials=auto: 18 of at most 18 trials; more would not narrow the intervals of the means")


def test_jobs_that_differ_by_less_than_the_margin_are_equal(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "graft")
    run = StandIn(tmp_path, noise=0.1)
    ended = run_rounds(Settings(looks(6, 60), margin=0.05), run.folders("0.7", "0.693"), run).ended
    assert len(run.launched) == 1
    assert "1 of 2 configurations is equal within the margin, none go on" in caplog.text
    assert ended.endswith("all others are equal within the margin to the best, dropout 0.7.")


def test_a_search_launches_new_jobs_only_in_the_first_round(tmp_path: Path):
    run = StandIn(tmp_path)
    run_rounds(SETTINGS, run.folders("0.7"), run)
    best = {"0.7": json.loads((tmp_path / "0.7" / RESULT).read_text())}
    new = StandIn(tmp_path)
    run_rounds(Settings(looks(6, 60), pairs=3), new.folders("0.2", "0.7"), new, first=new.folders("0.2"))
    assert new.launched == [{"0.2": 6}]
    assert best == {"0.7": json.loads((tmp_path / "0.7" / RESULT).read_text())}


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.0, 0.03])
def test_the_table_has_the_verdicts_of_the_rounds_and_their_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], margin: float
):
    run = StandIn(tmp_path)
    names = ("0.7", "0.2", "0.693", "0.3", "0.685", "0.71")
    found = run_rounds(Settings(looks(6, 60), margin), run.folders(*names), run)
    write_rounds(tmp_path, found)
    for _ in range(2):  # at the end of the sweep, and when python src/report.py runs later
        show_jobs([tmp_path], tmp_path, margin=100 * margin)
        table = pandas.read_csv(tmp_path / "leaderboard.csv", dtype={"job": str}).set_index("job")
        verdicts = {name: table.loc[name, "standing"] for name in names}
        ended = {job.name: it.verdict for job, it in found.jobs.items()}
        assert {"worse"} <= set(ended.values())
        best = found.best
        assert best is not None
        assert verdicts == {name: "best" if name == best.name else ended.get(name, "undecided") for name in names}
        worse, undecided = (table[table["standing"] == each] for each in ("worse", "undecided"))
        assert max(worse["difference_high"].tolist()) < 0
        assert max(worse["p"].tolist()) < 0.05
        assert min(undecided["difference_high"].tolist(), default=0) >= 0
        assert min(undecided["p"].tolist(), default=1) >= 0.05
        for text in (capsys.readouterr().out, (tmp_path / "leaderboard.md").read_text()):
            assert f"\n{found.ended}\n" in text
            assert "hold whenever a job's trials ended (alpha spending: 5 % over 7 rounds and 15 pairs)" in text
            assert "Intervals of means count numbers of trials as if they had been fixed." in text
            assert " trials " in text


def test_a_job_of_few_easy_draws_that_was_ended_as_worse_is_not_the_best(tmp_path: Path):
    run = StandIn(tmp_path)
    run(tuple(_asked(folder, count) for folder, count in zip(run.folders("0.7", "0.8"), (60, 6), strict=True)))
    for name in ("0.7", "0.8"):
        path = tmp_path / name / RESULT
        result = json.loads(path.read_text())
        for trial in result["trials"]:
            trial["accuracy"] += 0.25 if name == "0.7" and trial["seed"] < 6 else 0
        path.write_text(json.dumps(result))
    show_jobs([tmp_path], tmp_path)
    table = pandas.read_csv(tmp_path / "leaderboard.csv", dtype={"job": str})
    assert table["job"].tolist() == ["0.7", "0.8"]
    first, second = table["accuracy"].tolist()
    assert first < second
    assert table["standing"].tolist() == ["best", "worse"]
    assert table["difference"].tolist()[1] == pytest.approx(-0.15, abs=0.02)
    text = (tmp_path / "leaderboard.md").read_text()
    assert "ranked by test accuracy, each by its difference to the best in the trials that both have" in text


def _asked(folder: Path, count: int) -> Path:
    write_text(folder / ROUND, json.dumps({"trials": count}))
    return folder


def test_more_trials_do_not_tell_what_differs_between_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    patients = np.repeat(np.arange(8), 2)
    values = np.tile(patients % 2, (6, 1)).astype(float)  # in every trial alike, but for one image
    values[0, 0] = 1

    def by_patient(record: Record, _: str = "accuracy") -> Measured:
        right = values if record.name == "0.7" else 1 - values  # one fails where the other does not
        return Measured(Outcomes(tuple(range(6)), patients.astype(str), right, groups=patients))

    monkeypatch.setattr(Record, "accuracies", by_patient)
    run = StandIn(tmp_path)
    ended = run_rounds(Settings(looks(6, 60)), run.folders("0.7", "0.6"), run).ended
    assert "from the best, dropout 0." in ended
    assert "more trials are unlikely to tell" in ended
    assert "might" not in ended  # nothing says that more patients would
