"""Pruning in real jobs, against earlier trials that the study already has."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas
import pytest
from optuna.trial import TrialState, create_trial

from graft.errors import Pruned
from graft.job_folder import SEARCH
from graft.training.prune import attach, pruner, pruning

Run = Callable[..., dict]
SMALL = ("sweep=optuna", "source=scratch", "backbone.keep=0", "trials=2", "epochs=4", "val_every=2", "test_curve=false")
VALIDATED = (*SMALL, "dataset.val_per_class=5")


def searched(folder: Path, before: dict[int, float]) -> optuna.Study:
    """Make a study of five completed trials with the same accuracies by step, and a running one: the job."""
    folder.mkdir()
    url = f"sqlite:///{folder}/study.db"
    study = optuna.create_study(storage=url, study_name="s", direction="maximize")
    study.add_trials([create_trial(state=TrialState.COMPLETE, value=1, intermediate_values=before) for _ in range(5)])
    number = study.ask().number
    (folder / SEARCH).write_text(json.dumps({"storage": url, "study": "s", "number": number}))
    return study


def test_a_hopeless_job_ends_after_a_validation(run: Run, tmp_path: Path):
    study = searched(tmp_path / "job", {2: 1.1})
    with pytest.raises(Pruned, match="pruned at epoch 2"):
        run(*VALIDATED)
    note = json.loads((tmp_path / "job" / "pruned.json").read_text())
    assert note == {"epoch": 2, "trials": 2, "val_accuracy": study.trials[-1].intermediate_values[2]}
    assert not (tmp_path / "job" / "result.json").exists()


def test_a_hopeless_job_ends_between_chunks_of_trials(run: Run, tmp_path: Path):
    searched(tmp_path / "job", {2: -0.1, 5: 1.1})
    with pytest.raises(Pruned, match="pruned at epoch 4"):
        run(*VALIDATED, "trials_at_once=1")
    assert json.loads((tmp_path / "job" / "pruned.json").read_text())["trials"] == 1


def test_a_good_job_reports_its_validation_accuracies_and_ends_whole(run: Run, tmp_path: Path):
    study = searched(tmp_path / "job", {2: -0.1, 4: 1.1, 6: 1.1})
    run(*VALIDATED, "trainer.num_sanity_val_steps=1")  # a sanity check is not reported
    history = pandas.read_csv(tmp_path / "job" / "history.csv").query(
        "split == 'val' and metric == 'accuracy' and epoch == 2"
    )
    assert study.trials[-1].intermediate_values == {2: pytest.approx(history["value"].mean(), abs=1e-6)}
    searched(tmp_path / "unpruned", {2: 1.1})
    assert run(*VALIDATED, "sweep.pruner=none", name="unpruned")["trials"]


def test_a_trial_that_was_held_counts_with_its_last_accuracy_and_ends_with_its_tested_one(run: Run, tmp_path: Path):
    study = searched(tmp_path / "job", {1: -0.1})
    words = [word for word in VALIDATED if not word.startswith(("epochs", "trials", "val_every"))]
    words += ["trials=3", "epochs=12", "stop.patience=1", "weights=best", "lr=0.03", "trials_at_once=2"]
    ends = [trial["val_accuracy"] for trial in run(*words)["trials"]]
    history = pandas.read_csv(tmp_path / "job" / "history.csv").query("split == 'val' and metric == 'accuracy'")
    by_trial = history.query("trial < 2").set_index(["epoch", "trial"])["value"].unstack()  # of the first chunk
    assert by_trial.isna().to_numpy().any()  # one was held before the other
    reported = study.trials[-1].intermediate_values
    assert reported.pop(14) == pytest.approx(sum(ends[:2]) / 2)  # as its second trial finished
    expected = by_trial.ffill().mean(axis=1).to_dict()
    expected.pop(12, None)  # the last epoch is not reported: its trials finish
    assert reported == pytest.approx(expected, abs=1e-6)


def test_a_running_trial_of_another_process_is_attached_by_its_number(tmp_path: Path):
    """Optuna has no public way; this fails if a later version renames the private one."""
    asked = searched(tmp_path / "job", {2: 1.0})
    url = f"sqlite:///{tmp_path}/job/study.db"
    trial = attach(optuna.load_study(study_name="s", storage=url, pruner=pruner("median")), 5)
    trial.report(0.5, 2)
    assert trial.should_prune()
    assert (trial.number, asked.trials[5].intermediate_values) == (5, {2: 0.5})
    asked.tell(5, 0.75)
    assert [trial.state for trial in asked.trials] == [TrialState.COMPLETE] * 6


def test_a_job_that_no_search_runs_is_not_pruned(tmp_path: Path):
    searched(tmp_path / "job", {2: 1.0})
    assert pruning("none", tmp_path / "job", num_trials=2, num_epochs=4) == []
    assert pruning("median", tmp_path, num_trials=2, num_epochs=4) == []
    assert len(pruning("median", tmp_path / "job", num_trials=2, num_epochs=4)) == 1
