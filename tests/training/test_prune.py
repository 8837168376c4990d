"""Jobs of a search, run for real, against jobs that Optuna was told of before."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas
import pytest
from optuna.trial import TrialState, create_trial

from graft.errors import Pruned
from graft.job_folder import SEARCH

Run = Callable[..., dict]
SMALL = ("sweep=optuna", "source=scratch", "backbone.keep=0", "trials=2", "epochs=4", "val_every=2", "test_curve=false")
VALIDATED = (*SMALL, "dataset.val_per_class=5")


def searched(folder: Path, before: dict[int, float]) -> optuna.Study:
    """Make the study of a job whose five forerunners all had the same accuracy at each step."""
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
    run(*VALIDATED)
    history = pandas.read_csv(tmp_path / "job" / "history.csv").query(
        "split == 'val' and metric == 'accuracy' and epoch == 2"
    )
    assert study.trials[-1].intermediate_values == {2: pytest.approx(history["value"].mean(), abs=1e-6)}
    searched(tmp_path / "unpruned", {2: 1.1})
    assert run(*VALIDATED, "sweep.pruner=none", name="unpruned")["trials"]
